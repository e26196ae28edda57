"""What the DRP says in a way no table can."""

from typing import Any

from mappings.context import MapContext
from mappings.converters import decimal, local_time, text

NEVER = "0000-00-00"


def one(value: Any, context: MapContext) -> list[Any]:
    """A list of just this."""
    return [value]


def services(value: Any, context: MapContext) -> list[str]:
    """What a store does; one whose SHIP_FLAG is 1 also sends parcels."""
    return ["sell", "pickup", "return", *(["ship"] if value == "1" else [])]


def degrees(value: Any, context: MapContext) -> float:
    """A coordinate from its text, such as "31.2304"."""
    return float(decimal(value, context))


def legacy_time(value: Any, context: MapContext) -> str | None:
    """A time kept as text; blank or all zeros is no time."""
    written = text(value, context)
    return None if not written or written.startswith(NEVER) else local_time(written, context)
