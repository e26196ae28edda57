"""The contracts of the hub's own streams: the canonical entities without what the hub itself adds.

``python -m connectors.hub.contract`` writes them to ``schemas/``; a test keeps files and entities equal.
"""

from pathlib import Path
from typing import Any, Final

import orjson

from canonical_model.common import Sourced
from canonical_model.location import Location
from canonical_model.member import Member
from canonical_model.order import Order
from canonical_model.points import PointsEntry
from canonical_model.product import Product
from canonical_model.stock import StockFact

FOLDER: Final = Path(__file__).parent / "schemas"
ENTITIES: Final[dict[str, type[Sourced]]] = {
    "orders": Order,
    "products": Product,
    "locations": Location,
    "stock": StockFact,
    "members": Member,
    "points": PointsEntry,
}
OWN_NAMES: Final[dict[type[Sourced], str]] = {
    StockFact: "The channel's own name of this figure.",
    Member: "The sender's own name of this person: never changes, and is no mobile number.",
    PointsEntry: "The sender's own name of this entry: the same name is the same entry.",
}
ADDED_BY_THE_HUB: Final = frozenset({"owner", "brand", "source"})
_CODE: Final = {"type": "string", "minLength": 1, "maxLength": 120}
_CHANGED: Final = {
    "description": "When the member last changed at the sender; the newest wins. Left out: when it was received.",
    "type": "string",
    "format": "date-time",
}


def contract(entity: type[Sourced]) -> dict[str, Any]:
    """JSON Schema of what a channel sends for ``entity``."""
    schema = entity.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"] = {name: value for name, value in schema["properties"].items() if name not in ADDED_BY_THE_HUB}
    schema["required"] = [name for name in schema["required"] if name not in ADDED_BY_THE_HUB]
    schema["$defs"].pop("Source", None)
    if entity in OWN_NAMES:
        schema["properties"]["id"] = {"description": OWN_NAMES[entity], **_CODE}
        schema["required"] = ["id", *schema["required"]]
    if entity is Member:
        schema["properties"]["occurred_at"] = _CHANGED
    return schema


def render(entity: type[Sourced]) -> bytes:
    """The file's content: sorted keys, one final newline."""
    return orjson.dumps(contract(entity), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    """Write every contract."""
    for stream, entity in ENTITIES.items():
        (FOLDER / f"{stream}.json").write_bytes(render(entity))


if __name__ == "__main__":
    main()
