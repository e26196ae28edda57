"""Channels send orders, follow them and ask to cancel them; each sees only its own."""

from typing import Any

import httpx
import pytest

from canonical_model.order import OrderStatus
from canonical_model.store import orders as store
from flows.runtime.bootstrap import Hub
from flows.runtime.runs import RunFilter, list_runs
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import order, product

SHOP = ("orders:read", "orders:write", "channel:shop")
LIVE = ("orders:read", "orders:write", "channel:live")


@pytest.fixture
def shop(client: Client) -> httpx.Client:
    """A shop's client, in a hub that knows the shirt."""
    client("ingest:hub").post("/v1/ingest/hub/products?wait=true", json=[product()])
    return client(*SHOP)


def sent(caller: httpx.Client, **changes: Any) -> dict[str, Any]:
    """An order that was taken, as the channel reads it."""
    document = order(**changes)
    answer = caller.post("/v1/orders?wait=true", json=document)
    assert [result["status"] for result in answer.json()["results"]] == ["accepted"], answer.text
    found: dict[str, Any] = caller.get(f"/v1/orders/by-number/{document['channel']}/{document['order_no']}").json()
    return found


def test_an_order_is_shown_with_its_lines_and_a_masked_receiver(shop: httpx.Client) -> None:
    found = sent(shop)
    assert [(line["sku_code"], line["quantity"]) for line in found["lines"]] == [("TEE-RED-M", 1)]
    assert found["body"]["receiver"]["region_code"] == "330106"
    assert found["body"]["receiver"]["mobile"] == "138••••5678"
    assert "陈小一" not in str(found)
    assert "文三路 1 号" not in str(found)
    assert shop.get(f"/v1/orders/{found['id']}").json() == found


def test_extra_words_of_an_order_are_shown_masked(shop: httpx.Client) -> None:
    found = sent(shop, extensions={"remark": "给住在绿城的王太太", "gift": True})
    assert found["body"]["extensions"] == {"remark": "给•••••••太", "gift": True}
    assert not {"extensions_sealed", "extensions_token"} & found.keys()


def test_an_order_starts_its_fulfilment_once_however_often_it_is_sent(hub: Hub, shop: httpx.Client) -> None:
    found = sent(shop)
    again = shop.post("/v1/orders?wait=true", json=order(), headers={"Idempotency-Key": "another"})
    assert again.json()["results"][0]["status"] in ("accepted", "duplicate")
    with hub.database.unit() as uow:
        runs = list_runs(uow, RunFilter(OWNER, BRAND, flow="one_stock.fulfil_order"))
    assert [run["business_key"] for run in runs] == [str(found["id"])]


def test_the_same_number_with_other_content_is_quarantined(shop: httpx.Client) -> None:
    sent(shop)
    other = order(line={"quantity": 2})
    answer = shop.post("/v1/orders?wait=true", json=other)
    assert [result["status"] for result in answer.json()["results"]] == ["quarantined"]


def test_a_channel_cannot_send_another_channels_orders(shop: httpx.Client) -> None:
    answer = shop.post("/v1/orders?wait=true", json=order(channel="live"))
    (result,) = answer.json()["results"]
    assert [issue["code"] for issue in result["issues"]] == ["order.channel"]


def test_a_key_without_a_channel_cannot_send_orders(client: Client) -> None:
    answer = client("orders:write").post("/v1/orders", json=order())
    assert (answer.status_code, answer.json()["code"]) == (403, "access.channel")


def test_a_channel_of_another_brand_is_not_this_keys_channel(client: Client) -> None:
    answer = client("orders:write", "channel:sister").post("/v1/orders", json=order(channel="sister"))
    assert (answer.status_code, answer.json()["code"]) == (403, "access.brand")


