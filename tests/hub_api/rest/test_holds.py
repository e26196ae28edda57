"""A channel keeps goods for its shoppers, and only its own."""

from typing import Any

import httpx
import pytest

from canonical_model.store import checkouts, stock
from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import place, product

SHOP = ("orders:read", "orders:write", "channel:shop")
LIVE = ("orders:read", "orders:write", "channel:live")


@pytest.fixture
def shop(hub: Hub, client: Client) -> httpx.Client:
    """A shop's client, in a hub with three shirts in Hangzhou."""
    for stream, record in {"products": product(), "locations": place(kind="warehouse")}.items():
        client("ingest:hub").post(f"/v1/ingest/hub/{stream}?wait=true", json=[record]).raise_for_status()
    hub.database.run(
        "INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, system, message_id)"
        " SELECT s.owner, s.brand, s.id, l.id, 'sellable', 3, 'wms', 'm' FROM sku s, location l"
    )
    return client(*SHOP)


def wanted(quantity: int = 2, order_no: str = "N1", **more: Any) -> dict[str, Any]:
    return {"order_no": order_no, "lines": [{"line_no": 1, "sku": "TEE-RED-M", "quantity": quantity}], **more}


def held(hub: Hub) -> int:
    with hub.database.unit() as uow:
        row = uow.execute("SELECT held FROM stock_level").fetchone()
    assert row is not None
    return int(row["held"])


def test_goods_are_kept_and_shown(hub: Hub, shop: httpx.Client) -> None:
    answer = shop.post("/v1/holds", json=wanted(receiver={"region_code": "330106"}))
    assert answer.status_code == 200, answer.text
    kept = answer.json()
    assert (kept["channel"], kept["order_no"], kept["state"]) == ("shop", "N1", "active")
    assert kept["parcels"] == [{"place": "HZ01", "lines": [{"line_no": 1, "sku": "TEE-RED-M", "quantity": 2}]}]
    assert shop.get("/v1/holds/shop/N1").json() == kept
    assert shop.post("/v1/holds", json=wanted(receiver={"region_code": "330106"})).json() == kept
    assert held(hub) == 2


def test_what_is_short_is_said_by_line_and_nothing_is_kept(hub: Hub, shop: httpx.Client) -> None:
    answer = shop.post("/v1/holds", json=wanted(5))
    assert answer.status_code == 409
    assert answer.json()["code"] == "stock.short"
    assert [error["field"] for error in answer.json()["errors"]] == ["line 1"]
    assert held(hub) == 0
    assert shop.get("/v1/holds/shop/N1").status_code == 404


def test_another_question_under_the_same_number_is_refused(shop: httpx.Client) -> None:
    shop.post("/v1/holds", json=wanted())
    answer = shop.post("/v1/holds", json=wanted(1))
    assert (answer.status_code, answer.json()["code"]) == (409, "checkout.conflict")


@pytest.mark.parametrize("ttl_s", [True, "60", 60.0, 0])
def test_for_how_long_is_a_number_of_seconds(hub: Hub, shop: httpx.Client, ttl_s: Any) -> None:
    assert shop.post("/v1/holds", json=wanted(ttl_s=ttl_s)).status_code == 422
    assert held(hub) == 0


def test_goods_are_given_back_once(hub: Hub, shop: httpx.Client) -> None:
    shop.post("/v1/holds", json=wanted(order_no="N/1"))
    for _ in range(2):
        answer = shop.post("/v1/holds/shop/N%2F1/release")
        assert (answer.status_code, answer.json()["state"]) == (200, "released")
    assert held(hub) == 0
    assert shop.get("/v1/holds/shop/N%2F1").json()["state"] == "released"
    assert shop.post("/v1/holds/shop/N%2F1/extend", json={}).json()["code"] == "checkout.ended"


@pytest.mark.parametrize("deed", ["release", "extend"])
def test_a_number_that_ends_like_a_deed_is_kept_and_given_back(hub: Hub, shop: httpx.Client, deed: str) -> None:
    kept = shop.post("/v1/holds", json=wanted(order_no=f"N/{deed}")).json()
    assert shop.post("/v1/holds", json=wanted(order_no=f"N/{deed}")).json() == kept
    assert shop.get(f"/v1/holds/shop/N/{deed}").status_code == 405
    assert shop.post(f"/v1/holds/shop/N/{deed}/release").json()["order_no"] == f"N/{deed}"
    assert held(hub) == 0


def test_a_hold_is_made_longer(shop: httpx.Client) -> None:
    first = shop.post("/v1/holds", json=wanted(ttl_s=1)).json()
    longer = shop.post("/v1/holds/shop/N1/extend", json={"ttl_s": 60}).json()
    assert longer["expires_at"] > first["expires_at"]


def test_what_its_order_took_over_is_not_given_back(hub: Hub, shop: httpx.Client) -> None:
    shop.post("/v1/holds", json=wanted())
    with hub.database.unit() as uow:
        found = checkouts.find_for_orders(uow.connection, [(OWNER, BRAND, "shop", "N1")])
        checkouts.confirm(uow.connection, [each.id for each in found.values()])
        uow.commit()
    answer = shop.post("/v1/holds/shop/N1/release")
    assert (answer.status_code, answer.json()["code"]) == (409, "checkout.confirmed")


def test_a_channel_sees_and_ends_only_its_own(hub: Hub, shop: httpx.Client, client: Client) -> None:
    shop.post("/v1/holds", json=wanted())
    other = client(*LIVE)
    assert other.get("/v1/holds/shop/N1").status_code == 404
    assert other.post("/v1/holds/shop/N1/release").status_code == 404
    assert other.post("/v1/holds/shop/N1/extend", json={}).status_code == 404
    assert other.post("/v1/holds", json=wanted(1)).json()["channel"] == "live"
    assert held(hub) == 3


def test_a_key_that_speaks_for_no_channel_keeps_nothing(client: Client, shop: httpx.Client) -> None:
    answer = client("orders:write").post("/v1/holds", json=wanted())
    assert (answer.status_code, answer.json()["code"]) == (403, "access.channel")


def test_a_line_number_twice_and_an_unknown_sku_are_refused_by_field(shop: httpx.Client) -> None:
    line = wanted()["lines"][0]
    assert shop.post("/v1/holds", json=wanted() | {"lines": [line, line]}).status_code == 422
    answer = shop.post("/v1/holds", json=wanted() | {"lines": [line | {"sku": "nothing"}]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "lines.0.sku")


def test_the_books_are_right(hub: Hub, shop: httpx.Client) -> None:
    for number in range(5):
        shop.post("/v1/holds", json=wanted(1, f"N{number}"))
    assert held(hub) == 3
    with hub.database.unit() as uow:
        assert [each.rule for each in stock.verify(uow.connection)] == ["on_hand is the sum of its movements"]
