"""``/soap/v1``: one address for SOAP 1.1 and 1.2. Stored before answered, as every push."""

import logging
import secrets
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from psycopg import DataError
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from canonical_model.errors import HubError, Issue, NotFoundError, RecordError, RejectedError
from canonical_model.ports import StreamSpec
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.rest import intake
from hub_api.rest.dependencies import HubOf
from hub_api.rest.problems import RETRY_AFTER_S
from hub_api.soap import faults
from hub_api.soap.answers import read_answer, render_answer
from hub_api.soap.envelope import SOAP_11, SOAP_12, Envelope, read_envelope, version_asked
from hub_api.soap.faults import MEDIA_TYPES, Fault, FaultError
from hub_api.soap.records import MESSAGE_ID, NAMESPACE, OPERATIONS, SYSTEM, VALIDATOR, Operation
from hub_api.soap.security import SECURITY, find_holder, identify
from hub_api.soap.words import zh_of_code
from hub_api.soap.wsdl_file import describe

router = APIRouter(include_in_schema=False)

PATH: Final = "/soap/v1"
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
        hub = self._hub
        holder = await run_sync(find_holder, hub.database, self._request.headers.get("authorization", ""))
        body = await self._request.body()
        system, spec, message_id, records = await run_sync(self._read, body, holder)
        received = await intake.keep(
            hub,
            system=system,
            stream=spec.name,
            body=orjson.dumps(records),
            media_type=intake.JSON,
            idempotency_key=message_id,
        )
        document = await intake.carry_out(hub, received, partial(read_answer, spec=spec, records=records))
        if document["state"] == "unreadable":
            (whole,) = document["results"]
            raise RecordError([Issue(**issue) for issue in whole["issues"]], code=whole["issues"][0]["code"])
        assert self.operation is not None
        return await run_sync(render_answer, self.operation, self.version, message_id, document)

    def _read(self, body: bytes, holder: Access | None) -> tuple[str, StreamSpec, str, list[dict[str, Any]]]:
        """System, stream and message id of the request, and its records."""
        envelope = read_envelope(body, self._content_type)
        self.version = envelope.version
        _check_headers(envelope)
        access = identify(self._hub.database, envelope.headers, holder, datetime.now(UTC))
        self.operation = operation = _operation(envelope)
        if violations := VALIDATOR.violations(envelope.content):
            raise FaultError(faults.of_violations(violations))
        system, spec = _target(self._hub, access, operation, envelope.content.findtext(SYSTEM))
        return system, spec, envelope.content.findtext(MESSAGE_ID) or "", operation.read_items(envelope.content)


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
