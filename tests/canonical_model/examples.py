"""The smallest valid entity of each kind, for tests that change one thing."""

from typing import Any

from canonical_model.order import Confirmation, Order
from canonical_model.product import Product
from canonical_model.stock import StockFact

WHEN = "2026-03-08T10:15:00+08:00"
SOURCED: dict[str, Any] = {
    "owner": "yunshang",
    "brand": "yunshang",
    "source": {"system": "pos", "id": "S-1", "occurred_at": WHEN, "message_id": "m-1"},
}
RECEIVER = {"name": "林小满", "mobile": "13800000000", "city": "杭州市"}


def product(**changes: Any) -> Product:
    """A plain SKU."""
    return Product.model_validate({**SOURCED, "code": "A001-RED-M", "spu": "A001", "name": "圆领T恤 红 M", **changes})


def stock_fact(**changes: Any) -> StockFact:
    """A snapshot of five pieces."""
    given = {"sku": "A001-RED-M", "location": "W1", "kind": "snapshot", "quantity": 5, "as_of": WHEN}
    return StockFact.model_validate({**SOURCED, **given, **changes})


def line(**changes: Any) -> dict[str, Any]:
    """One order line of two pieces for 198.00."""
    return {"line_no": 1, "sku": "A001-RED-M", "quantity": 2, "amount_minor": 19_800, **changes}


def order(**changes: Any) -> Order:
    """A delivery order of one line whose amounts add up."""
    given = {
        "channel": "shop",
        "order_no": "T20260308-1",
        "seller": "yunshang",
        "placed_at": WHEN,
        "lines": [line()],
        "goods_minor": 19_800,
        "freight_minor": 1_000,
        "discount_minor": 800,
        "total_minor": 20_000,
        "receiver": RECEIVER,
    }
    return Order.model_validate({**SOURCED, **given, **changes})


def confirmation(**changes: Any) -> Confirmation:
    """A parcel that left with everything in it."""
    given = {
        "parcel_no": "P-1",
        "location": "W1",
        "shipped_at": WHEN,
        "lines": [{"line_no": 1, "sku": "A001-RED-M", "shipped": 2}],
    }
    return Confirmation.model_validate({**SOURCED, **given, **changes})
