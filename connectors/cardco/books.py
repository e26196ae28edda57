"""What the voucher supplier's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from canonical_model.errors import TransientError
from canonical_model.ports import SystemConfig
from connectors.cardco.client import CardcoClient
from connectors.cardco.writers import STATES

TIMEOUT_S: Final = 10.0


class CardcoBooks:
    """Reads every row, page by page. Raises TransientError, RejectedError, ConfigurationError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = CardcoClient(config, timeout_s=TIMEOUT_S)

    def orders(self) -> Iterator[dict[str, Any]]:
        """``order_no, document, state, shipped, points, cash_minor`` of every pre-order and order.

        ``state`` is held, ordered, cancelled or lapsed; what is cancelled or lapsed is billed with 0.
        """
        return map(_order, self._client.rows("QueryOrders", "order"))

    def goods(self, region_code: str) -> Iterator[dict[str, Any]]:
        """The live catalogue of a province (GB/T 2260, its first two digits): ``sku, title, points, cash_minor,
        stock``, priced a piece; ``stock`` is what is free to be ordered."""
        return map(_goods, self._client.rows("QueryGoods", "goods", areaCode=region_code[:2]))


def _order(row: Mapping[str, Any]) -> dict[str, Any]:
    state = STATES.get(row["status"])
    if state is None:
        raise TransientError(
            f"the supplier tells of order {row['orderNo']} in a state that was not agreed; ask them, then read again",
            code="supplier.answer",
        )
    return {
        "order_no": row["orderNo"],
        "document": row["cardOrderNo"],
        "state": "ordered" if state == "shipped" else state,
        "shipped": state == "shipped",
        "points": row["points"],
        "cash_minor": row["cashFen"],
    }


def _goods(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sku": row["goodsCode"],
        "title": row["title"],
        "points": row["points"],
        "cash_minor": row["cashFen"],
        "stock": row["stock"],
    }
