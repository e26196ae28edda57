"""What the WMS says in a way no table can."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mappings.context import ConvertError, MapContext
from mappings.converters import decimal, whole_quantity


def degrees(value: Any, context: MapContext) -> float:
    """A coordinate from its text, such as "31.2304"."""
    return float(decimal(value, context))


def one(value: Any, context: MapContext) -> list[Any]:
    """A list of just this."""
    return [value]


def lacking(value: Mapping[str, Any], context: MapContext) -> int:
    """What of ``plan`` is not in ``actual``."""
    missing = whole_quantity(value["plan"], context) - whole_quantity(value["actual"], context)
    if missing < 0:
        raise ConvertError("quantity.surplus", "actualQty is above planQty; correct the confirmation")
    return missing


def wall_time(value: Any, context: MapContext) -> str:
    """``YYYY-MM-DD HH:MM:SS`` in the system's zone, which Qimen writes without an offset."""
    return datetime.fromisoformat(str(value)).astimezone(context.tz).strftime("%Y-%m-%d %H:%M:%S")
