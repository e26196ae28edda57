"""Signed Qimen calls. The HTTP status says nothing: the flag in the body does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from canonical_model.errors import (
    ConfigurationError,
    HubError,
    NotFoundError,
    RecordError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import Manifest, SystemConfig
from connectors.kit.http import HttpClient
from connectors.kit.xml import parse_xml, render_xml
from connectors.wms.doors import TIMESTAMP
from connectors.wms.sign import signed_query

DUPLICATE: Final = "wms.duplicate"
ALREADY_PICKED: Final = "wms.already_picked"

_BUSY: Final = "isp."
_OUR_MISTAKE: Final = frozenset({"isv.invalid-signature", "isv.invalid-timestamp", "isv.invalid-customer"})
_REFUSALS: Final[Mapping[str, str]] = {
    "S003": DUPLICATE,
    "S007": "wms.no_stock",
    "S010": "wms.unknown_item",
    "S011": "wms.unknown_warehouse",
    "S012": "wms.unknown_order",
    "S020": ALREADY_PICKED,
}
_LISTS: Final = ("items.item", "orderLines.orderLine", "orders.order", "orders.order.orderLines.orderLine")


class QimenClient:
    """Calls one WMS; thread-safe."""

    def __init__(self, config: SystemConfig, manifest: Manifest, *, timeout_s: float) -> None:
        self._secret = config.secrets["app_secret"]
        self._customer_id = config.settings["customer_id"]
        self._app_key = config.settings.get("app_key", self._customer_id)
        self._path = config.settings.get("path", "/qimen")
        self._zone = ZoneInfo(config.zone)
        self._limits = manifest.limits
        self._http = HttpClient(
            config.settings["base_url"], timeout_s=timeout_s, headers={"Content-Type": "text/xml; charset=utf-8"}
        )

    def __repr__(self) -> str:
        return f"QimenClient({self._http!r})"

    def ask(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """A call that changes nothing there. Raises TransientError, RejectedError, ConfigurationError."""
        return self._call(method, request, write=False)

    def send(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """A call that changes something there, made once. Raises also UncertainError."""
        return self._call(method, request, write=True)

    def _call(self, method: str, request: Mapping[str, Any], *, write: bool) -> dict[str, Any]:
        body = render_xml("request", request)
        query = signed_query(
            self._secret,
            method,
            body,
            app_key=self._app_key,
            customer_id=self._customer_id,
            timestamp=datetime.now(self._zone).strftime(TIMESTAMP),
        )
        call = self._http.send if write else self._http.read
        response = call("POST", self._path, params=query, content=body)
        try:
            answer = parse_xml(response.content, limits=self._limits, lists=_LISTS)
        except RecordError as error:
            kind = UncertainError if write else TransientError
            raise kind(f"{method}: the answer cannot be read ({error.code}); ask again", code="wms.answer") from error
        if answer.get("flag") == "success":
            return answer
        raise _refusal(method, str(answer.get("code", "")), str(answer.get("message", ""))[:300])


def _refusal(method: str, code: str, message: str) -> HubError:
    detail = f"{method}: refused with {code}: {message}"
    if code.startswith(_BUSY):
        return TransientError(f"{detail}; try again later", code="wms.busy")
    if code in _OUR_MISTAKE:
        return ConfigurationError(f"{detail}; correct app_key, customer_id, app_secret or the clock", code="wms.access")
    kind = NotFoundError if code == "S012" else RejectedError
    return kind(detail, code=_REFUSALS.get(code, f"wms.{code or 'refused'}"))
