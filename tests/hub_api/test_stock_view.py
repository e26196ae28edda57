"""A SKU over all places: the figures, whose they are, who holds units, and what moved them."""

from datetime import UTC, datetime

import pytest

from canonical_model.errors import AccessError, NotFoundError
from canonical_model.store.velocity import refresh_velocity
from flows.runtime.bootstrap import Hub
from hub_api import routing_rules, stock_view
from hub_api.auth import Access
from hub_api.stock_view import read_channels, read_ledger, read_pool, search_goods
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.pool import CAP, DESK, TEE, Pool


@pytest.fixture
def pool(hub: Hub, client: Client) -> Pool:
    return Pool(hub, client)


def test_a_pool_is_told_place_by_place_the_most_promisable_first(hub: Hub, pool: Pool) -> None:
    hub.database.run("UPDATE stock_level SET safety = 3 WHERE id = %s", (pool.levels["W-GZ", TEE],))
    found = read_pool(hub, DESK, TEE)
    assert [(each.location, each.atp) for each in found.places] == [("W-WH", 9), ("W-GZ", 2), ("W-SH", 2)]
    assert found.totals == {"on_hand": 16, "held": 0, "safety": 3, "atp": 13, "places": 3}


def test_goods_that_cannot_be_sold_are_shown_and_not_summed(hub: Hub, pool: Pool) -> None:
    hub.database.run("UPDATE stock_level SET quality = 'defective' WHERE id = %s", (pool.levels["W-WH", TEE],))
    found = read_pool(hub, DESK, TEE)
    assert found.places[-1].quality == "defective"
    assert found.totals["on_hand"] == 7


def test_batches_are_those_of_the_last_count_earliest_expiry_first(hub: Hub, pool: Pool) -> None:
    level = pool.levels["W-WH", TEE]
    for batch, expires, as_of in (
        ("B", "2027-01-01", "2099-01-01"),
        ("A", "2026-12-01", "2099-01-01"),
        ("C", None, "2020-01-01"),
    ):
        hub.database.run(
            "INSERT INTO stock_lot (level_id, batch, expires_on, on_hand, as_of) VALUES (%s, %s, %s, 4, %s)",
            (level, batch, expires, as_of),
        )
    assert [lot.batch for lot in read_pool(hub, DESK, TEE).places[0].lots] == ["A", "B"]


def test_holds_name_their_order_or_are_a_shoppers(hub: Hub, pool: Pool) -> None:
    order_id = pool.buy("M1", quantity=2)
    (row,) = hub.database.run(
        "INSERT INTO checkout (owner, brand, channel, order_no, fingerprint, expires_at)"
        " VALUES (%s, %s, 'live', 'L7', 'f', now()) RETURNING id",
        (OWNER, BRAND),
    )
    pool.keep(f"C{row['id']:08d}-1", ("W-GZ", TEE, 1))
    found = read_pool(hub, DESK, TEE)
    assert [(hold["order_no"], hold["order_id"], hold["deducting"]) for hold in found.holds] == [
        ("L7", None, 1),
        ("M1", order_id, 2),
    ]
    assert found.totals["held"] == 3


def test_the_ledger_has_pages_and_can_be_asked_for_one_place(
    hub: Hub, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_view, "PAGE_ROWS", 2)
    first = read_ledger(hub, DESK, TEE)
    rest = read_ledger(hub, DESK, TEE, before=first.next)
    assert [row["location"] for row in [*first.items, *rest.items]] == ["W-GZ", "W-WH", "W-SH"]
    assert rest.next is None
    assert [row["delta"] for row in read_ledger(hub, DESK, TEE, place="W-WH").items] == [9]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("TEE", [TEE]),
        ("短袖", [TEE]),
        ("6901234567892", [TEE]),
        ("100%_棉", [CAP]),
        ("%", [CAP]),
        ("x", []),
        (None, [CAP, TEE]),
    ],
)
def test_goods_are_found_by_code_name_and_barcode(hub: Hub, pool: Pool, text: str | None, found: list[str]) -> None:
    assert [row["code"] for row in search_goods(hub, DESK, text).items] == found


def test_a_list_of_goods_has_pages(hub: Hub, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_view, "PAGE_ROWS", 1)
    first = search_goods(hub, DESK, None)
    assert [row["atp"] for row in first.items] == [4]
    assert [row["atp"] for row in search_goods(hub, DESK, None, after=first.next).items] == [16]


def test_a_channel_is_shown_what_its_rules_leave(hub: Hub, pool: Pool) -> None:
    rules = (
        "parcel_cost = 8\nper_km = 0.01\nmax_parcels = 4\n[channels.live]\npublished_safety = 5\n"
        '[channels.live.filters]\nplaces = ["W-WH", "W-SH"]\n'
    )
    routing_rules.publish_rules(hub, DESK, rules, "the live room sells from two", against=0)
    pool.buy("M1")
    shown = {each.channel: each for each in read_channels(hub, DESK, TEE)}
    assert set(shown) == {"live", "shop"}
    assert (shown["shop"].units, shown["shop"].safety) == (15, 0)
    assert (shown["live"].units, shown["live"].safety) == (15 - 5 - 5, 5)
    assert "W-GZ" not in shown["live"].places


def test_shelves_are_warned_of_only_while_the_sales_are_known(hub: Hub, pool: Pool) -> None:
    assert read_pool(hub, DESK, TEE).places[0].weekly is None
    hub.database.run("UPDATE stock_level SET on_hand = 90 WHERE id = %s", (pool.levels["W-WH", TEE],))
    with hub.database.unit() as uow:
        refresh_velocity(uow.connection, OWNER, BRAND, datetime.now(UTC))
        uow.commit()
    place = read_pool(hub, DESK, TEE).places[0]
    assert place.weekly == 0
    assert place.warning is not None
    assert place.warning.kind == "idle"


def test_what_another_brand_has_does_not_exist(hub: Hub, pool: Pool) -> None:
    sister = Access("s", "s", OWNER, "sister", frozenset({"*"}), "user")
    for read in (read_pool, read_ledger, read_channels):
        with pytest.raises(NotFoundError):
            read(hub, sister, TEE)
    assert search_goods(hub, sister, "TEE").items == []


def test_whoever_may_not_look_is_refused(hub: Hub, pool: Pool) -> None:
    stranger = Access("s", "s", OWNER, BRAND, frozenset({"orders:read"}), "user")
    for read in (read_pool, read_ledger, read_channels, search_goods):
        with pytest.raises(AccessError):
            read(hub, stranger, TEE)
