"""From a pushed body to an answer: stored first, then, if the sender wants to wait, carried out and reported."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import anyio
import orjson
from anyio.to_thread import run_sync
from fastapi import Header, Query, Request
from opentelemetry import trace
from starlette.responses import Response

from canonical_model.errors import AccessError
from flows.ingest.messages import get_message
from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub
from flows.runtime.inbox import Incoming, Received
from hub_api.auth import Access
from hub_api.rest.document import refuses
from hub_api.rest.inbox import Inbox
from hub_api.rest.problems import problem
from hub_api.rest.shapes import Receipt, Results
from hub_api.results import read_results

JSON: Final = "application/json"
MEDIA_TYPES: Final = (JSON, "application/x-ndjson", "text/csv", "application/xml")
POLL_S: Final = 0.05
IN_WORK: Final = "received"

Wait = Annotated[bool, Query(description="Answer when the records are applied, with a result for each.")]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same on every try of one message: 1 to 200 printable characters."),
]
_HEADERS: Final = {
    "Location": {"schema": {"type": "string"}, "description": "Where the message can be read."},
    "Idempotency-Replayed": {
        "schema": {"const": "true"},
        "description": "The message came before; this is its answer again.",
    },
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": Results, "headers": _HEADERS, "description": "Applied; what became of each record."},
    202: {"model": Receipt, "headers": _HEADERS, "description": "Stored; the records are applied whatever happens."},
    **refuses(404, 409),
}

ReadResults = Callable[[Hub, str], dict[str, Any]]


async def take(request: Request, *, system: str, stream: str, body: bytes, idempotency_key: str | None) -> Received:
    """Store the body as a message; it is durable when this returns. Raises what ``inbox.receive`` raises."""
    media_type = request.headers.get("content-type", JSON)
    return await keep(
        request, system=system, stream=stream, body=body, media_type=media_type, idempotency_key=idempotency_key
    )


async def keep(
    request: Request, *, system: str, stream: str, body: bytes, media_type: str, idempotency_key: str | None
) -> Received:
    """As ``take``, for a body whose media type is known."""
    incoming = Incoming(
        system=system,
        stream=stream,
        body=body,
        media_type=media_type,
        received_at=datetime.now(UTC),
        idempotency_key=idempotency_key,
        traceparent=telemetry.current_traceparent(),
    )
    received = await inbox_of(request).store(incoming)
    names = {"yipan.system": system, "yipan.stream": stream, "yipan.message": received.message_id}
    trace.get_current_span().set_attributes({**names, "yipan.replayed": not received.new})
    return received


def check_brand(hub: Hub, access: Access, system: str) -> None:
    """Returns if ``system`` is connected for the caller's brand. Raises NotFoundError, AccessError."""
    config = hub.estate.connector(system).config
    if (config.owner, config.brand) != (access.owner, access.brand):
        raise AccessError(f"{system} belongs to another brand than this key", code="access.brand")


async def answer(request: Request, received: Received, *, wait: bool) -> Response:
    """202 with the message's id and counts so far; with ``wait`` 200 and a result for each record.

    A document that could not be read as a whole is 422, with every issue. The wait is bounded by the setting
    ``wait_s``; after it the answer is 202, and the records are applied all the same.
    """
    document = await carry_out(request, received) if wait else received.answer
    headers = {"Location": f"/v1/messages/{received.message_id}"}
    if not received.new:
        headers["Idempotency-Replayed"] = "true"
    if wait and document["state"] == "unreadable":
        (whole,) = document["results"]
        detail = f"the document cannot be read; message {received.message_id} keeps it"
        code = whole["issues"][0]["code"]
        return problem(422, "record", code, detail, errors=whole["issues"], headers=headers, **_named(document))
    status = 200 if wait and document["state"] != IN_WORK else 202
    return Response(orjson.dumps(document), status, headers=headers, media_type=JSON)


async def carry_out(request: Request, received: Received, read: ReadResults | None = None) -> dict[str, Any]:
    """Carry the message's run on here, or wait while a worker does; what became of it, or how far it is by then.

    ``read`` says what became of the message; ``results.read_results`` when left out.
    """
    inbox = inbox_of(request)
    hub, read = inbox.hub, read or _results
    deadline = anyio.current_time() + hub.settings.wait_s
    with anyio.move_on_after(hub.settings.wait_s):
        await inbox.carry_on(received)
    while True:
        document = await run_sync(read, hub, received.message_id)
        if document["state"] != IN_WORK or anyio.current_time() >= deadline:
            return document
        await anyio.sleep(POLL_S)


def inbox_of(request: Request) -> Inbox:
    """Where the application of this request stores what comes."""
    inbox: Inbox = request.app.state.inbox
    return inbox


def _results(hub: Hub, message_id: str) -> dict[str, Any]:
    with hub.database.unit() as uow:
        return read_results(uow, get_message(uow.connection, message_id))


def _named(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("message_id", "state")}
