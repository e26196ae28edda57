"""Every refusal is application/problem+json (RFC 9457): what happened, where, and what to do next."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import DataError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from canonical_model.errors import (
    AccessError,
    ConfigurationError,
    ConflictError,
    HubError,
    LimitError,
    NotFoundError,
    RecordError,
    RejectedError,
    TransientError,
    UncertainError,
)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:yipan:problem:"
RETRY_AFTER_S: Final = 5
MAX_ERRORS: Final = 100

_log = logging.getLogger(__name__)

# The most special class first: a class is answered by the first row it belongs to.
KINDS: Final[tuple[tuple[type[HubError], str, int], ...]] = (
    (NotFoundError, "not-found", 404),
    (ConflictError, "conflict", 409),
    (AccessError, "access", 403),
    (LimitError, "limit", 413),
    (RecordError, "record", 422),
    (RejectedError, "rejected", 422),
    (TransientError, "transient", 503),
    (UncertainError, "uncertain", 503),
    (ConfigurationError, "configuration", 503),
    (HubError, "internal", 500),
)
_STATUS_OF_CODE: Final = {
    "access": 401,
    "access.signature": 401,
    "document.media_type": 415,
    "body.encoding": 415,
    "body.slow": 408,
    "unmask.rate": 429,
    "search.rate": 429,
}
KIND_OF_STATUS: Final = {
    400: "request",
    401: "access",
    403: "access",
    404: "not-found",
    405: "method",
    408: "limit",
    413: "limit",
    415: "media-type",
    422: "request",
    503: "transient",
}


def problem(
    status: int,
    kind: str,
    code: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """A problem answer. ``kind`` ends its type URI, ``code`` is the exact machine word within it."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }
    if errors:
        body["errors"] = list(errors[:MAX_ERRORS])
    return Response(orjson.dumps(body, default=str), status, headers=headers, media_type=MEDIA_TYPE)


def answer(error: HubError) -> Response:
    """The problem that a HubError is."""
    kind, status = next((kind, status) for cls, kind, status in KINDS if isinstance(error, cls))
    status = _STATUS_OF_CODE.get(error.code, status)
    issues = error.issues if isinstance(error, RecordError) else ()
    errors = [{"field": issue.field, "code": issue.code, "detail": issue.detail} for issue in issues]
    return problem(status, kind, error.code, error.detail, errors=errors, headers=_headers(error, status))


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem."""
    app.add_exception_handler(HubError, _hub_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(DataError, _unstorable)
    app.add_exception_handler(UnicodeEncodeError, _unstorable)
    app.add_exception_handler(Exception, _unexpected)


def _headers(error: HubError, status: int) -> dict[str, str]:
    if status == 503:
        return {"Retry-After": str(max(1, round(error.context.get("after_s", RETRY_AFTER_S))))}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status in (408, 413):
        return {"Connection": "close"}
    if error.code == "body.encoding":
        return {"Accept-Encoding": "identity"}
    return {}


def _hub_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    if error.recovery in ("configure", "person"):
        _log.error("%s %s: %s", request.method, request.url.path, error.detail)
    return answer(error)


def _unstorable(_: Request, __: Exception) -> Response:
    """A NUL, half a surrogate pair or a number beyond 64 bits: no row can have it, so nothing can be asked by it."""
    return problem(
        422, "record", "value.unstorable", "a value has a character or size that nothing stored can have; remove it"
    )


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in e["loc"]), "code": f"request.{e['type']}", "detail": e["msg"]}
        for e in error.errors()
    ]
    detail = f"{len(errors)} part(s) of the request cannot be read; `errors` names each"
    return problem(422, "request", "request.invalid", detail, errors=errors)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = KIND_OF_STATUS.get(error.status_code, "request")
    details = {
        404: f"nothing answers at {request.url.path}; /docs lists every address",
        405: f"{request.method} is not possible at {request.url.path}; /docs lists what is",
    }
    detail = details.get(error.status_code, str(error.detail))
    headers = _allowed(request) if error.status_code == 405 else {}
    return problem(
        error.status_code, kind, f"http.{error.status_code}", detail, headers={**(error.headers or {}), **headers}
    )


def _allowed(request: Request) -> dict[str, str]:
    """Every method of an address; the framework names those of the first route that it finds there."""
    route = request.scope.get("route")
    methods = request.app.openapi()["paths"].get(getattr(route, "path_format", None), {})
    return {"Allow": ", ".join(sorted(methods)).upper()} if methods else {}


def _client_left(request: Request, error: Exception) -> Response:
    _log.info("%s %s: the sender left before its body was complete", request.method, request.url.path)
    return problem(400, "request", "body.truncated", "the body ended early; send the whole body again")


def _unexpected(request: Request, error: Exception) -> Response:
    error_id = secrets.token_hex(8)
    _log.error("%s %s: error %s", request.method, request.url.path, error_id, exc_info=error)
    detail = f"something unexpected happened; error {error_id} in the hub's log says what"
    return problem(500, "internal", "internal", detail, error_id=error_id)
