"""One connection to SAP over HTTP: logon, CSRF token, refusals in SAP's own words."""

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from canonical_model.errors import AccessError, HubError, LimitError, RejectedError, TransientError
from canonical_model.ports import SystemConfig
from connectors.kit.http import HttpClient
from connectors.sap.messages import messages_of, parse_answer, refusal

ODATA: Final = "/sap/opu/odata/sap"
SALES_ORDER_SERVICE: Final = f"{ODATA}/API_SALES_ORDER_SRV"
SALES_ORDERS: Final = f"{SALES_ORDER_SERVICE}/A_SalesOrder"
SALES_ORDER_ITEMS: Final = f"{SALES_ORDER_SERVICE}/A_SalesOrderItem"
STOCK: Final = f"{ODATA}/API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"
IDOC_INBOX: Final = "/sap/bc/idoc_xml"
MAX_PAGES: Final = 10_000

Query = Mapping[str, str]

_TOKEN: Final = "X-CSRF-Token"  # noqa: S105 - the name of a header
_SPEAK_FOR_THEMSELVES: Final = frozenset({401, 403, 404, 429, 503})


class _TokenRefusedError(RejectedError):
    """The CSRF token is missing or its session ended; nothing was looked at."""


class SapClient:
    """Reads and changes over one base URL. Thread-safe. Raises the errors of connectors.kit.http, and SAP's refusals
    as connectors.sap.messages sorts them."""

    def __init__(self, config: SystemConfig, *, timeout_s: float) -> None:
        self._client = {"sap-client": config.settings["client"]}
        self._http = HttpClient(
            config.settings["base_url"],
            timeout_s=timeout_s,
            headers={"Accept-Language": "en"},
            auth=(config.settings["user"], config.secrets["password"]),
            explain=lambda response: _explain(response.status_code, response.headers, response.content),
        )
        self._lock = Lock()
        self._token: str | None = None

    def page(self, path: str, query: Query) -> tuple[list[dict[str, Any]], Query | None]:
        """Rows of one page of an OData V2 entity set, and the query of the next page (None at the end).

        Of SAP's ``__next`` link only the query is followed: its host is SAP's own name for itself, which no proxy
        knows. TransientError when the answer is not OData V2 JSON.
        """
        response = self._http.read("GET", path, params={**self._client, "$format": "json", **query})
        answer = parse_answer(response.content, response.headers.get("content-type", "")).get("d")
        rows = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not isinstance(rows, list):
            raise TransientError(f"{path} did not answer OData V2 JSON; try again later", code="sap.answer")
        following = urlsplit(str(answer.get("__next") or "")).query
        return rows, dict(parse_qsl(following, keep_blank_values=True)) or None

    def rows(self, path: str, query: Query) -> Iterator[dict[str, Any]]:
        """Every row of an entity set, over its pages. LimitError after MAX_PAGES."""
        following: Query | None = query
        for _ in range(MAX_PAGES):
            if following is None:
                return
            rows, following = self.page(path, following)
            yield from rows
        raise LimitError(f"{path} has more than {MAX_PAGES} pages; narrow the filter", code="sap.pages")

    def change(
        self, method: str, path: str, content: bytes, media_type: str, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a change once, with a CSRF token; the parsed answer. An ended session is renewed once.

        A BAPIRET2 list with an error is a refusal, also in a 200.
        """
        refused: str | None = None
        for _ in range(2):
            token = self._current_token(refused)
            sent = {_TOKEN: token, "Content-Type": media_type, "Accept": media_type, **(headers or {})}
            try:
                response = self._http.send(method, path, params=self._client, content=content, headers=sent)
            except _TokenRefusedError:
                refused = token
                continue
            answer = parse_answer(response.content, response.headers.get("content-type", ""))
            error = refusal(messages_of(answer))
            if error:
                raise error
            return answer
        raise AccessError(
            "SAP refused a fresh CSRF token; let its load balancer keep one session on one server", code="sap.csrf"
        )

    def _current_token(self, refused: str | None) -> str:
        """The session's token; a new one if there is none yet or it is the refused one."""
        with self._lock:
            if self._token is None or self._token == refused:
                response = self._http.read(
                    "GET", f"{SALES_ORDER_SERVICE}/", params=self._client, headers={_TOKEN: "Fetch"}
                )
                self._token = response.headers.get(_TOKEN)
            if not self._token:
                raise AccessError(
                    f"SAP gave no {_TOKEN} for a Fetch; check the service's CSRF setting", code="sap.csrf"
                )
            return self._token


def quoted(value: str) -> str:
    """An OData string literal."""
    return "'" + value.replace("'", "''") + "'"


def _explain(status: int, headers: Mapping[str, str], body: bytes) -> HubError | None:
    if status == 403 and headers.get(_TOKEN, "").lower() == "required":
        return _TokenRefusedError("CSRF token required", code="sap.csrf")
    if status in _SPEAK_FOR_THEMSELVES:
        return None
    return refusal(messages_of(parse_answer(body, headers.get("content-type", ""))))
