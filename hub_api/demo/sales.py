"""The day's orders: rung up at tills, sent by channels over the hub API, some of them twice, some cancelled."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from canonical_model.errors import TransientError
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import TILL, Wish
from hub_api.demo.soap import SoapShop

TRIES: Final = 5
SENDERS: Final = 4
SENT_TWICE: Final = 10
CHANGED_ON_REPEAT: Final = 40
CANCELLED: Final = 25


@dataclass(slots=True)
class Sent:
    """What the channels were told: repeats answered alike, repeats with another body refused."""

    by_soap: int = 0
    repeated: int = 0
    refused_repeats: int = 0
    cancel_asked: list[str] = field(default_factory=list)


def send_orders(estate: DemoEstate, wishes: Sequence[Wish], advance: Callable[[], None], *, by_soap: int = 0) -> Sent:
    """Send every order by its channel's own way, several at once; ``advance`` is called after each.

    The first ``by_soap`` orders of the channels go through the SOAP door, the others by REST.
    """
    sent = Sent()
    with ExitStack() as stack:
        clients = {name: stack.enter_context(estate.client(key)) for name, key in estate.channel_keys.items()}
        shops = {
            name: stack.enter_context(closing(SoapShop(estate.url, key))) for name, key in estate.channel_keys.items()
        }
        senders = stack.enter_context(ThreadPoolExecutor(SENDERS))
        soap_numbers = set([n for n, wish in enumerate(wishes, 1) if wish.channel != TILL][:by_soap])

        def send(number: int, wish: Wish) -> None:
            if wish.channel == TILL:
                _ring_up(estate, wish)
            elif number in soap_numbers:
                _send_by_soap(shops[wish.channel], wish, number, sent)
            else:
                _send(clients[wish.channel], wish, number, sent)
            advance()

        for done in [senders.submit(send, number, wish) for number, wish in enumerate(wishes, 1)]:
            done.result()
    sent.by_soap = len(soap_numbers)
    return sent


def cancel_some(estate: DemoEstate, wishes: Sequence[Wish], sent: Sent) -> None:
    """Every so many channel orders the buyer has second thoughts; a parcel already picked goes its way."""
    for number, wish in enumerate(wishes, 1):
        if number % CANCELLED or wish.channel == TILL:
            continue
        with estate.client(estate.channel_keys[wish.channel]) as client:
            answer = client.get("/v1/orders", params={"order_no": wish.order_no})
            answer.raise_for_status()
            for order in answer.json()["items"]:
                client.post(f"/v1/orders/{order['id']}/cancel").raise_for_status()
                sent.cancel_asked.append(wish.order_no)


def release_credit(estate: DemoEstate, parked: Sequence[Mapping[str, Any]]) -> None:
    """The credit manager lifts the limit in SAP; the operator lets the parked runs go on."""
    response = httpx.put(f"{estate.sap.url}/_rules", json={"credit_limit": None}, timeout=30, trust_env=False)
    response.raise_for_status()
    with estate.client(estate.operator_key) as client:
        for run in parked:
            client.post(f"/v1/runs/{run['id']}/retry").raise_for_status()


def _send_by_soap(shop: SoapShop, wish: Wish, number: int, sent: Sent) -> None:
    answer = shop.send(wish)
    if number % SENT_TWICE == 0:
        sent.repeated += shop.send(wish) == answer
    if number % CHANGED_ON_REPEAT == 0:
        sent.refused_repeats += shop.is_refused(wish, reason="changed my mind")


def _send(client: httpx.Client, wish: Wish, number: int, sent: Sent) -> None:
    body = _order(wish)
    _post(client, wish.order_no, body).raise_for_status()
    if number % SENT_TWICE == 0:
        _post(client, wish.order_no, body).raise_for_status()
        sent.repeated += 1
    if number % CHANGED_ON_REPEAT == 0:
        other = _post(client, wish.order_no, {**body, "reason": "changed my mind"})
        sent.refused_repeats += other.status_code == httpx.codes.CONFLICT


def _post(client: httpx.Client, key: str, body: dict[str, Any]) -> httpx.Response:
    for _ in range(TRIES):
        try:
            return client.post("/v1/orders", json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            continue
    raise TransientError(f"the hub did not take order {key} in {TRIES} tries")


def _order(wish: Wish) -> dict[str, Any]:
    return {
        **({"member": wish.card} if wish.card else {}),
        "channel": wish.channel,
        "order_no": wish.order_no,
        "kind": "delivery",
        "seller": f"C-{wish.channel.upper()}",
        "placed_at": wish.placed_at.isoformat(),
        "lines": [
            {"line_no": n, "sku": goods.code, "quantity": quantity, "amount_minor": goods.price_minor * quantity}
            for n, (goods, quantity) in enumerate(wish.lines, 1)
        ],
        "goods_minor": wish.total_minor,
        "total_minor": wish.total_minor,
        "payments": [{"method": "wechat", "amount_minor": wish.total_minor}],
        "receiver": {
            "name": wish.name,
            "mobile": wish.mobile,
            "province": wish.province,
            "city": wish.city,
            "street": wish.street,
        },
    }


def _ring_up(estate: DemoEstate, wish: Wish) -> None:
    sale: dict[str, Any] = {
        "saleNo": wish.order_no,
        "shopCode": wish.store,
        "details": [
            {"goodsCode": goods.item, "qty": quantity, "price": f"{goods.price_minor / 100:.2f}"}
            for goods, quantity in wish.lines
        ],
    }
    if not wish.carry_out:
        sale["consignee"] = {
            "name": wish.name,
            "phone": wish.mobile,
            "province": wish.province,
            "city": wish.city,
            "district": "",
            "address": wish.street,
        }
    response = httpx.post(f"{estate.pos.url}/_sales", json=sale, timeout=30, trust_env=False)
    response.raise_for_status()
