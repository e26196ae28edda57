"""HTTP to outside systems: reads are retried here, writes never are, every failure says what to do next."""

import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import orjson
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from canonical_model.errors import (
    ConfigurationError,
    ConflictError,
    HubError,
    LimitError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)

READ_ATTEMPTS: Final = 3
READ_BUDGET_S: Final = 10.0
MAX_RESPONSE_BYTES: Final = 32 * 1024 * 1024
MAX_WORDS: Final = 300
_IDLE_CONNECTION_S: Final = 2.0  # below the 5 s after which most servers close: a write must not meet a closing socket

_TRACE = TraceContextTextMapPropagator()
_WAIT = wait_random_exponential(multiplier=0.4, max=3.0)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_OUR_MISTAKE = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)

_BODY_HEADERS: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})

Response = httpx.Response
Explain = Callable[[Response], HubError | None]


class _TooLargeError(Exception):
    pass


class HttpClient:
    """Talks to one base URL. Thread-safe; close it when done.

    timeout_s bounds one whole request and its answer. ``explain`` reads the other side's own error body and
    returns the error to raise, or None to go by the status alone.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        explain: Explain | None = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._timeout_s = timeout_s
        self._explain = explain
        self._max_response_bytes = max_response_bytes
        self._client = httpx.Client(
            base_url=_checked(base_url),
            headers=dict(headers or {}),
            auth=auth,
            trust_env=False,
            limits=httpx.Limits(max_connections=100, keepalive_expiry=_IDLE_CONNECTION_S),
        )
        self._host = self._client.base_url.netloc.decode("ascii", "replace")

    def __repr__(self) -> str:
        return f"HttpClient({self._host})"

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every pooled connection."""
        self._client.close()

    def read(self, method: str, path: str, **request: Any) -> Response:
        """A request that changes nothing over there: up to three tries, ten seconds in all.

        ``request`` takes httpx's keywords. Raises TransientError, RejectedError, ConfigurationError.
        """
        deadline = time.monotonic() + READ_BUDGET_S
        retrying = Retrying(
            stop=stop_after_attempt(READ_ATTEMPTS) | stop_before_delay(READ_BUDGET_S),
            wait=_wait,
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )

        def attempt() -> Response:
            remaining_s = max(deadline - time.monotonic(), 0.001)
            return self._request(method, path, write=False, timeout_s=min(self._timeout_s, remaining_s), **request)

        return retrying(attempt)

    def send(self, method: str, path: str, **request: Any) -> Response:
        """A request that changes something over there: sent once.

        Raises TransientError (not sent, or turned away before it was looked at), RejectedError (refused),
        UncertainError (sent, no usable answer), ConfigurationError.
        """
        return self._request(method, path, write=True, timeout_s=self._timeout_s, **request)

    def _request(self, method: str, path: str, *, write: bool, timeout_s: float, **request: Any) -> Response:
        deadline = time.monotonic() + timeout_s
        headers = dict(request.pop("headers", None) or {})
        _TRACE.inject(headers)
        where = f"{method} {path.partition('?')[0]} at {self._host}"
        try:
            with self._client.stream(method, path, headers=headers, timeout=timeout_s, **request) as arriving:
                response = self._whole(arriving, deadline)
        except (httpx.HTTPError, httpx.InvalidURL, _TooLargeError) as error:
            raise translate_failure(error, write=write, where=where) from error
        if response.is_success:
            return response
        explained = self._explain(response) if self._explain else None
        raise explained or translate_status(response, write=write, where=where)

    def _whole(self, response: Response, deadline: float) -> Response:
        chunks, size = [], 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._max_response_bytes:
                raise _TooLargeError(self._max_response_bytes)
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer trickled in too slowly", request=response.request)
            chunks.append(chunk)
        headers = [(k, v) for k, v in response.headers.raw if k.lower() not in _BODY_HEADERS]
        return httpx.Response(response.status_code, headers=headers, content=b"".join(chunks), request=response.request)


def translate_failure(error: Exception, *, write: bool, where: str) -> HubError:
    """What an httpx exception means: nothing was sent, we do not know, or our own setting is wrong."""
    reason = type(error).__name__
    if _certificate_refused(error):
        return ConfigurationError(f"{where}: the certificate is not trusted; install its authority or correct base_url")
    if isinstance(error, _OUR_MISTAKE):
        return ConfigurationError(f"{where}: {reason}: {error}; correct the URL or headers")
    if isinstance(error, _NOT_SENT):
        return TransientError(f"{where}: {reason}, nothing was sent; try again later", code="http.unreachable")
    if write:
        over = not isinstance(error, httpx.TimeoutException)
        detail = f"{where}: {reason} after sending; ask whether it landed"
        return UncertainError(detail, code="http.no_answer", over=over)
    if isinstance(error, _TooLargeError):
        return LimitError(f"{where}: the answer is over {error} bytes; ask for smaller pages", code="http.too_large")
    return TransientError(f"{where}: {reason}; try again later", code="http.no_answer")


def translate_status(response: Response, *, write: bool, where: str) -> HubError:
    """What a status that is not a success means, with the other side's own words shortened."""
    status = response.status_code
    detail = f"{where}: answered {status}: {words(response)}"
    if status in (429, 503):
        after_s = _retry_after_s(response)
        context = {} if after_s is None else {"after_s": after_s}
        return TransientError(f"{detail}; try again later", code=f"http.{status}", **context)
    if status >= 500:
        if write:
            return UncertainError(f"{detail}; ask whether it landed", code=f"http.{status}", over=True)
        return TransientError(f"{detail}; try again later", code=f"http.{status}")
    if status in (401, 403, 407):
        return ConfigurationError(f"{detail}; correct our credentials or ask for the right", code=f"http.{status}")
    if status < 400:
        return ConfigurationError(f"{detail}; correct base_url, redirects are not followed", code=f"http.{status}")
    refusal = {404: NotFoundError, 409: ConflictError}.get(status, RejectedError)
    return refusal(detail, code=f"http.{status}")


def json_object(response: Response, *, write: bool) -> dict[str, Any]:
    """The JSON object of a successful answer; UncertainError (after a write) or TransientError if it is none."""
    try:
        value = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    detail = f"{response.url.path}: the answer is no JSON object; ask again"
    if write:
        raise UncertainError(detail, code="http.answer", over=True)
    raise TransientError(detail, code="http.answer")


def words(response: Response) -> str:
    """The first words of an answer on one line, for a person."""
    text = " ".join("".join(c if c.isprintable() else " " for c in response.text[: MAX_WORDS * 4]).split())
    return text[:MAX_WORDS] + ("…" if len(text) > MAX_WORDS else "") or response.reason_phrase


def _checked(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"base_url is not a URL: {error}; correct it", key="base_url") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError("base_url must start with http:// or https:// and name a host", key="base_url")
    return url


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    wish_s = error.context.get("after_s", 0.0) if isinstance(error, HubError) else 0.0
    return max(float(wish_s), _WAIT(state))


def _retry_after_s(response: Response) -> float | None:
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return min(float(value[:9]), 86_400.0)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), 86_400.0)


def _certificate_refused(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
