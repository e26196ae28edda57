"""The JSON Schema (2020-12) of every entity, one file a version: ``schemas/product.v1.json``.

python -m canonical_model.schema_export            write what changed; a breaking change needs a new version
python -m canonical_model.schema_export --check    fail if a file is missing, stale, or broken by a change
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from canonical_model.common import Entity
from canonical_model.location import Location
from canonical_model.member import Member
from canonical_model.order import Confirmation, Order
from canonical_model.points import PointsEntry
from canonical_model.product import Product
from canonical_model.schema_changes import breaking_changes
from canonical_model.shelf import ShelfObservation
from canonical_model.stock import StockFact
from canonical_model.supplier import Supplier
from canonical_model.transfer import Transfer

FOLDER: Final = Path(__file__).parent / "schemas"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ENTITIES: Final[tuple[type[Entity], ...]] = (
    Product,
    Location,
    StockFact,
    Order,
    Confirmation,
    Transfer,
    Member,
    PointsEntry,
    ShelfObservation,
    Supplier,
)


def file_name(entity: type[Entity]) -> str:
    """Name of the entity's schema file, such as ``stock_fact.v1.json``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", entity.__name__).lower()
    return f"{words}.v{entity.SCHEMA_VERSION}.json"


def schema_of(entity: type[Entity]) -> dict[str, Any]:
    """The entity's JSON Schema, 2020-12."""
    return {"$schema": DIALECT, "$id": f"urn:yipan:{file_name(entity)}", **entity.model_json_schema()}


def problems(entity: type[Entity], folder: Path = FOLDER) -> list[str]:
    """What is wrong with the entity's published file: missing, stale, or a breaking change of the same version."""
    file = folder / file_name(entity)
    if not file.exists():
        return [f"{file.name} is missing; run python -m canonical_model.schema_export"]
    published, current = orjson.loads(file.read_bytes()), schema_of(entity)
    breaks = breaking_changes(published, current)
    if breaks:
        advice = f"raise {entity.__name__}.SCHEMA_VERSION and keep the old file"
        return [f"{file.name} breaks at {change}; {advice}" for change in breaks]
    if published != current:
        return [f"{file.name} is stale; run python -m canonical_model.schema_export"]
    return []


def write(entity: type[Entity], folder: Path = FOLDER) -> list[str]:
    """Write the entity's file, unless that would break its readers; what stood in the way."""
    file, current = folder / file_name(entity), schema_of(entity)
    if file.exists() and breaking_changes(orjson.loads(file.read_bytes()), current):
        return problems(entity, folder)
    file.write_bytes(orjson.dumps(current, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return []


def main(arguments: Sequence[str]) -> int:
    """Write or check every file; 0 when all is well."""
    act = problems if "--check" in arguments else write
    found = [line for entity in ENTITIES for line in act(entity)]
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
