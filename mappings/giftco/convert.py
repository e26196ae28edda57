"""What the gift supplier wants said in a way no table can."""

from datetime import datetime
from typing import Any

from mappings.context import ConvertError, MapContext
from mappings.converters import text, whole_quantity

MAX_PIECES = 9_999


def pieces(value: Any, context: MapContext) -> int:
    """How many are ordered: from 1 to 9,999."""
    count = whole_quantity(value, context)
    if not 1 <= count <= MAX_PIECES:
        raise ConvertError("quantity.range", f"is not from 1 to {MAX_PIECES}; order in parts, or leave the line out")
    return count


def epoch_milliseconds(value: Any, context: MapContext) -> int:
    """Milliseconds since 1970 of a point in time with an offset."""
    moment = datetime.fromisoformat(text(value, context))
    if moment.tzinfo is None:
        raise ConvertError("time.offset", "has no offset; send ISO 8601 with one")
    return int(moment.timestamp() * 1000)
