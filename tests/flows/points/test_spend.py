"""Goods for points: kept, asked for, spent; and what happens when one of the two is no longer there."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from canonical_model.store import ledger_expiry, ledger_holds
from flows.points.requests import start_earn, start_refund, start_spend
from flows.runtime.runs import retry
from tests.flows.points.world import NOON, OWNER, STARS, Club, sale

LATER = "2026-03-03T12:00:00+08:00"
SHANGHAI = ZoneInfo("Asia/Shanghai")


def rich(club: Club, points: int = 1_000, **more: Any) -> str:
    """A member with so many stars."""
    holder = club.member()
    body = {"programme": STARS, "holder": holder, "order_no": club.number(), "happened_at": NOON, **more}
    club.ask(start_earn, **body, lines=sale(points * 100))
    return holder


def gift(club: Club, holder: str, points: int = 300, supplier: str = "giftco", **more: Any) -> dict[str, Any]:
    """What asks for goods of that price, which the supplier has."""
    sku = club.goods(supplier, points)
    line = {"line_no": 1, "sku": sku, "quantity": 1, "points": points}
    return {
        "programme": STARS,
        "holder": holder,
        "order_no": club.number("G"),
        "happened_at": LATER,
        "region_code": "330106",
        "supplier": supplier,
        "lines": [line],
        "points": points,
        **more,
    }


@pytest.mark.parametrize("supplier", ["giftco", "cardco"])
def test_goods_are_reserved_confirmed_and_paid_with_what_was_kept(club: Club, supplier: str) -> None:
    holder = rich(club)
    before = club.total("redeemed", supplier)
    run = club.ask(start_spend, **gift(club, holder, supplier=supplier))
    assert (run["state"], run["outcome"]) == ("done", "spent")
    assert club.effects(run["id"]) == [("reserve", "confirmed"), ("confirm", "confirmed")]
    balance = club.balance(holder)
    assert (balance.available, balance.held) == (700, 0)
    assert club.total("redeemed", supplier) - before == 300


def test_a_member_with_too_few_points_gets_nothing_and_the_supplier_is_not_asked(club: Club) -> None:
    holder = rich(club, 299)
    run = club.ask(start_spend, **gift(club, holder))
    assert (run["state"], run["outcome"]) == ("undone", "rejected")
    assert run["results"]["error"]["code"] == "points.insufficient"
    assert club.effects(run["id"]) == []
    assert club.has(holder) == 299


def test_a_supplier_that_refuses_leaves_the_member_all_points(club: Club) -> None:
    holder = rich(club)
    run = club.ask(start_spend, **gift(club, holder) | {"region_code": "110101"})
    assert (run["state"], run["results"]["error"]["code"]) == ("undone", "supplier.out_of_stock")
    balance = club.balance(holder)
    assert (balance.available, balance.held) == (1_000, 0)


@pytest.mark.parametrize("supplier", ["giftco", "cardco"])
def test_goods_that_lapsed_before_the_yes_are_cancelled_and_the_points_free(club: Club, supplier: str) -> None:
    holder = rich(club)
    run_id = club.start(start_spend, **gift(club, holder, supplier=supplier))
    club.hub.runner.work("local")
    club.hub.runner.work(supplier, 1)
    assert club.effects(run_id) == [("reserve", "confirmed")]
    club.tell(supplier, "/_clock", {"ahead_s": 86_400}, "PUT")
    run = club.ended(run_id)
    club.tell(supplier, "/_clock", {"ahead_s": 0}, "PUT")
    assert (run["state"], run["results"]["error"]["code"]) == ("undone", "supplier.lapsed")
    assert club.has(holder) == 1_000


def test_a_lost_answer_of_the_supplier_orders_nothing_twice(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    club.faults("giftco", drop_answer=1.0)
    run_id = club.start(start_spend, **body)
    club.until(run_id, lambda run: run["results"].get("hold") is not None and run["attempt"] > 0)
    club.faults("giftco", drop_answer=0.0)
    assert club.ended(run_id)["outcome"] == "spent"
    assert club.at_giftco(body["order_no"]) == ["ordered"]
    assert club.has(holder) == 700


def _end_the_hold(club: Club) -> None:
    club.do(lambda uow: ledger_holds.expire_holds(uow.connection, datetime.now(UTC) + timedelta(hours=1)))


def _while_the_yes_is_lost(club: Club, body: dict[str, Any]) -> int:
    """A spend whose supplier has said yes without being heard, and whose points are no longer kept."""
    run_id = club.start(start_spend, **body)
    club.hub.runner.work("local")
    club.hub.runner.work("giftco", 1)
    club.faults("giftco", drop_answer=1.0)
    club.until(run_id, lambda run: run["error"] is not None)
    _end_the_hold(club)
    return run_id


def test_a_yes_that_was_heard_after_the_hold_had_ended_takes_the_points_anew(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    run_id = _while_the_yes_is_lost(club, body)
    club.faults("giftco", drop_answer=0.0)
    assert club.ended(run_id)["outcome"] == "spent"
    assert club.at_giftco(body["order_no"]) == ["ordered"]
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (700, 0)


def test_goods_go_back_when_their_points_were_spent_on_others_in_between(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    run_id = _while_the_yes_is_lost(club, body)
    club.ask(start_spend, **gift(club, holder, 900, "cardco"))
    club.faults("giftco", drop_answer=0.0)
    run = club.ended(run_id)
    assert (run["state"], run["outcome"]) == ("done", "lost")
    assert club.at_giftco(body["order_no"]) == ["cancelled"]
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (100, 0)


def test_goods_that_were_shipped_without_their_points_are_a_persons_business(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    run_id = _while_the_yes_is_lost(club, body)
    club.ask(start_spend, **gift(club, holder, 900, "cardco"))
    club.tell("giftco", "/_ship")
    club.faults("giftco", drop_answer=0.0)
    run = club.ended(run_id)
    assert (run["state"], run["error"]["code"]) == ("parked", "supplier.shipped")


def test_points_whose_hold_ended_before_the_yes_take_the_goods_back(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    run_id = club.start(start_spend, **body)
    club.hub.runner.work("local")
    club.hub.runner.work("giftco", 1)
    _end_the_hold(club)
    run = club.ended(run_id)
    assert (run["state"], run["results"]["error"]["code"]) == ("undone", "points.hold_ended")
    assert club.at_giftco(body["order_no"]) == ["cancelled"]
    assert club.has(holder) == 1_000


def test_lots_that_fall_due_while_they_are_kept_are_spent_all_the_same(club: Club) -> None:
    holder = rich(club, happened_at="2026-03-02T12:00:00+08:00")
    body = gift(club, holder)
    run_id = club.start(start_spend, **body)
    club.hub.runner.work("local")
    late = datetime(2027, 4, 1, tzinfo=UTC)
    club.do(lambda uow: ledger_expiry.expire_lots(uow.connection, OWNER, as_of=late, now=late))
    assert club.balance(holder).posted == 300
    assert club.ended(run_id)["outcome"] == "spent"
    assert club.balance(holder).posted == 0


def test_a_whole_refund_cancels_the_goods_and_gives_the_points_back_once(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    club.ask(start_spend, **body)
    refund = {"order_no": body["order_no"], "refund_no": club.number("F"), "happened_at": LATER}
    run = club.ask(start_refund, **refund)
    assert (run["state"], run["outcome"]) == ("done", "refunded")
    assert club.at_giftco(body["order_no"]) == ["cancelled"]
    assert club.has(holder) == 1_000
    assert club.ask(start_refund, **refund)["id"] == run["id"]
    again = club.ask(start_refund, **refund | {"refund_no": club.number("F")})
    assert (again["state"], again["results"]["error"]["code"]) == ("undone", "points.over_reversed")
    assert club.has(holder) == 1_000


def test_a_partial_refund_leaves_the_goods_and_no_more_than_was_spent_goes_back(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    club.ask(start_spend, **body)
    refund = {"order_no": body["order_no"], "happened_at": LATER, "points": 200}
    assert club.ask(start_refund, **refund, refund_no=club.number("F"))["outcome"] == "refunded"
    run = club.ask(start_refund, **refund, refund_no=club.number("F"))
    assert run["results"]["error"]["code"] == "points.over_reversed"
    assert club.at_giftco(body["order_no"]) == ["ordered"]
    assert club.has(holder) == 900


def test_goods_that_left_are_not_refunded(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    club.ask(start_spend, **body)
    club.tell("giftco", "/_ship")
    run = club.ask(start_refund, order_no=body["order_no"], refund_no=club.number("F"), happened_at=LATER)
    assert (run["state"], run["results"]["error"]["code"]) == ("undone", "supplier.shipped")
    assert club.has(holder) == 700


def test_a_refund_that_comes_before_its_spend_has_ended_waits_for_it(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    spend = club.start(start_spend, **body)
    refund = club.start(start_refund, order_no=body["order_no"], refund_no=club.number("F"), happened_at=LATER)
    assert club.ended(refund)["outcome"] == "refunded"
    assert club.run(spend)["outcome"] == "spent"
    assert club.has(holder) == 1_000


def test_a_refund_whose_spend_does_not_end_within_an_hour_asks_a_person(club: Club) -> None:
    holder = rich(club)
    body = gift(club, holder)
    club.faults("giftco", error500=1.0)
    spend = club.start(start_spend, **body)
    club.until(spend, lambda run: run["error"] is not None)
    refund = club.start(start_refund, order_no=body["order_no"], refund_no=club.number("F"), happened_at=LATER)
    waiting = club.until(refund, lambda run: run["error"] is not None)
    assert (waiting["state"], waiting["error"]["code"]) == ("ready", "points.under_way")
    club.rows("UPDATE flow_run SET created_at = created_at - interval '1 hour' WHERE id = %s RETURNING id", refund)
    parked = club.ended(refund)
    assert (parked["state"], parked["error"]["code"]) == ("parked", "points.under_way")
    assert f"run {spend}, is still under way" in parked["error"]["detail"]
    club.faults("giftco", error500=0.0)
    assert club.ended(spend)["outcome"] == "spent"
    club.do(lambda uow: retry(uow, refund))
    assert club.ended(refund)["outcome"] == "refunded"
    assert club.has(holder) == 1_000


def test_points_refunded_after_they_expired_live_on_for_the_grace_days(club: Club) -> None:
    holder = rich(club, happened_at="2024-03-01T12:00:00+08:00")
    body = gift(club, holder, happened_at="2024-03-03T12:00:00+08:00")
    club.ask(start_spend, **body)
    at = datetime.now(UTC)
    run = club.ask(start_refund, order_no=body["order_no"], refund_no=club.number("F"), happened_at=at.isoformat())
    assert run["outcome"] == "refunded"
    end = datetime.combine(at.astimezone(SHANGHAI).date() + timedelta(days=31), time(), SHANGHAI)
    assert club.balance(holder, at=end - timedelta(seconds=1)).available == 300
    assert club.balance(holder, at=end).available == 0
