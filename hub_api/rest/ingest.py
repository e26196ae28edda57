"""``/v1/ingest``: where systems push. Stored before answered, whatever happens next."""

import logging
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from canonical_model.errors import HubError, RejectedError
from canonical_model.ports import Connector, Door, PushRequest
from flows.runtime.bootstrap import Hub
from hub_api.rest import intake
from hub_api.rest.dependencies import BEARER, HubOf, get_access, refuse_unknown_query
from hub_api.rest.document import PROBLEM, REASONS, refuses
from hub_api.rest.problems import MEDIA_TYPE, RETRY_AFTER_S

router = APIRouter(tags=["ingest"])

_log = logging.getLogger(__name__)

ACCEPTED: Final = "accepted"
OWN_WORDS: Final[dict[str, Any]] = {"text/xml": {"schema": {}}}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **intake.ANSWERS,
    **refuses(401, 403),
    200: {**intake.ANSWERS[200], "content": OWN_WORDS},
    503: {"description": REASONS[503], "content": {MEDIA_TYPE: {"schema": PROBLEM}, **OWN_WORDS}},
}


@router.post(
    "/v1/ingest/{system}/{stream}",
    status_code=202,
    responses=ANSWERS,
    openapi_extra={
        "requestBody": {"required": True, "content": {kind: {"schema": {}} for kind in intake.MEDIA_TYPES}},
        "security": [{BEARER: []}, {}],
    },
)
async def ingest(
    hub: HubOf,
    request: Request,
    system: str,
    stream: str,
    wait: intake.Wait = False,
    idempotency_key: intake.IdempotencyKey = None,
) -> Response:
    """Push records of one stream. Scope ``ingest:{system}``; a system that signs its pushes needs no key."""
    connector = hub.estate.connectors.get(system)
    if connector is not None and connector.door is not None:
        return await _signed(hub, request, connector, connector.door, stream)
    refuse_unknown_query(request)
    access = await get_access(request)
    access.require("ingest", system)
    intake.check_brand(hub, access, system)
    received = await intake.take(
        request, system=system, stream=stream, body=await request.body(), idempotency_key=idempotency_key
    )
    return await intake.answer(request, received, wait=wait)


async def _signed(hub: Hub, request: Request, connector: Connector, door: Door, stream: str) -> Response:
    """Let the connector verify the push and word the answer, also when it is no."""
    system, body = connector.config.name, await request.body()
    push = PushRequest(stream, dict(request.query_params), dict(request.headers), body, datetime.now(UTC))
    try:
        door.verify(push)
        # A header is not signed: the key of a signed push is the document's own number or its fingerprint.
        received = await intake.take(request, system=system, stream=stream, body=body, idempotency_key=None)
    except HubError as error:
        _log.warning("%s/%.80r was turned away: %.300r", system, stream, error.detail)
        return _worded(door, error)
    reply = door.reply(accepted=True, code=ACCEPTED, detail=received.message_id)
    return Response(reply.body, 200, media_type=reply.media_type)


def _worded(door: Door, error: HubError) -> Response:
    """A refusal is answered with 200 in the protocol's own words; what may go better later, with 503."""
    reply = door.reply(accepted=False, code=error.code, detail=error.detail)
    if isinstance(error, RejectedError):
        return Response(reply.body, 200, media_type=reply.media_type)
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Response(reply.body, 503, headers=headers, media_type=reply.media_type)
