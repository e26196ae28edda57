"""What other rules would have done with the orders that came: compared fairly, kept apart by brand and channel."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from canonical_model.errors import AccessError, RecordError, TransientError
from flows.one_stock.what_if import WhatIf
from flows.runtime.bootstrap import Hub
from hub_api import what_if as module
from hub_api.auth import Access
from hub_api.routing_rules import publish_rules
from hub_api.what_if import Asked, what_if
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.pool import DESK, Pool

RULES: Final = 'parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 4\non_short = "partial"\n'
NOT_SHANGHAI: Final = RULES + '[filters]\nnot_places = ["W-SH"]\n'


@pytest.fixture
def bought(hub: Hub, client: Client) -> Pool:
    """Three orders of one piece each: Shanghai has two of them, the third comes from farther away."""
    publish_rules(hub, DESK, RULES, "rules of the tests", against=0)
    pool = Pool(hub, client)
    for number in range(1, 4):
        pool.buy(f"M{number}")
    return pool


def nodes(found: WhatIf, side: str) -> list[list[str]]:
    return [order[side]["nodes"] for order in found.orders]


@pytest.mark.usefixtures("bought")
def test_nothing_differs_under_the_rules_of_the_day(hub: Hub) -> None:
    found = what_if(hub, DESK, RULES, Asked())
    assert [order["order_no"] for order in found.orders] == ["M1", "M2", "M3"]
    assert (found.changed, found.left_out) == (0, 0)
    assert nodes(found, "before") == nodes(found, "after") == [["W-SH"], ["W-SH"], ["W-WH"]]
    assert found.before.cost == pytest.approx(found.after.cost)
    assert found.before.load() == found.after.load()


@pytest.mark.usefixtures("bought")
def test_other_rules_send_from_elsewhere(hub: Hub) -> None:
    found = what_if(hub, DESK, NOT_SHANGHAI, Asked())
    assert nodes(found, "after") == [["W-WH"]] * 3
    assert [order["changed"] for order in found.orders] == [True, True, False]
    assert found.load() == [
        {"node": "W-WH", "before": {"parcels": 1, "units": 1}, "after": {"parcels": 3, "units": 3}},
        {"node": "W-SH", "before": {"parcels": 2, "units": 2}, "after": {"parcels": 0, "units": 0}},
    ]
    assert found.after.distance_km > found.before.distance_km


@pytest.mark.usefixtures("bought")
def test_both_sides_are_priced_by_the_rules_of_the_day(hub: Hub) -> None:
    found = what_if(hub, DESK, RULES.replace("8.0", "80.0"), Asked())
    assert found.after.cost == pytest.approx(found.before.cost)


@pytest.mark.usefixtures("bought")
def test_the_newest_orders_of_a_time_and_a_channel_are_taken(hub: Hub) -> None:
    def taken(asked: Asked) -> list[str]:
        return [order["order_no"] for order in what_if(hub, DESK, RULES, asked).orders]

    now = datetime.now(UTC)
    assert taken(Asked(limit=2)) == ["M2", "M3"]
    assert taken(Asked(channel="live")) == []
    assert taken(Asked(channel="shop")) == ["M1", "M2", "M3"]
    assert taken(Asked(since=now + timedelta(days=1))) == taken(Asked(until=now - timedelta(days=1))) == []
    assert taken(Asked(since=now - timedelta(days=1), until=now + timedelta(days=1))) == ["M1", "M2", "M3"]


def test_an_order_counts_once_however_often_it_was_routed(hub: Hub, bought: Pool) -> None:
    hub.database.run(
        "INSERT INTO order_decision (owner, brand, order_id, round, cause, action, rules_version, rules_fingerprint,"
        " cost, gap, stopped, record) SELECT owner, brand, order_id, 2, 'resourced', action, rules_version,"
        " rules_fingerprint, cost, gap, stopped, record FROM order_decision"
    )
    assert len(what_if(bought.hub, DESK, RULES, Asked()).orders) == 3


@pytest.mark.usefixtures("bought")
def test_others_orders_do_not_exist(hub: Hub) -> None:
    sister = Access("s", "s", OWNER, "sister", frozenset({"*"}), "user")
    assert what_if(hub, sister, RULES, Asked()).orders == []
    scopes = frozenset({"ops:read", "orders:read", "channel:live"})
    live = Access("k", "k", OWNER, BRAND, scopes)
    assert what_if(hub, live, RULES, Asked()).orders == []
    assert what_if(hub, live, RULES, Asked(channel="shop")).orders == []
    for one in ("ops:read", "orders:read"):
        with pytest.raises(AccessError):
            what_if(hub, Access("k", "k", OWNER, BRAND, frozenset({one})), RULES, Asked())


@pytest.mark.usefixtures("bought")
def test_what_there_is_no_time_for_is_left_out_and_counted(hub: Hub) -> None:
    found = what_if(hub, DESK, RULES, Asked(), at_most_s=1e-9)
    assert (len(found.orders), found.left_out) == (1, 2)


@pytest.mark.parametrize("chunk", [1, 2, 200])
def test_an_order_whose_record_cannot_be_read_is_left_out_and_counted(
    hub: Hub, bought: Pool, chunk: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    hub.database.run(
        "UPDATE order_decision SET record = 'torn'::bytea FROM sales_order"
        " WHERE sales_order.id = order_id AND order_no = 'M2'"
    )
    seen: list[int] = []
    found = what_if(bought.hub, DESK, NOT_SHANGHAI, Asked(), told=lambda done, _all: seen.append(done))
    assert [order["order_no"] for order in found.orders] == ["M1", "M3"]
    assert (found.changed, found.unreadable, found.left_out) == (1, 1, 0)
    assert seen[-1] == 3
    assert "order M2 of shop is left out" in caplog.text


@pytest.mark.usefixtures("bought")
def test_one_at_a_time_and_the_next_after_it(hub: Hub) -> None:
    seen: list[tuple[int, int]] = []

    def told(done: int, total: int) -> None:
        seen.append((done, total))
        with pytest.raises(TransientError, match="try again"):
            what_if(hub, DESK, RULES, Asked())

    what_if(hub, DESK, RULES, Asked(), told=told)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(RecordError):
        what_if(hub, DESK, "parcel_cost = ", Asked())
    assert what_if(hub, DESK, RULES, Asked()).orders


def test_records_are_read_a_few_at_a_time(hub: Hub, bought: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    assert len(what_if(bought.hub, DESK, RULES, Asked()).orders) == 3


@pytest.mark.usefixtures("bought")
def test_the_same_over_rest(client: Client) -> None:
    caller = client("ops:read", "orders:read")
    answer = caller.post("/v1/routing/what-if", json={"rules": NOT_SHANGHAI, "limit": 2})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [order["after"]["nodes"] for order in found["orders"]] == [["W-WH"], ["W-WH"]]
    assert (found["changed"], found["totals"]["after"]["parcels"], found["left_out"]) == (1, 2, 0)
    refused = caller.post("/v1/routing/what-if", json={"rules": "max_parcels = 0", "limit": 2})
    assert refused.status_code == 422
    assert {error["field"] for error in refused.json()["errors"]} == {"parcel_cost", "per_km", "max_parcels"}
    assert client("ops:read").post("/v1/routing/what-if", json={"rules": RULES}).status_code == 403