def test_a_channel_sees_only_its_own_orders(shop: httpx.Client, client: Client) -> None:
    found = sent(shop)
    live = client(*LIVE)
    for path in (f"/v1/orders/{found['id']}", "/v1/orders/by-number/shop/M1001"):
        assert live.get(path).status_code == 404
    assert live.post(f"/v1/orders/{found['id']}/cancel").status_code == 404
    assert live.get("/v1/orders").json() == {"items": [], "next": None}
    assert live.get("/v1/orders?channel=shop").json()["items"] == []
    assert live.get(f"/v1/orders/events?order_id={found['id']}").json()["items"] == []


def test_a_channel_does_not_see_what_every_place_has(shop: httpx.Client, client: Client) -> None:
    path = f"/v1/orders/{sent(shop)['id']}/decisions"
    for caller in (shop, client(*LIVE)):
        answer = caller.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "access.channel")
        assert "ask for a key with orders:read" in answer.json()["detail"]
    assert client("orders:read").get(path).json() == {"items": []}


def test_another_brand_sees_no_orders(shop: httpx.Client, client: Client) -> None:
    found = sent(shop)
    sister = client("*", brand="sister")
    assert sister.get(f"/v1/orders/{found['id']}").status_code == 404
    assert sister.get("/v1/orders").json()["items"] == []


def test_orders_come_in_pages_and_by_filter(shop: httpx.Client, client: Client) -> None:
    for number in range(5):
        sent(shop, order_no=f"M{number}")
    operator = client("orders:read")
    seen, after = [], 0
    while after is not None:
        answer = operator.get("/v1/orders", params={"limit": 2, "after": after}).json()
        seen += [item["order_no"] for item in answer["items"]]
        after = answer["next"]
    assert seen == [f"M{number}" for number in range(5)]
    assert len(operator.get("/v1/orders?order_no=M3").json()["items"]) == 1
    assert operator.get("/v1/orders?status=shipped").json()["items"] == []
    assert operator.get("/v1/orders?status=lost").status_code == 422
    assert operator.get("/v1/orders?limit=0").status_code == 422


def test_asking_to_cancel_twice_is_asking_once(hub: Hub, shop: httpx.Client) -> None:
    found = sent(shop)
    first, again = (shop.post(f"/v1/orders/{found['id']}/cancel") for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    hub.runner.drain()
    assert shop.get(f"/v1/orders/{found['id']}").json()["status"] in ("cancelled", "parked")


def test_the_feed_is_read_on_from_where_one_stopped(hub: Hub, shop: httpx.Client) -> None:
    found = sent(shop)
    start = shop.get("/v1/orders/events").json()["next"]
    with hub.database.unit() as uow:
        store.set_status(uow.connection, found["id"], OrderStatus.ALLOCATED)
        store.add_event(uow.connection, found["id"], "allocated", {"parcels": ["P1"]})
        uow.commit()
    feed = shop.get("/v1/orders/events", params={"after": start}).json()
    assert [(event["kind"], event["order_no"]) for event in feed["items"]] == [("allocated", "M1001")]
    assert shop.get("/v1/orders/events", params={"after": feed["next"]}).json() == {"items": [], "next": feed["next"]}


def test_the_feed_skips_no_event_that_commits_late(hub: Hub, shop: httpx.Client) -> None:
    found = sent(shop)
    start = shop.get("/v1/orders/events").json()["next"]
    with hub.database.unit() as slow, hub.database.unit() as fast:
        store.add_event(slow.connection, found["id"], "first", {})
        store.add_event(fast.connection, found["id"], "second", {})
        fast.commit()
        assert shop.get("/v1/orders/events", params={"after": start}).json()["items"] == []
        slow.commit()
    feed = shop.get("/v1/orders/events", params={"after": start}).json()
    assert [event["kind"] for event in feed["items"]] == ["first", "second"]


def test_a_misspelt_filter_is_refused_instead_of_ignored(shop: httpx.Client) -> None:
    answer = shop.get("/v1/orders", params={"order_number": "M1001"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "order_number"
    assert "order_no" in answer.json()["errors"][0]["detail"]
