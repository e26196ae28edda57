"""Lets in the WMS's own calls: signature checked in constant time, answered in Qimen's words."""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from canonical_model.errors import AccessError
from canonical_model.ports import Manifest, PushReply, PushRequest, SystemConfig
from connectors.kit.xml import render_xml
from connectors.wms.sign import SIGN, signature

METHODS: Final[Mapping[str, str]] = {
    "warehouses": "warehouse.report",
    "stock": "inventory.report",
    "stock_delta": "stockchange.report",
    "confirm": "deliveryorder.confirm",
}
MAX_AGE: Final = timedelta(minutes=10)
TIMESTAMP: Final = "%Y-%m-%d %H:%M:%S"


class QimenDoor:
    """Knows one WMS by its app_key, customerId and shared secret."""

    def __init__(self, config: SystemConfig) -> None:
        self._secret = config.secrets["app_secret"]
        self._customer_id = config.settings["customer_id"]
        self._app_key = config.settings.get("app_key", self._customer_id)
        self._zone = ZoneInfo(config.zone)

    def __repr__(self) -> str:
        return f"QimenDoor(customer_id={self._customer_id!r})"

    def verify(self, request: PushRequest) -> None:
        """Returns if the caller is our WMS and means this stream. AccessError: ``signature.missing``, ``.wrong``,
        ``.stale`` (over ten minutes off), ``.caller`` or ``.method``."""
        given = request.query.get(SIGN, "")
        if not given:
            raise AccessError("the call is not signed; add sign, sign_method=md5, timestamp", code="signature.missing")
        if not hmac.compare_digest(given.encode(), signature(self._secret, request.query, request.body).encode()):
            raise AccessError("the signature is wrong; check app_secret and what is signed", code="signature.wrong")
        known = {"app_key": self._app_key, "customerId": self._customer_id, "sign_method": "md5"}
        for name, value in known.items():
            if request.query.get(name) != value:
                raise AccessError(f"{name} is not the one agreed; correct it", code="signature.caller")
        if request.query.get("method") != METHODS.get(request.stream):
            raise AccessError(
                f"the signed method is not {METHODS.get(request.stream)!r}, which this address takes; correct either",
                code="signature.method",
            )
        self._check_age(request)

    def reply(self, *, accepted: bool, code: str, detail: str) -> PushReply:
        """Qimen's answer: the flag says whether to stop sending, HTTP is always 200."""
        answer = {"flag": "success" if accepted else "failure", "code": "0" if accepted else code, "message": detail}
        return PushReply(render_xml("response", answer), "text/xml; charset=utf-8")

    def _check_age(self, request: PushRequest) -> None:
        try:
            sent = datetime.strptime(request.query.get("timestamp", ""), TIMESTAMP).replace(tzinfo=self._zone)
        except ValueError as error:
            raise AccessError("timestamp is not YYYY-MM-DD HH:MM:SS; send it so", code="signature.stale") from error
        if abs(request.received_at - sent) > MAX_AGE:
            raise AccessError("timestamp is more than ten minutes off; set the sender's clock", code="signature.stale")


def door(config: SystemConfig, manifest: Manifest) -> QimenDoor:
    """The door of one WMS."""
    return QimenDoor(config)
