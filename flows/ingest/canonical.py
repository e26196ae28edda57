"""The last gate before the store: every value is checked against its canonical entity.

Pydantic decides and words the issues. Stock comes in bulk, so a JSON Schema derived from the entity passes what is
already in normal form, several times faster; it accepts nothing that pydantic would not (a test proves it).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import jsonschema_rs
from pydantic import ValidationError

from canonical_model.common import Sourced
from canonical_model.errors import ConfigurationError, Issue
from canonical_model.location import Location
from canonical_model.member import Member
from canonical_model.order import Confirmation, Order
from canonical_model.points import PointsEntry
from canonical_model.ports import EntityName
from canonical_model.product import Product
from canonical_model.stock import FactKind, StockFact
from canonical_model.transfer import Transfer

ENTITIES: Final[Mapping[EntityName, type[Sourced]]] = {
    EntityName.PRODUCT: Product,
    EntityName.LOCATION: Location,
    EntityName.STOCK: StockFact,
    EntityName.ORDER: Order,
    EntityName.CONFIRMATION: Confirmation,
    EntityName.TRANSFER: Transfer,
    EntityName.MEMBER: Member,
    EntityName.POINTS: PointsEntry,
}

_WORDS: Final = {model: str(name) for name, model in ENTITIES.items()}
_CODE: Final = {"type": "string", "maxLength": 120, "pattern": r"^[^\s\x00](?:[^\x00]*[^\s\x00])?$"}
_TIME: Final = {
    "type": "string",
    "pattern": r"^20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
    r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)$",
}

Value = Mapping[str, Any]
Check = Callable[[Sequence[Value]], Sequence[Value | tuple[Issue, ...]]]
"""Canonical values in; for each its normal form or its issues out, in the same order."""


def checker(entity: EntityName) -> Check:
    """How values of that entity are checked. ConfigurationError for an entity that is not ingested yet."""
    if entity not in ENTITIES:
        raise ConfigurationError(f"streams of {entity} records are not ingested yet; remove the stream", key="entity")
    if entity is EntityName.STOCK:
        return _check_stock
    model = ENTITIES[entity]
    return lambda values: [_check(model, value) for value in values]


def _check(model: type[Sourced], value: Value) -> Value | tuple[Issue, ...]:
    try:
        return model.model_validate(value).model_dump(mode="json")
    except ValidationError as error:
        return tuple(
            Issue(
                ".".join(map(str, found["loc"])),
                f"{_WORDS[model]}.{found['type']}",
                f"{found['msg'].removeprefix('Value error, ')}; correct it at the source or in the mapping",
            )
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        )


def _check_stock(values: Sequence[Value]) -> Sequence[Value | tuple[Issue, ...]]:
    if all(map(_is_whole, values)) and _normal_stock().is_valid(values):
        return values
    return [
        value if _is_whole(value) and _normal_stock().is_valid([value]) else _check(StockFact, value)
        for value in values
    ]


def _is_whole(value: Value) -> bool:
    """What JSON Schema cannot say: 5.0 is no int, and a snapshot counts nothing below zero."""
    quantity = value.get("quantity")
    return (
        type(quantity) is int
        and (quantity >= 0 or value.get("kind") == FactKind.DELTA)
        and type(value.get("sequence", 0)) is int
    )


@cache
def _normal_stock() -> Any:
    """Decides whether a list of facts is valid and in normal form; owner, brand and message are the hub's own words."""
    fact = StockFact.model_json_schema()
    definitions = fact.pop("$defs")
    fact["properties"] |= {"owner": True, "brand": True, "sku": _CODE, "location": _CODE, "as_of": _TIME}
    fact["properties"] |= dict.fromkeys(("reason", "batch", "produced_on", "expires_on", "order_refs"), False)
    definitions["Source"]["properties"] |= {"system": True, "message_id": True, "id": _CODE, "occurred_at": _TIME}
    return jsonschema_rs.validator_for({"type": "array", "items": fact, "$defs": definitions})
