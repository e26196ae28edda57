"""Shops whose software speaks SOAP: they send their orders to the hub's SOAP door, by its own WSDL."""

from typing import Any, Final

from canonical_model.errors import RejectedError, TransientError, UncertainError
from connectors.kit.soap import SoapClient
from hub_api.demo.retailer import Wish
from hub_api.soap.records import WSDL

TRIES: Final = 5
TIMEOUT_S: Final = 30.0


class SoapShop:
    """One sales channel at the SOAP door of the hub at ``url``. Close it when done."""

    def __init__(self, url: str, key: str) -> None:
        self._client = SoapClient(
            WSDL, address=f"{url}/soap/v1", timeout_s=TIMEOUT_S, headers={"Authorization": f"Bearer {key}"}
        )

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def send(self, wish: Wish, **changed: Any) -> dict[str, Any]:
        """Push the order under its own number; the hub's answer. RejectedError: the number came with other content."""
        for _ in range(TRIES):
            try:
                answer: dict[str, Any] = self._client.send(
                    "PushOrders", messageId=wish.order_no, item=[_order(wish) | changed]
                )
            except (TransientError, UncertainError):
                continue
            return answer
        raise TransientError(f"the hub's SOAP door did not take order {wish.order_no} in {TRIES} tries")

    def is_refused(self, wish: Wish, **changed: Any) -> bool:
        """Whether the same number with other content is refused."""
        try:
            self.send(wish, **changed)
        except RejectedError:
            return True
        return False


def _order(wish: Wish) -> dict[str, Any]:
    return {
        **({"member": wish.card} if wish.card else {}),
        "channel": wish.channel,
        "orderNo": wish.order_no,
        "kind": "delivery",
        "seller": f"C-{wish.channel.upper()}",
        "placedAt": wish.placed_at.isoformat(),
        "line": [
            {"lineNo": n, "sku": goods.code, "quantity": quantity, "amountMinor": goods.price_minor * quantity}
            for n, (goods, quantity) in enumerate(wish.lines, 1)
        ],
        "goodsMinor": wish.total_minor,
        "totalMinor": wish.total_minor,
        "payment": [{"method": "wechat", "amountMinor": wish.total_minor}],
        "receiver": {
            "name": wish.name,
            "mobile": wish.mobile,
            "province": wish.province,
            "city": wish.city,
            "street": wish.street,
        },
    }
