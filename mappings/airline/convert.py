"""What an airline wants in a way no table can say."""

from typing import Any

from mappings.context import MapContext, moment_there


def day(value: Any, context: MapContext) -> str:
    """The calendar day of a point in time in the system's zone."""
    return moment_there(value, context).date().isoformat()
