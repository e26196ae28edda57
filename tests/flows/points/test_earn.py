"""What sales earn and what returns take back, each once, in whichever order they come."""

import pytest

from flows.points.requests import claw_back_start, start_claw_back, start_earn, start_expire, start_spend
from flows.runtime.runs import start_runs
from tests.flows.points.world import BRAND, GROWTH, LEAVES, NOON, OWNER, STARS, Club, back, sale

LATER = "2026-03-03T12:00:00+08:00"


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


def test_a_sale_that_comes_again_earns_once(club: Club) -> None:
    body = {"programme": STARS, "holder": club.member(), "order_no": club.number(), "happened_at": NOON}
    runs = {club.ask(start_earn, **body, lines=sale(10_000))["id"] for _ in range(2)}
    assert len(runs) == 1
    assert club.has(body["holder"]) == 100


def test_a_sale_below_a_point_earns_nothing_and_is_no_transfer(club: Club) -> None:
    order = club.number()
    body = {"programme": STARS, "holder": club.member(), "order_no": order, "happened_at": NOON}
    assert club.ask(start_earn, **body, lines=sale(99))["outcome"] == "nothing"
    assert not club.rows("SELECT id FROM ledger_transfer WHERE reference = %s", order)
    run = club.ask(start_claw_back, programme=STARS, order_no=order, return_no="R", happened_at=NOON, lines=back(l1=1))
    assert (run["outcome"], run["results"]["take_back"]["points"]) == ("nothing", 0)


def test_points_that_were_spent_already_are_owed_and_repaid_by_the_next_sale(club: Club) -> None:
    holder, order = club.member(), club.number()
    club.ask(start_earn, programme=STARS, holder=holder, order_no=order, happened_at=NOON, lines=sale(30_000))
    line = {"line_no": 1, "sku": club.goods(points=250), "quantity": 1, "points": 250}
    club.ask(
        start_spend, programme=STARS, holder=holder, order_no=club.number(), happened_at=LATER, region_code="330106",
        supplier="giftco", lines=[line], points=250,
    )  # fmt: skip
    club.ask(start_claw_back, programme=STARS, order_no=order, return_no="R", happened_at=LATER, lines=back(l1=1))
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (0, 250)
    body = {"programme": STARS, "holder": holder, "order_no": club.number(), "happened_at": LATER}
    club.ask(start_earn, **body, lines=sale(40_000))
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (150, 0)


def test_a_return_that_comes_before_its_sale_waits_for_it(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.points.claw_back.FIRST_WAIT_S", 1)
    monkeypatch.setattr("flows.points.claw_back.LONGEST_WAIT_S", 1)
    holder, order = club.member(), club.number()
    body = {"programme": STARS, "order_no": order, "happened_at": NOON}
    back_run = club.start(start_claw_back, **body, return_no="R", lines=back(l1=2))
    club.until(back_run, lambda run: run["state"] == "waiting")
    club.ask(start_earn, **body, holder=holder, lines=sale(9_900, quantity=5))
    assert club.ended(back_run)["outcome"] == "taken_back"
    assert club.has(holder) == 99 - 40
    assert club.ask(start_claw_back, **body, return_no="R", lines=back(l1=2))["id"] == back_run
    assert club.has(holder) == 99 - 40


def test_a_return_of_more_than_one_delivery_takes_back_what_each_has_earned(club: Club) -> None:
    holder, order = club.member(), club.number()
    body = {"programme": STARS, "order_no": order, "happened_at": NOON}
    for part, (amount, quantity) in {"P-1": (1_050, 3), "P-2": (750, 2)}.items():
        club.ask(start_earn, **body, holder=holder, part=part, lines=sale(amount, quantity=quantity))
    assert club.has(holder) == 10 + 7
    left = []
    for nth, units in enumerate((2, 2, 1)):
        club.ask(start_claw_back, **body, return_no=f"R{nth}", lines=back(l1=units))
        left.append(club.has(holder))
    assert left == [17 - 7, 17 - 10 - 4, 0]


def test_sales_reckoned_together_reach_the_cap_of_the_day_together(club: Club) -> None:
    holder = club.member()
    runs = [
        club.start(
            start_earn, programme=STARS, holder=holder, order_no=club.number(), happened_at=NOON, lines=sale(40_000)
        )
        for _ in range(8)
    ]
    for run_id in runs:
        club.ended(run_id)
    later = "2026-03-03T00:00:00+08:00"
    club.ask(start_earn, programme=STARS, holder=holder, order_no=club.number(), happened_at=later, lines=sale(100))
    earned = [club.run(run_id)["results"]["earn"]["points"] for run_id in runs]
    assert earned == [400, 400, 400, 800, 800, 800, 800, 600]
    assert club.has(holder) == 5_000 + 2


def test_the_rules_of_the_day_of_the_sale_count_whenever_it_is_reckoned(club: Club) -> None:
    earned = {}
    for at in ("2026-11-10T23:59:59+08:00", "2026-11-11T00:00:00+08:00", "2026-11-12T00:00:00+08:00"):
        body = {"programme": STARS, "holder": club.member(), "order_no": club.number(), "happened_at": at}
        earned[at] = club.ask(start_earn, **body, lines=sale(10_000))["results"]["earn"]["points"]
    assert list(earned.values()) == [100, 200, 100]


def test_points_that_expired_before_the_goods_came_back_are_not_owed(club: Club) -> None:
    holder, order = club.member(), club.number()
    body = {"programme": STARS, "order_no": order}
    long_ago, too_late = "2022-01-10T12:00:00+08:00", "2023-03-01T12:00:00+08:00"
    club.ask(start_earn, **body, holder=holder, happened_at=long_ago, lines=sale(10_000, quantity=2))
    line = {"line_no": 1, "sku": club.goods(points=30), "quantity": 1, "points": 30}
    club.ask(
        start_spend, programme=STARS, holder=holder, order_no=club.number(), happened_at="2022-02-01T12:00:00+08:00",
        region_code="330106", supplier="giftco", lines=[line], points=30,
    )  # fmt: skip
    owed = []
    for nth in range(2):
        club.ask(start_claw_back, **body, return_no=f"R{nth}", happened_at=too_late, lines=back(l1=1))
        owed.append(club.balance(holder).arrears)
    assert owed == [30, 30]
    club.ask(start_expire, as_of="2023-02-01")
    club.sound()
    assert club.balance(holder).posted == 0


def test_a_return_that_its_source_dates_in_the_future_takes_back_what_lives_today(club: Club) -> None:
    holder, order = club.member(), club.number()
    body = {"programme": STARS, "order_no": order}
    club.ask(start_earn, **body, holder=holder, happened_at=NOON, lines=sale(50_000))
    told = {"channel": "-", "return_no": "R1", "happened_at": "2190-01-01T12:00:00+08:00", "lines": back(l1=1)}
    start = claw_back_start(OWNER, BRAND, body | told)
    (started,) = club.do(lambda uow: start_runs(uow, [start]))
    assert club.ended(started.run_id)["results"]["take_back"]["points"] == 500
    assert club.has(holder) == 0
