"""What sales earn and what returns take back, each once, in whichever order they come."""

import pytest

from flows.points.requests import start_claw_back, start_earn
from tests.flows.points.world import GROWTH, LEAVES, NOON, STARS, Club, back, sale


def test_a_sale_earns_a_point_a_yuan_and_growth_beside(club: Club) -> None:
    holder, order = club.member(), club.number()
    run = club.ask(
        start_earn, programme=STARS, holder=holder, order_no=order, happened_at=NOON, lines=sale(12_345, 250)
    )
    assert (run["state"], run["outcome"]) == ("done", "earned")
    assert club.has(holder) == 125
    assert club.has(holder, GROWTH) == 125
    detail = club.one("SELECT detail FROM ledger_transfer WHERE reference = %s", order)
    assert detail["lines"] == [[1, 1, 123, {"base": 123}], [2, 1, 2, {"base": 2}]]


def test_two_programmes_round_each_in_its_own_way(club: Club) -> None:
    holder, order = club.member(), club.number()
    for programme in (STARS, LEAVES):
        club.ask(start_earn, programme=programme, holder=holder, order_no=order, happened_at=NOON, lines=sale(199))
    assert (club.has(holder, STARS), club.has(holder, LEAVES)) == (1, 2)


def test_ninety_nine_points_over_five_units_go_back_unit_by_unit(club: Club) -> None:
    holder, order = club.member(), club.number()
    body = {"programme": STARS, "order_no": order, "happened_at": NOON}
    club.ask(start_earn, **body, holder=holder, lines=sale(9_900, quantity=5))
    taken = []
    for _ in range(5):
        run = club.ask(start_claw_back, **body, return_no=club.number("R"), lines=back(l1=1))
        taken.append(run["results"]["take_back"]["points"])
    assert taken == [20, 20, 20, 20, 19]
    assert (club.has(holder), club.has(holder, GROWTH)) == (0, 0)


def test_nothing_more_comes_back_than_was_sold(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.points.claw_back.PATIENCE_S", 0)
    holder, order = club.member(), club.number()
    body = {"programme": STARS, "order_no": order, "happened_at": NOON}
    club.ask(start_earn, **body, holder=holder, lines=sale(9_900, quantity=5))
    club.ask(start_claw_back, **body, return_no=club.number("R"), lines=back(l1=5))
    run = club.ask(start_claw_back, **body, return_no=club.number("R"), lines=back(l1=1))
    assert (run["state"], run["error"]["code"]) == ("parked", "points.sale_unknown")
