"""What the hub's own channels may not say."""

from typing import Any

from mappings.context import ConvertError, MapContext


def own_channel(value: Any, context: MapContext) -> str:
    """The channel of an order, which is the system that sent it."""
    if value != context.system:
        raise ConvertError("order.channel", f"this channel is {context.system!r}; send only its own orders")
    return context.system
