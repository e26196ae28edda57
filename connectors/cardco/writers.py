"""What the hub writes to the voucher supplier: pre-orders, and what becomes of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from canonical_model.errors import TransientError, UncertainError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.cardco.client import CardcoClient
from connectors.kit.references import plain_reference

TRACE_LENGTH: Final = 64
STATES: Final = {"10": "held", "20": "ordered", "21": "shipped", "30": "cancelled", "40": "lapsed"}


class CardcoWriter:
    """``PreOrder``, ``ConfirmOrder`` or ``CancelOrder``. The supplier does not notice a second call under the same
    trace number: ``find`` must ask."""

    def __init__(self, client: CardcoClient, operation: str, zone: ZoneInfo) -> None:
        self._client = client
        self._operation = operation
        self._zone = zone

    def write(self, key: str, body: Record) -> Receipt:
        """The receipt names their order and what it costs.

        RejectedError ``supplier.unknown_goods``, ``.out_of_stock``, ``.price_changed`` (PreOrder), ``.lapsed``,
        ``.cancelled`` (ConfirmOrder), ``.shipped`` (CancelOrder); NotFoundError ``supplier.unknown_order``, also when
        that number is another order's.
        """
        order = self._client.send(self._operation, traceNo=plain_reference(key, TRACE_LENGTH), **body)
        try:
            return self._receipt(order)
        except (KeyError, TypeError, ValueError) as error:
            raise UncertainError(_lacking(error), code="supplier.answer", over=True) from error

    def find(self, key: str) -> Receipt | None:
        """The first order that a call under the key made or changed, as it stands now; ``duplicates`` are others."""
        found = list(self._client.rows("QueryOrders", "order", traceNo=plain_reference(key, TRACE_LENGTH)))
        if not found:
            return None
        try:
            first = self._receipt(found[0])
            others = [str(order["cardOrderNo"]) for order in found[1:]]
        except (KeyError, TypeError, ValueError) as error:
            raise TransientError(_lacking(error), code="supplier.answer") from error
        return Receipt(first.outside_id, {**first.detail, "duplicates": others}) if others else first

    def _receipt(self, order: Mapping[str, Any]) -> Receipt:
        """``{"state", "points", "cash_minor", "expires_at"}``: what the supplier bills as things stand; when a
        pre-order lapses."""
        detail = {
            "state": STATES[order["status"]],
            "points": int(order["points"]),
            "cash_minor": int(order["cashFen"]),
            "expires_at": datetime.fromisoformat(order["holdUntil"]).replace(tzinfo=self._zone).isoformat(),
        }
        return Receipt(str(order["cardOrderNo"]), detail)


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The writers of one voucher supplier."""
    zone = ZoneInfo(config.zone)
    operations = {"reserve": "PreOrder", "confirm": "ConfirmOrder", "cancel": "CancelOrder"}
    return {
        spec.name: CardcoWriter(CardcoClient(config, timeout_s=spec.timeout_s), operations[spec.name], zone)
        for spec in manifest.writers
    }


def _lacking(error: Exception) -> str:
    return f"the supplier's answer lacks what was agreed ({type(error).__name__}); look at the order there"
