"""What a finance company wants in a way no table can say."""

from typing import Any

from mappings.context import MapContext, moment_there


def digits_of_time(value: Any, context: MapContext) -> str:
    """``YYYYMMDDHHMMSS`` in the system's zone; parts of a second are left out."""
    return moment_there(value, context).strftime("%Y%m%d%H%M%S")
