"""Why an order ships from where it does, and what other rules make of the same stock and places."""

import pytest

from canonical_model.errors import AccessError, NotFoundError, RecordError
from flows.one_stock.routing.rulebook import Rulebook
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.decisions import MOST_MS, MOST_NODES, bounded, order_decisions, try_text, try_version
from hub_api.routing_rules import publish_rules
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.pool import DESK, TEE, Pool

RULES = 'parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 4\non_short = "partial"\n'
FAR = RULES + '[filters]\nnot_places = ["W-SH"]\n'


@pytest.fixture
def pool(hub: Hub, client: Client) -> Pool:
    publish_rules(hub, DESK, RULES, "rules of the tests", against=0)
    return Pool(hub, client)


def test_a_decision_tells_every_place_and_no_person(hub: Hub, pool: Pool) -> None:
    found = order_decisions(hub, DESK, pool.buy("M1"))
    (told,) = found.rounds
    assert [parcel["place"] for parcel in told["parcels"]] == ["W-SH"]
    assert {place["place"] for place in told["lines"][0]["places"]} == set(found.spots) == {"W-SH", "W-WH", "W-GZ"}
    assert found.spots["W-SH"].name == "上海总仓"
    for personal in ("陈小一", "13812345678", "文三路"):
        assert personal not in str(found)


def test_the_buyers_area_is_known_to_ten_kilometres_only(hub: Hub, pool: Pool) -> None:
    receiver = {"name": "陈小一", "mobile": "13812345678", "point": {"lat": 30.27415, "lon": 120.15515}}
    found = order_decisions(hub, DESK, pool.buy("M1", receiver=receiver))
    assert found.area == (30.3, 120.2)


def test_other_rules_decide_on_the_stock_of_that_moment(hub: Hub, pool: Pool) -> None:
    order_id = pool.buy("M1", quantity=2)
    assert publish_rules(hub, DESK, FAR, "Shanghai is being moved", against=1) == 2
    found = try_version(hub, DESK, order_id, 2)
    assert [parcel["place"] for parcel in found.before["parcels"]] == ["W-SH"]
    assert [parcel["place"] for parcel in found.after["parcels"]] == ["W-WH"]
    assert (found.round, found.version) == (1, 2)
    same = try_version(hub, DESK, order_id, 1)
    assert same.after["parcels"] == same.before["parcels"]


def test_both_sides_are_priced_by_the_rules_of_the_decision(hub: Hub, pool: Pool) -> None:
    order_id = pool.buy("M1")
    dear = try_text(hub, DESK, order_id, RULES.replace("8.0", "80.0"))
    assert dear.version is None
    assert dear.after["cost"] == pytest.approx(dear.before["cost"])


def test_trying_stores_nothing(hub: Hub, pool: Pool) -> None:
    order_id = pool.buy("M1")
    try_text(hub, DESK, order_id, FAR)
    try_version(hub, DESK, order_id, 0)
    (row,) = hub.database.run("SELECT count(*) AS n FROM order_decision")
    assert row["n"] == 1


def test_rules_that_cannot_be_read_are_refused(hub: Hub, pool: Pool) -> None:
    with pytest.raises(RecordError):
        try_text(hub, DESK, pool.buy("M1"), "parcel_cost = ")


def test_nobody_keeps_a_machine_busy_with_rules_of_their_own() -> None:
    rules = Rulebook(RULES + "[budget]\nnodes = 10000000\niterations = 1000000\nemergency_ms = 60000\n").rules()
    assert (bounded(rules).budget.nodes, bounded(rules).budget.emergency_ms) == (MOST_NODES, MOST_MS)


def test_decisions_of_others_do_not_exist(hub: Hub, pool: Pool) -> None:
    order_id = pool.buy("M1", TEE)
    sister = Access("s", "s", OWNER, "sister", frozenset({"*"}), "user")
    with pytest.raises(NotFoundError):
        order_decisions(hub, sister, order_id)
    with pytest.raises(NotFoundError):
        try_version(hub, sister, order_id, 0)
    for channel in ("live", "shop"):
        speaker = Access("k", "k", OWNER, BRAND, frozenset({"ops:read", f"channel:{channel}"}))
        with pytest.raises(AccessError, match="no channel: scope"):
            order_decisions(hub, speaker, order_id)
        with pytest.raises(AccessError, match="no channel: scope"):
            try_version(hub, speaker, order_id, 0)
    with pytest.raises(AccessError):
        order_decisions(hub, Access("v", "v", OWNER, BRAND, frozenset({"stock:read"}), "user"), order_id)
    with pytest.raises(NotFoundError):
        try_version(hub, DESK, order_id, 0, round_no=9)
