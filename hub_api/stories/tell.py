"""The story of an order, message, run, SKU or trace."""

from canonical_model.errors import NotFoundError
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.stories.shapes import Story


def story(hub: Hub, access: Access, kind: str, story_id: str) -> Story:
    """Everything about one thing, in one answer. NotFoundError if there is none of that id in the caller's brand."""
    access.require("ops", "read")
    raise NotFoundError(f"there is no {kind} {story_id!r}", code="story.unknown")
