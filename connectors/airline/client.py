"""Calls to the airline: a bearer token that is fetched once and renewed, and refusals in the hub's words.

No error repeats what the airline wrote: it may name a member.
"""

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

from canonical_model.errors import ConfigurationError, HubError, RejectedError
from canonical_model.ports import SystemConfig
from connectors.kit.http import HttpClient, Response, json_object, translate_status

TOKEN: Final = "/oauth/token"  # noqa: S105 - the path of an address
CREDITS: Final = "/v2/partner/credits"
DEBITS: Final = "/v2/partner/debits"
TRANSACTIONS: Final = "/v2/partner/transactions"
ACCOUNTS: Final = "/v2/partner/accounts"

TOKEN_TIMEOUT_S: Final = 10.0
MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024
MAX_CODE: Final = 40

_EARLY_S: Final = 10.0
_DEFAULT_LIFE_S: Final = 60.0
_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "ACCOUNT_NOT_FOUND": ("provider.unknown_account", "it has no such account; let the member correct the number"),
    "ACCOUNT_CLOSED": ("provider.closed_account", "the account is closed; let the member ask the airline"),
    "NAME_MISMATCH": ("provider.wrong_name", "the account has another surname; let the member correct either"),
    "MONTHLY_LIMIT": ("provider.limit", "over what it allows an account in a month; try less, or next month"),
    "INSUFFICIENT_MILES": ("provider.insufficient", "the account has too few miles; try less"),
    "INVALID_MILES": ("provider.invalid_points", "it does not take this number of miles; correct the amount"),
    "UNKNOWN_PROGRAMME": ("provider.unknown_programme", "it runs no such programme; correct the programme's code"),
}


class _TokenRefusedError(ConfigurationError):
    """The token is unknown or ran out; nothing was looked at."""


class Tokens:
    """The access token of one installation, shared by its clients. Thread-safe."""

    def __init__(self, config: SystemConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = HttpClient(
            config.settings["base_url"],
            timeout_s=TOKEN_TIMEOUT_S,
            auth=(config.settings["client_id"], config.secrets["client_secret"]),
            explain=_explain_token,
        )
        self._clock = clock
        self._lock = Lock()
        self._token = ""
        self._until = 0.0

    def __repr__(self) -> str:
        return f"Tokens({self._http!r})"

    def current(self, refused: str | None) -> str:
        """A token that is not ``refused`` and lives on. Raises TransientError, ConfigurationError."""
        with self._lock:
            if not self._token or self._token == refused or self._clock() >= self._until:
                self._fetch()
            return self._token

    def _fetch(self) -> None:
        asked_at = self._clock()
        response = self._http.read("POST", TOKEN, data={"grant_type": "client_credentials"})
        answer = json_object(response, write=False)
        token, life_s = answer.get("access_token"), answer.get("expires_in", _DEFAULT_LIFE_S)
        if not isinstance(token, str) or not token.isascii() or not isinstance(life_s, int | float):
            raise ConfigurationError(f"{TOKEN} gave no access_token; correct base_url", code="airline.access")
        self._token = token
        self._until = asked_at + life_s - min(_EARLY_S, life_s / 2)


class AirlineClient:
    """Calls one airline; thread-safe. ``tokens`` may be shared with other clients of the same installation."""

    def __init__(self, config: SystemConfig, *, timeout_s: float, tokens: Tokens) -> None:
        self._tokens = tokens
        self._http = HttpClient(
            config.settings["base_url"],
            timeout_s=timeout_s,
            explain=_explain,
            max_response_bytes=MAX_RESPONSE_BYTES,
        )

    def __repr__(self) -> str:
        return f"AirlineClient({self._http!r})"

    def get(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """A read. Raises TransientError, RejectedError, ConfigurationError."""
        response = self._authorised(lambda headers: self._http.read("GET", path, params=dict(query), headers=headers))
        return json_object(response, write=False)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A change, made once. Raises also UncertainError."""
        response = self._authorised(lambda headers: self._http.send("POST", path, json=dict(body), headers=headers))
        return json_object(response, write=True)

    def _authorised(self, call: Callable[[Mapping[str, str]], Response]) -> Response:
        """What ``call`` answers under a valid token. A refused token changed nothing, so a new one is tried once."""
        refused: str | None = None
        for _ in range(2):
            token = self._tokens.current(refused)
            try:
                return call({"Authorization": f"Bearer {token}"})
            except _TokenRefusedError:
                refused = token
        raise ConfigurationError(
            "the airline refused a fresh access token; ask it which rights client_id has", code="airline.access"
        )


def _explain_token(response: Response) -> HubError:
    if response.status_code in (400, 401, 403):
        return ConfigurationError(
            f"{TOKEN}: answered {response.status_code}; correct client_id and client_secret", code="airline.access"
        )
    return _wordless(response, write=False)


def _explain(response: Response) -> HubError:
    write = response.request.method == "POST"
    status, path = response.status_code, response.request.url.path
    if status == 401:
        return _TokenRefusedError(f"{path}: the access token is refused", code="airline.access")
    if status in (403, 429) or status >= 500:
        return _wordless(response, write=write)
    code = _code(response)
    if not code:
        return ConfigurationError(
            f"{path}: answered {status} without a code, so it is not the airline that speaks; correct base_url",
            code="airline.access",
        )
    ours, advice = _REFUSALS.get(code, (f"provider.{code.lower()}", "ask the airline what it means"))
    return RejectedError(f"{path}: the airline refused with {code}: {advice}", code=ours)


def _code(response: Response) -> str:
    """The code of a problem document (RFC 9457 with the airline's own ``code``); empty if it is none."""
    try:
        problem = response.json()
    except ValueError:
        return ""
    code = problem.get("code") if isinstance(problem, dict) else None
    return code[:MAX_CODE] if isinstance(code, str) and code.replace("_", "").isalnum() and code.isascii() else ""


def _wordless(response: Response, *, write: bool) -> HubError:
    """What the status means, without the airline's words."""
    request = response.request
    bare = Response(response.status_code, headers=response.headers, request=request)
    return translate_status(bare, write=write, where=f"{request.method} {request.url.path} at {request.url.host}")
