"""``/v1/search`` and ``/v1/stories``: where a thing is and what happened to it; the evidence about a write in doubt."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from canonical_model.errors import NotFoundError
from hub_api import stories
from hub_api.rest.dependencies import HubOf, Observer
from hub_api.rest.document import refuses
from hub_api.rest.runs import RowId
from hub_api.stories import Evidence, Hit, Kind, Story
from hub_api.stories.search import MAX_TEXT

router = APIRouter(prefix="/v1", tags=["search"])

StoryId = Annotated[str, Path(min_length=1, max_length=MAX_TEXT, description="A SKU's code, else an id.")]


class Question(BaseModel):
    """Any number, code, key, phone or id. It may be personal, so it belongs in a body: addresses end up in logs."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Hits(BaseModel):
    """What was found: exact hits first."""

    items: list[Hit]


@router.post("/search", responses=refuses(429))
def search(hub: HubOf, access: Observer, question: Question) -> Hits:
    """Find an order, parcel, waybill, SKU, GTIN, message, key, trace, run or document number.

    A phone is found with `members:read`, so many times an hour.
    """
    return Hits(items=stories.search(hub, access, question.text))


@router.get("/stories/{kind}/{story_id:path}")
def tell(hub: HubOf, access: Observer, kind: Kind, story_id: StoryId) -> Story:
    """Everything about one thing; personal fields are masked."""
    return stories.story(hub, access, kind, story_id)


@router.get("/runs/{run_id}/effects/{effect_id}/evidence", tags=["runs"])
def evidence(hub: HubOf, access: Observer, run_id: RowId, effect_id: RowId, ask: bool = True) -> Evidence:
    """What was sent and, with ``ask``, what the destination says now about it; for settling a write in doubt."""
    found = stories.evidence(hub, access, effect_id, ask=False)
    if found.effect.run_id != run_id:
        raise NotFoundError(f"run {run_id} has no effect {effect_id}", code="effect.unknown")
    return stories.evidence(hub, access, effect_id) if ask else found
