"""What a finance company wants in a way no table can say."""

from datetime import datetime
from typing import Any

from mappings.context import ConvertError, MapContext
from mappings.converters import whole_quantity


def whole_points(value: Any, context: MapContext) -> int:
    """A number of points: whole and above zero, because the writer says in which direction."""
    amount = whole_quantity(value, context)
    if amount == 0:
        raise ConvertError("points.none", "is 0; move at least one point")
    return amount


def digits_of_time(value: Any, context: MapContext) -> str:
    """``YYYYMMDDHHMMSS`` in the system's zone; parts of a second are left out."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConvertError("time.format", "is not a time; write it like 2026-11-03T09:30:00+08:00") from error
    if moment.tzinfo is None:
        raise ConvertError("time.offset", "has no offset; write it like 2026-11-03T09:30:00+08:00")
    return moment.astimezone(context.tz).strftime("%Y%m%d%H%M%S")
