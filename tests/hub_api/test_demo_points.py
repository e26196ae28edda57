"""The demo's month of points: its rules, and what its shops mean to do."""

from datetime import datetime, timedelta

from flows.points.rulebook import PointsRulebook
from flows.runtime.bootstrap import Hub
from hub_api.demo.points import RULES, publish_rules
from hub_api.demo.points_plan import PROVIDERS, SHOPS, MonthPlan, month_of_points
from tests.hub_api.conftest import Client


def when(plan: MonthPlan) -> list[datetime]:
    """When everything happens that is asked for."""
    deeds = [deed for week in plan.weeks for deed in (*week.together, *week.one_by_one, *week.after, *week.refunds)]
    return [datetime.fromisoformat(deed.body["happened_at"]) for deed in deeds]


def test_the_same_seed_gives_the_same_month_and_another_gives_another() -> None:
    assert month_of_points(7, members=12) == month_of_points(7, members=12)
    assert month_of_points(7, members=12).weeks != month_of_points(8, members=12).weeks


def test_all_of_the_month_is_past_when_it_is_told() -> None:
    plan = month_of_points(7)
    assert plan.begins <= min(when(plan))
    assert max(when(plan)) < plan.ends


def test_what_a_member_exchanges_in_a_week_is_dated_alike_and_later_every_week() -> None:
    dates: dict[str, list[datetime]] = {}
    for week in month_of_points(7).weeks:
        told: dict[str, set[datetime]] = {}
        for deed in week.after:
            if deed.door == "exchanges":
                told.setdefault(deed.body["holder"], set()).add(datetime.fromisoformat(deed.body["happened_at"]))
        for each in week.emptied:
            assert each.at > max(told.get(each.shop.holder(each.member), {each.at - timedelta(1)}))
        for holder, moments in told.items():
            dates.setdefault(holder, []).extend(moments)
    assert dates
    assert all(each == sorted(set(each)) for each in dates.values())


def test_no_number_is_used_for_two_deeds() -> None:
    plan = month_of_points(7)
    named = [(deed.door, deed.number) for week in plan.weeks for deed in (*week.after, *week.refunds)]
    named += [("earns", deed.number) for deed in plan.purchases()]
    assert len(named) == len(set(named))


def test_a_return_gives_back_no_more_than_was_bought() -> None:
    plan = month_of_points(7)
    bought = {
        (deed.number, line["line_no"]): line["quantity"] for deed in plan.purchases() for line in deed.body["lines"]
    }
    returned = [
        (deed.body["order_no"], line["line_no"], line["quantity"])
        for week in plan.weeks
        for deed in week.after
        if deed.door == "returns"
        for line in deed.body["lines"]
    ]
    assert returned
    assert all(quantity <= bought[order_no, line_no] for order_no, line_no, quantity in returned)


def test_the_rules_know_every_programme_and_exchange_of_the_shops() -> None:
    rules = PointsRulebook(RULES.read_text("utf-8"))
    assert {shop.programme for shop in SHOPS} <= set(rules.programmes)
    rates = {(rule.from_, rule.to) for rule in rules.exchanges}
    assert {pair for shop in SHOPS for pair in shop.exchanges} <= rates
    assert rules.outside == PROVIDERS


def test_the_three_programmes_round_in_three_ways() -> None:
    rules = PointsRulebook(RULES.read_text("utf-8"))
    assert {rules.programme(shop.programme).earn[0].rounding for shop in SHOPS} == {"down", "half_up", "half_even"}


def test_the_rules_are_published_once_and_are_then_in_force(hub: Hub, client: Client) -> None:
    publish_rules(hub)
    found = client("points:read").get("/v1/points/rules").raise_for_status().json()
    assert (found["version"], found["latest"]) == (1, 1)
