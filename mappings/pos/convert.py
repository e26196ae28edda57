"""What the till says in a way no table can."""

from typing import Any

from mappings.context import MapContext
from mappings.converters import decimal


def own_channel(value: Any, context: MapContext) -> str:
    """The channel of a till's order is the till system itself, by the name this installation gave it."""
    return context.system


def one(value: Any, context: MapContext) -> list[Any]:
    """A list of just this."""
    return [value]


def degrees(value: Any, context: MapContext) -> float:
    """A coordinate from a number or its text; tills send either."""
    return float(decimal(value, context))


def services(value: Any, context: MapContext) -> list[str]:
    """What a store does; ``canShip`` stores also send parcels."""
    return ["sell", "pickup", "return", *(["ship"] if value is True else [])]
