"""What the hub writes to the gift supplier: pre-orders, and what becomes of them."""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from canonical_model.errors import UncertainError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.giftco.client import PREORDERS, GiftcoClient, minor

STATES: Final = {
    "PREHELD": "held",
    "ORDERED": "ordered",
    "SHIPPED": "shipped",
    "CANCELLED": "cancelled",
    "LAPSED": "lapsed",
}


class ReserveWriter:
    """``POST /v2/preorders``: goods are kept for a member until the pre-order lapses."""

    def __init__(self, client: GiftcoClient) -> None:
        self._client = client

    def write(self, key: str, body: Record) -> Receipt:
        """The receipt names their pre-order and what it will cost.

        RejectedError ``supplier.unknown_goods``, ``.out_of_stock``, ``.price_changed``, ``.lapsed`` (it was to be
        kept until a moment that has passed); ConflictError ``.order_exists``, ``.key_reused``.
        """
        return _receipt(self._client.send(PREORDERS, key, body))

    def find(self, key: str) -> Receipt | None:
        """Nothing to look for: the same key gets the same answer."""
        return None


class SettleWriter:
    """``POST /v2/preorders/{number}/{deed}``: ``confirm`` makes it an order, ``cancel`` takes it back."""

    def __init__(self, client: GiftcoClient, deed: str) -> None:
        self._client = client
        self._deed = deed

    def write(self, key: str, body: Record) -> Receipt:
        """The receipt names their pre-order. The same deed again, under any key, changes nothing.

        RejectedError ``supplier.lapsed``, ``.cancelled`` (confirm), ``.shipped`` (cancel); NotFoundError
        ``supplier.unknown_order``, also when that number is another order's.
        """
        path = f"{PREORDERS}/{quote(str(body['preorderNo']), safe='')}/{self._deed}"
        return _receipt(self._client.send(path, key, {"orderNo": body["orderNo"]}))

    def find(self, key: str) -> Receipt | None:
        """Nothing to look for: the same key gets the same answer."""
        return None


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The writers of one gift supplier."""
    clients = {spec.name: GiftcoClient(config, timeout_s=spec.timeout_s) for spec in manifest.writers}
    return {
        "reserve": ReserveWriter(clients["reserve"]),
        "confirm": SettleWriter(clients["confirm"], "confirm"),
        "cancel": SettleWriter(clients["cancel"], "cancel"),
    }


def _receipt(answer: dict[str, Any]) -> Receipt:
    """``{"state", "points", "cash_minor", "expires_at"}``: what the supplier bills as things stand; when a pre-order
    lapses. UncertainError when the answer does not say so."""
    try:
        detail = {
            "state": STATES[answer["state"]],
            "points": int(answer["points"]),
            "cash_minor": minor(answer["cash"]),
            "expires_at": datetime.fromtimestamp(answer["holdUntil"] / 1000, UTC).isoformat(),
        }
        return Receipt(str(answer["preorderNo"]), detail)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise UncertainError(
            f"the supplier's answer lacks what was agreed ({type(error).__name__}); ask again under the same key",
            code="supplier.answer",
            over=True,
        ) from error
