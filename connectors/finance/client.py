"""Signed calls to the finance company. An answer counts only when its signature holds.

No error repeats what the company wrote: it may name a customer.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from canonical_model.errors import (
    ConfigurationError,
    ConflictError,
    HubError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import SystemConfig
from connectors.finance.sign import (
    APP_ID,
    NONCE,
    SIGNATURE,
    TIMESTAMP,
    answer_signature,
    is_equal,
    request_signature,
)
from connectors.kit.http import HttpClient, Response, json_object, translate_status

CREDIT: Final = "/openapi/points/credit"
DEBIT: Final = "/openapi/points/debit"
QUERY: Final = "/openapi/points/query"
STATEMENT: Final = "/openapi/points/statement"
ACCOUNTS: Final = "/openapi/points/accounts"
READS: Final = frozenset({QUERY, STATEMENT, ACCOUNTS})

SUCCESS: Final = "0000"
MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024

_ACCESS: Final = (ConfigurationError, "finance.access", "correct app_id, app_secret or the clock")
_CODES: Final[Mapping[str, tuple[type[HubError], str, str]]] = {
    "1001": (RejectedError, "provider.unknown_account", "账户不存在: let the customer correct the account's number"),
    "1002": (RejectedError, "provider.closed_account", "账户已销户: the account is closed; let the customer ask there"),
    "1003": (
        RejectedError,
        "provider.limit",
        "超出当月限额: over the account's month; try less, or later",
    ),
    "1004": (RejectedError, "provider.insufficient", "积分余额不足: the account has too few points; try less"),
    "1005": (
        RejectedError,
        "provider.invalid_points",
        "积分数值不合法: correct the amount, which it does not take",
    ),
    "1006": (RejectedError, "provider.unknown_programme", "积分计划不存在: correct the programme's code"),
    "2001": (ConflictError, "provider.conflict", "its requestNo stands for something else already; look at both"),
    "2002": (NotFoundError, "provider.unknown_request", "it knows no such requestNo; write first"),
    "8001": _ACCESS,
    "8002": _ACCESS,
    "8004": _ACCESS,
    "9001": (TransientError, "finance.busy", "系统繁忙: try again later"),
}
_REFUSED: Final = "1"  # nothing was booked under any code that begins so
_MEANT_FOR_GATEWAYS: Final = frozenset({401, 403, 429})


class FinanceClient:
    """Calls one finance company; thread-safe."""

    def __init__(self, config: SystemConfig, *, timeout_s: float, clock: Callable[[], float] = time.time) -> None:
        self._app_id = config.settings["app_id"]
        self._secret = config.secrets["app_secret"]
        self._base_path = urlsplit(config.settings["base_url"]).path.rstrip("/")
        self._clock = clock
        self._http = HttpClient(
            config.settings["base_url"],
            timeout_s=timeout_s,
            headers={"Content-Type": "application/json; charset=utf-8"},
            explain=self._explain,
            max_response_bytes=MAX_RESPONSE_BYTES,
        )

    def __repr__(self) -> str:
        return f"FinanceClient({self._http!r})"

    def call(self, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The ``data`` of the company's answer to ``request``. A change is made once, a read is tried again.

        Raises TransientError, RejectedError, ConfigurationError; after a change also UncertainError.
        """
        body = orjson.dumps(request)
        headers = self._signed_headers(path, body)
        call = self._http.read if path in READS else self._http.send
        response = call("POST", path, content=body, headers=headers)
        if not self._is_signed(response):
            raise _doubt(path, "its answer is not signed as agreed; check app_secret and what lies in between")
        answer = json_object(response, write=path not in READS)
        code, data = answer.get("resultCode"), answer.get("data")
        if code != SUCCESS:
            raise _refusal(path, code)
        if not isinstance(data, dict):
            raise _doubt(path, "its answer has no data; ask again")
        return data

    def _signed_headers(self, path: str, body: bytes) -> dict[str, str]:
        timestamp, nonce = str(int(self._clock() * 1000)), secrets.token_hex(16)
        signature = request_signature(self._secret, "POST", path, timestamp, nonce, body)
        return {APP_ID: self._app_id, TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature}

    def _is_signed(self, response: Response) -> bool:
        """Whether the company itself answered this very request."""
        expected = answer_signature(
            self._secret,
            response.status_code,
            response.headers.get(TIMESTAMP, ""),
            response.request.headers[NONCE],
            response.content,
        )
        return is_equal(response.headers.get(SIGNATURE, ""), expected)

    def _explain(self, response: Response) -> HubError:
        """What an answer that is no success means. One that is not signed refuses nothing."""
        status, path = response.status_code, response.request.url.path.removeprefix(self._base_path)
        if self._is_signed(response):
            return _refusal(path, json_object(response, write=path not in READS).get("resultCode"))
        if status in _MEANT_FOR_GATEWAYS or status >= 500 or status < 400:
            bare = Response(status, headers=response.headers, request=response.request)
            return translate_status(bare, write=path not in READS, where=f"POST {path} at {response.request.url.host}")
        return _doubt(path, f"a {status} that is not signed refuses nothing; check base_url and what lies in between")


def _refusal(path: str, result: Any) -> HubError:
    """What a signed answer means whose code is not SUCCESS."""
    code = result if _is_code(result) else ""
    detail = f"{path}: answered {code or 'without a result code'}"
    if code in _CODES:
        kind, ours, advice = _CODES[code]
        return kind(f"{detail}: {advice}", code=ours)
    if code.startswith(_REFUSED):
        return RejectedError(f"{detail}; ask the company what it means", code=f"provider.{code}")
    return _doubt(path, f"{detail}, which does not say whether it landed; ask again")


def _doubt(path: str, why: str) -> HubError:
    """A change may have landed; a read is worth another try."""
    if path in READS:
        return TransientError(f"{path}: {why}", code="finance.answer")
    return UncertainError(f"{path}: {why}", code="finance.answer")


def _is_code(code: Any) -> bool:
    return isinstance(code, str) and len(code) == len(SUCCESS) and code.isascii() and code.isdecimal()
