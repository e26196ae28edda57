"""Signed calls to the gift supplier; refusals in its own codes."""

import time
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

from canonical_model.common import to_minor
from canonical_model.errors import ConflictError, HubError, LimitError, NotFoundError, RejectedError, TransientError
from canonical_model.ports import SystemConfig
from connectors.giftco.sign import signed_headers
from connectors.kit.http import HttpClient, Response, json_object
from connectors.kit.references import plain_reference

PREORDERS: Final = "/v2/preorders"
GOODS: Final = "/v2/goods"
PAGE_SIZE: Final = 200
MAX_PAGES: Final = 10_000
KEY_LENGTH: Final = 128
CURRENCY: Final = "CNY"

_REFUSALS: Final[Mapping[str, tuple[type[RejectedError], str, str]]] = {
    "UNKNOWN_GOODS": (RejectedError, "supplier.unknown_goods", "correct the goods' number or take them off the shelf"),
    "OUT_OF_STOCK": (RejectedError, "supplier.out_of_stock", "offer other goods"),
    "PRICE_CHANGED": (RejectedError, "supplier.price_changed", "show the member the present price"),
    "UNKNOWN_ORDER": (NotFoundError, "supplier.unknown_order", "check the supplier's number and whose order it is"),
    "LAPSED": (RejectedError, "supplier.lapsed", "reserve again"),
    "CANCELLED": (RejectedError, "supplier.cancelled", "reserve again"),
    "SHIPPED": (RejectedError, "supplier.shipped", "arrange a return with the supplier"),
    "ORDER_EXISTS": (ConflictError, "supplier.order_exists", "look at the order that stands there"),
    "KEY_REUSED": (ConflictError, "supplier.key_reused", "look at both requests"),
    "BAD_REQUEST": (RejectedError, "supplier.bad_request", "correct the request"),
}


class GiftcoClient:
    """Calls one supplier; thread-safe. Raises what connectors.kit.http raises, and refusals by the codes above."""

    def __init__(self, config: SystemConfig, *, timeout_s: float) -> None:
        self._sign = partial(signed_headers, config.settings["app_key"], config.secrets["app_secret"])
        self._root = urlsplit(config.settings["base_url"]).path.rstrip("/")
        self._http = HttpClient(config.settings["base_url"], timeout_s=timeout_s, explain=_explain)

    def __repr__(self) -> str:
        return f"GiftcoClient({self._http!r})"

    def send(self, path: str, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Post ``content`` once under ``key``; the answer. UncertainError when no usable one came."""
        body = orjson.dumps(content)
        plain = plain_reference(key, KEY_LENGTH)
        headers = self._sign("POST", self._root + path, key=plain, now_s=time.time(), body=body)
        sent = {**headers, "Content-Type": "application/json"}
        return json_object(self._http.send("POST", path, content=body, headers=sent), write=True)

    def rows(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Every row under ``path``, over its pages. LimitError after MAX_PAGES."""
        after = ""
        for _ in range(MAX_PAGES):
            target = f"{path}?{urlencode({**query, 'after': after, 'limit': PAGE_SIZE})}"
            headers = self._sign("GET", self._root + target, key="", now_s=time.time(), body=b"")
            page = json_object(self._http.read("GET", target, headers=headers), write=False)
            if not isinstance(page.get("data"), list):
                raise TransientError(f"{path} answered without data; ask again", code="supplier.answer")
            yield from page["data"]
            if page.get("next") is None:
                return
            after = str(page["next"])
        raise LimitError(f"{path} has more than {MAX_PAGES} pages; ask the supplier for larger ones")


def minor(yuan: Any) -> int:
    """Fen from yuan as the supplier writes them, such as "19.90". ValueError if that is no amount in whole fen."""
    try:
        return to_minor(Decimal(str(yuan)), CURRENCY)
    except (InvalidOperation, ValueError) as error:
        raise ValueError("an amount of the supplier is not in whole fen") from error


def _explain(response: Response) -> HubError | None:
    """The refusal that a body names; None to go by the status, which is for credentials and busy servers."""
    try:
        said = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    known = _REFUSALS.get(str(said.get("code"))) if isinstance(said, dict) else None
    if known is None:
        return None
    kind, code, advice = known
    place = {"sku": str(said["goodsCode"])} if said.get("goodsCode") else {}
    return kind(f"the supplier refused: {str(said.get('message', ''))[:200]}; {advice}", code=code, **place)
