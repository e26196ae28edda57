"""``/v1/messages``: what came in, and what became of it."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from hub_api import messages
from hub_api.messages import MessageFilter
from hub_api.rest.dependencies import HubOf, Observer
from hub_api.rest.intake import MEDIA_TYPES
from hub_api.rest.paging import Limit, page
from hub_api.rest.shapes import Message, Messages
from hub_api.results import read_results

OTHER_KIND: Final = "application/octet-stream"
KINDS: Final[dict[str, dict[str, Any]]] = {kind: {"schema": {}} for kind in (*MEDIA_TYPES, OTHER_KIND)}

router = APIRouter(prefix="/v1/messages", tags=["messages"])


@router.get("", response_model=Messages)
def list_messages(
    hub: HubOf,
    access: Observer,
    system: str | None = None,
    stream: str | None = None,
    state: Literal["received", "applied", "unreadable"] | None = None,
    since: AwareDatetime | None = None,
    before: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Messages, newest first."""
    wanted = MessageFilter(system, stream, state, since)
    with hub.database.unit() as uow:
        rows = messages.list_messages(uow, access.owner, access.brand, wanted, before=before, limit=limit)
    return page(rows, limit)


@router.get("/{message_id}", response_model=Message, response_model_exclude_unset=True)
def get_message(hub: HubOf, access: Observer, message_id: str) -> dict[str, Any]:
    """One message, and what became of each record."""
    with hub.database.unit() as uow:
        message = messages.get_message(uow, access.owner, access.brand, message_id)
        return {**message, **read_results(uow, message)}


@router.get("/{message_id}/raw", response_class=Response, responses={200: {"content": KINDS}})
def get_raw(hub: HubOf, access: Observer, message_id: str) -> Response:
    """The body as it came; personal fields are masked."""
    with hub.database.unit() as uow:
        body, media_type = messages.read_raw(uow, access.owner, access.brand, message_id)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": f'attachment; filename="{message_id}"'}
    kind = media_type.partition(";")[0].strip().lower()
    return Response(body, media_type=media_type if kind in KINDS else OTHER_KIND, headers=headers)
