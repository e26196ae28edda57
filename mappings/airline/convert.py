"""What an airline wants in a way no table can say."""

from datetime import datetime
from typing import Any

from mappings.context import ConvertError, MapContext
from mappings.converters import whole_quantity


def whole_miles(value: Any, context: MapContext) -> int:
    """A number of miles: whole and above zero, because the writer says in which direction."""
    miles = whole_quantity(value, context)
    if miles == 0:
        raise ConvertError("points.none", "is 0; move at least one point")
    return miles


def day(value: Any, context: MapContext) -> str:
    """The calendar day of a point in time in the system's zone."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConvertError("time.format", "is not a time; write it like 2026-11-03T09:30:00+08:00") from error
    if moment.tzinfo is None:
        raise ConvertError("time.offset", "has no offset; write it like 2026-11-03T09:30:00+08:00")
    return moment.astimezone(context.tz).date().isoformat()
