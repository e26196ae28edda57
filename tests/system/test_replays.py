"""Orders, cancellations and confirmations that come twice, or one before the other: the end is the same."""

import pytest

from tests.system.conftest import Shop, eventually

END = {"at once": "cancelled", "accepted": "cancelled", "shipped": "shipped"}


@pytest.mark.parametrize("moment", END)
def test_messages_that_come_again_change_nothing(shop: Shop, moment: str) -> None:
    """The order comes again before and after its cancellation, that twice too, and the warehouse says all twice."""
    shop.faults("wms", duplicate=1.0)
    shop.pickers(paused=moment != "shipped")
    coat = shop.goods(W_SH=3)
    order_id = shop.buy((coat, 1), times=2)
    if moment == "accepted":
        shop.until(order_id, lambda order: any(p["status"] == "accepted" for p in order["parcels"]))
    elif moment == "shipped":
        shop.ended(order_id)
    for _ in range(2):
        shop.channel.post(f"/v1/orders/{order_id}/cancel").raise_for_status()
    shop.again(order_id)
    order = shop.ended(order_id)
    eventually(lambda: shop.run("one_stock.cancel_order", str(order_id)), lambda run: run["state"] == "done")
    shop.pickers(paused=False)
    shop.again(order_id)
    eventually(lambda: shop.stock(coat)["W-SH"], lambda level: level["held"] == 0)
    assert shop.order(order_id)["lines"] == order["lines"]
    assert shop.order(order_id)["status"] == order["status"] == END[moment]
    level, shipped = shop.stock(coat)["W-SH"], int(END[moment] == "shipped")
    assert (level["on_hand"], level["held"]) == (3 - shipped, 0)
    assert sum(line["shipped"] for line in order["lines"]) == shipped
    assert len([number for number in shop.at_wms() if number.startswith(f"P{order_id:08d}-")]) <= 1
