"""What the gift supplier's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.errors import TransientError
from canonical_model.ports import SystemConfig
from connectors.giftco.client import GOODS, PREORDERS, GiftcoClient, minor
from connectors.giftco.writers import STATES

TIMEOUT_S: Final = 10.0


class GiftcoBooks:
    """Reads every row, page by page. Raises TransientError, RejectedError, ConfigurationError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = GiftcoClient(config, timeout_s=TIMEOUT_S)

    def orders(self) -> Iterator[dict[str, Any]]:
        """``order_no, document, state, shipped, points, cash_minor`` of every pre-order and order.

        ``state`` is held, ordered, cancelled or lapsed; what is cancelled or lapsed is billed with 0.
        """
        return map(_order, self._client.rows(PREORDERS, {}))

    def goods(self, region_code: str) -> Iterator[dict[str, Any]]:
        """The live catalogue of a province (GB/T 2260, its first two digits): ``sku, title, points, cash_minor,
        stock``, priced a piece; ``stock`` is what is free to be ordered."""
        return map(_goods, self._client.rows(GOODS, {"province": region_code[:2]}))


def _order(row: dict[str, Any]) -> dict[str, Any]:
    try:
        state = STATES[row["state"]]
        return {
            "order_no": str(row["orderNo"]),
            "document": str(row["preorderNo"]),
            "state": "ordered" if state == "shipped" else state,
            "shipped": state == "shipped",
            "points": int(row["points"]),
            "cash_minor": minor(row["cash"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable("an order", error) from error


def _goods(row: dict[str, Any]) -> dict[str, Any]:
    try:
        return {
            "sku": str(row["goodsCode"]),
            "title": str(row["title"]),
            "points": int(row["points"]),
            "cash_minor": minor(row["cash"]),
            "stock": int(row["stock"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable("goods", error) from error


def _unreadable(what: str, error: Exception) -> TransientError:
    return TransientError(
        f"the supplier tells of {what} as was not agreed ({type(error).__name__}); ask them, then read again",
        code="supplier.answer",
    )
