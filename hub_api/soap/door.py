"""``/soap/v1``: one address for SOAP 1.1 and 1.2. Stored before answered, as every push."""

import logging
import secrets
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import orjson
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from psycopg import DataError
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from canonical_model.errors import AccessError, HubError, Issue, LimitError, NotFoundError, RecordError, RejectedError
from canonical_model.ports import StreamSpec
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.rest import intake
from hub_api.rest.dependencies import HubOf
from hub_api.rest.limits import drop, let_in
from hub_api.rest.problems import RETRY_AFTER_S
from hub_api.soap import faults
from hub_api.soap.answers import read_answer, render_answer
from hub_api.soap.envelope import (
    OPENING_BYTES,
    SOAP_11,
    SOAP_12,
    Envelope,
    read_envelope,
    read_opening,
    version_asked,
)
from hub_api.soap.faults import MEDIA_TYPES, Fault, FaultError
from hub_api.soap.records import MESSAGE_ID, NAMESPACE, OPERATIONS, SYSTEM, VALIDATOR, Operation
from hub_api.soap.security import SECURITY, find_holder, identify
from hub_api.soap.words import zh_of_code
from hub_api.soap.wsdl_file import describe

router = APIRouter(include_in_schema=False)

PATH: Final = "/soap/v1"
PARSED_AT_ONCE: Final = 2
FIRST_LOOK_BYTES: Final = 1_024
HELP: Final = """\
Yipan Hub, SOAP 1.1 and 1.2 / 一盘中台 SOAP 接口

WSDL: {url}?wsdl
Send POST requests here with a WS-Security UsernameToken or `Authorization: Bearer yk_…`.
请用 POST 调用本地址，并附带 WS-Security UsernameToken 或 API 密钥。
"""
_ROLES: Final = {
    SOAP_11: (f"{{{SOAP_11}}}actor", {"", "http://schemas.xmlsoap.org/soap/actor/next"}),
    SOAP_12: (f"{{{SOAP_12}}}role", {"", f"{SOAP_12}/role/next", f"{SOAP_12}/role/ultimateReceiver"}),
}

_PARSERS: Final[RunVar[CapacityLimiter]] = RunVar("soap_parsers")
_log = logging.getLogger(__name__)


@router.get(PATH)
async def show(request: Request) -> Response:
    """The WSDL for ``?wsdl``; else where to find it."""
    url = _address(request)
    if "wsdl" in (name.lower() for name in request.query_params):
        return Response(describe(url), media_type="text/xml; charset=utf-8")
    return PlainTextResponse(HELP.format(url=url))


@router.post(PATH)
async def push(hub: HubOf, request: Request) -> Response:
    """Take one operation and answer it in its own SOAP version, refusals included."""
    call = _Call(hub, request)
    try:
        return _xml(await call.answer(), call.version)
    except FaultError as error:
        fault = error.fault
    except HubError as error:
        if error.recovery in ("configure", "person"):
            _log.error("%s: %s", PATH, error.detail)
        fault = faults.of_error(error, call.operation)
    except (DataError, UnicodeEncodeError):
        detail = "a value has a character or size that nothing stored can have; remove it"
        fault = faults.of_error(RejectedError(detail, code="value.unstorable"))
    except ClientDisconnect:
        fault = faults.of_error(RejectedError("the body ended early; send it again", code="body.truncated"))
    except Exception as error:  # noqa: BLE001 - a SOAP client is answered in SOAP, whatever happened
        error_id = secrets.token_hex(8)
        _log.error("%s: error %s", PATH, error_id, exc_info=error)
        fault = faults.internal(error_id)
    return answer_fault(fault, call.version)


