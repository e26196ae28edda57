"""Runs the examples that a mapping table carries."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, ValidationError

from canonical_model.errors import RecordError
from canonical_model.location import Location
from canonical_model.member import Member
from canonical_model.order import Confirmation, Order
from canonical_model.points import PointsEntry
from canonical_model.ports import EntityName
from canonical_model.product import Product
from canonical_model.stock import StockFact
from canonical_model.transfer import Transfer
from mappings.context import MapContext
from mappings.table import Example

if TYPE_CHECKING:
    from mappings.engine import Mapping

ENTITIES: Final[dict[EntityName, type[BaseModel]]] = {
    EntityName.PRODUCT: Product,
    EntityName.LOCATION: Location,
    EntityName.STOCK: StockFact,
    EntityName.ORDER: Order,
    EntityName.CONFIRMATION: Confirmation,
    EntityName.TRANSFER: Transfer,
    EntityName.MEMBER: Member,
    EntityName.POINTS: PointsEntry,
}

EXAMPLE_CONTEXT: Final = MapContext(
    owner="owner",
    brand="brand",
    system="system",
    zone="Asia/Shanghai",
    message_id="message",
    received_at=datetime(2026, 11, 3, 1, 30, tzinfo=UTC),
)


def run_examples(mapping: "Mapping") -> list[str]:
    """A sentence for each example that fails; empty when all hold.

    Of a mapping into the hub, ``out`` leaves away what the context supplies (owner, brand, source.system and
    source.message_id), and the result must be a valid canonical entity.
    """
    return [
        f"{mapping.where}: {example.name}: {failure}"
        for example in mapping.examples
        for failure in _failures(mapping, example)
    ]


def _failures(mapping: "Mapping", example: Example) -> list[str]:
    try:
        result = mapping.map(orjson.loads(example.given), EXAMPLE_CONTEXT)
    except RecordError as error:
        found = {issue.code for issue in error.issues}
        return [] if found == set(example.issues or ()) else [f"issues {sorted(found)}: {error}"]
    if example.out is None:
        return [f"expected issues {list(example.issues or ())}, but it mapped to {_text(result)}"]
    failures = _invalid(mapping.entity, result) if mapping.direction == "in" else []
    expected = orjson.loads(example.out)
    shown = _without_context(result, expected) if mapping.direction == "in" else result
    if shown != expected:
        failures.append(f"expected {_text(expected)}, got {_text(shown)}")
    return failures


def _invalid(entity: EntityName, result: dict[str, Any]) -> list[str]:
    try:
        ENTITIES[entity].model_validate(result)
    except ValidationError as error:
        return [f"not a valid {entity}: {error}"]
    return []


def _without_context(result: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """The result without what the context supplied, unless the example states it."""
    kept = {key: value for key, value in result.items() if key not in {"owner", "brand"} or key in expected}
    supplied = {"system", "message_id"}
    if result["source"]["occurred_at"] == EXAMPLE_CONTEXT.received_at.isoformat():
        supplied.add("occurred_at")
    stated = expected.get("source", {})
    kept["source"] = {key: value for key, value in result["source"].items() if key not in supplied or key in stated}
    return kept


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