def _address(request: Request) -> str:
    """Where the caller reaches this door; a proxy that speaks TLS says so in X-Forwarded-Proto."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    scheme = scheme if scheme in ("http", "https") else request.url.scheme
    return str(request.url.replace(scheme=scheme, query="", fragment=""))


def refuse_body(error: HubError, scope: Scope) -> Response:
    """What a body that is too long, too slow or compressed is answered, before it is read."""
    content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    response = answer_fault(faults.of_error(error), version_asked(content_type.decode("latin-1")))
    response.headers["Connection"] = "close"
    return response


def answer_fault(fault: Fault, version: str) -> Response:
    """The response that carries a fault."""
    status = fault.status if version == SOAP_12 else 500
    response = _xml(faults.render(fault, version), version, status)
    if fault.role == faults.RECEIVER:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _xml(content: bytes, version: str, status: int = 200) -> Response:
    return Response(content, status, headers={"Content-Type": MEDIA_TYPES[version]})


class _Call:
    """One request on its way: what is known of it so far words its answer."""

    def __init__(self, hub: Hub, request: Request) -> None:
        self._hub = hub
        self._request = request
        self._content_type = request.headers.get("content-type", "")
        self.version = version_asked(self._content_type)
        self.operation: Operation | None = None

    async def answer(self) -> bytes:
        """The envelope of the answer. Raises FaultError and HubError."""
        access, body = await self._receive()
        system, spec, message_id, records = await run_sync(self._read, body, access, limiter=_parsers())
        received = await intake.keep(
            self._request,
            system=system,
            stream=spec.name,
            body=orjson.dumps(records),
            media_type=intake.JSON,
            idempotency_key=message_id,
        )
        document = await intake.carry_out(self._request, received, partial(read_answer, spec=spec, records=records))
        if document["state"] == "unreadable":
            (whole,) = document["results"]
            raise RecordError([Issue(**issue) for issue in whole["issues"]], code=whole["issues"][0]["code"])
        assert self.operation is not None
        return await run_sync(render_answer, self.operation, self.version, message_id, document)

    async def _receive(self) -> tuple[Access, bytes]:
        """Who sends, and the body. Of a message that its opening gets refused the rest is read only to be dropped."""
        holder = await run_sync(find_holder, self._hub.database, self._request.headers.get("authorization", ""))
        stream = self._request.stream()
        try:
            return await self._gather(stream, holder)
        except HubError:
            drop(self._request.scope)
            async for _ in stream:
                pass
            raise

    async def _gather(self, stream: AsyncIterator[bytes], holder: Access | None) -> tuple[Access, bytes]:
        chunks: list[bytes] = []
        access, size, look_at = None, 0, FIRST_LOOK_BYTES
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if access is None and size >= look_at:
                access = await self._let_in(b"".join(chunks), holder)
                look_at = min(2 * size, OPENING_BYTES)
        body = b"".join(chunks)
        access = access or await self._let_in(body, holder)
        if access is None:
            await run_sync(read_envelope, body, self._content_type)
            raise AccessError("the message has no opening; send what the WSDL describes", code="access")
        return access, body

    async def _let_in(self, start: bytes, holder: Access | None) -> Access | None:
        access = await run_sync(self._find_sender, start, holder)
        if access is not None:
            let_in(self._request.scope)
        return access

    def _find_sender(self, start: bytes, holder: Access | None) -> Access | None:
        """Who sends the message that begins so; None while that cannot be said."""
        opening = read_opening(start[:OPENING_BYTES], self._content_type)
        if opening is None:
            if len(start) >= OPENING_BYTES:
                detail = f"the Header does not end within {OPENING_BYTES} bytes; send a shorter one"
                raise LimitError(detail, code="limit.header")
            return None
        self.version = opening.version
        return identify(self._hub.database, opening.headers, holder, datetime.now(UTC))

    def _read(self, body: bytes, access: Access) -> tuple[str, StreamSpec, str, list[dict[str, Any]]]:
        """System, stream and message id of the request, and its records."""
        try:
            return self._build(body, access)
        except Exception as error:
            # An error remembers its frames, and they the tree; both would wait for the garbage collector.
            traceback.clear_frames(error.__traceback__)
            raise

    def _build(self, body: bytes, access: Access) -> tuple[str, StreamSpec, str, list[dict[str, Any]]]:
        envelope = read_envelope(body, self._content_type)
        _check_headers(envelope)
        self.operation = operation = _operation(envelope)
        if violations := VALIDATOR.violations(envelope.content):
            raise FaultError(faults.of_violations(violations))
        system, spec = _target(self._hub, access, operation, envelope.content.findtext(SYSTEM))
        return system, spec, envelope.content.findtext(MESSAGE_ID) or "", operation.read_items(envelope.content)


def _parsers() -> CapacityLimiter:
    """Who may build a whole message at once: its tree takes many times its length."""
    try:
        return _PARSERS.get()
    except LookupError:
        limiter = CapacityLimiter(PARSED_AT_ONCE)
        _PARSERS.set(limiter)
        return limiter


def _check_headers(envelope: Envelope) -> None:
    """FaultError if a header block must be understood by us and is not."""
    name, ours = _ROLES[envelope.version]
    mandatory = f"{{{envelope.version}}}mustUnderstand"
    unknown = tuple(
        str(block.tag)
        for block in envelope.headers
        if block.tag != SECURITY
        and block.get(mandatory, "").strip() in ("1", "true")
        and block.get(name, "").strip() in ours
    )
    if unknown:
        code = "soap.not_understood"
        detail = f"the header {unknown[0][:200]} must be understood and is not; leave it out"
        raise FaultError(Fault(faults.NOT_UNDERSTOOD, code, zh_of_code(code), detail, headers=unknown))


def _operation(envelope: Envelope) -> Operation:
    space, _, name = str(envelope.content.tag).removeprefix("{").rpartition("}")
    if name in OPERATIONS and space == NAMESPACE:
        return OPERATIONS[name]
    if name in OPERATIONS:
        detail = f"{name} is in another namespace; use {NAMESPACE}"
        raise RecordError([Issue("Body", "soap.namespace", detail)], code="soap.namespace")
    detail = f"there is no operation {name[:60]!r}; use one of {', '.join(OPERATIONS)}"
    raise RecordError([Issue("Body", "soap.operation", detail)], code="soap.operation")


def _target(hub: Hub, access: Access, operation: Operation, named: str | None) -> tuple[str, StreamSpec]:
    """The system and its stream that the request feeds, if the caller may feed it.

    Raises RejectedError (``system.ambiguous``), AccessError, NotFoundError.
    """
    systems = sorted(scope.partition(":")[2] for scope in access.scopes if scope.startswith("ingest:"))
    if named is None and (len(systems) != 1 or systems == ["*"]):
        detail = "these credentials reach several systems or none; name one in the element system"
        raise RejectedError(detail, code="system.ambiguous")
    system = named if named is not None else systems[0]
    access.require("ingest", system)
    intake.check_brand(hub, access, system)
    streams = {stream.operation: stream for stream in hub.estate.connector(system).manifest.streams if stream.operation}
    if operation.name not in streams:
        taken = ", ".join(sorted(streams)) or "nothing by SOAP"
        detail = f"{system} does not take {operation.name}; it takes {taken}"
        raise NotFoundError(detail, code="operation.unsupported", system=system)
    return system, streams[operation.name]
