"""Points into other points, and into units of somebody outside and back: the rate of the day, once in both books."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canonical_model.errors import RejectedError
from canonical_model.store import ledger_holds, wallets
from flows.points.requests import start_exchange, start_spend
from tests.flows.points.test_spend import gift, rich
from tests.flows.points.world import BRAND, GROUP, LEAVES, MILES, NOON, OWNER, STARS, Club

LATER = "2026-03-03T12:00:00+08:00"


def test_stars_become_leaves_and_the_clearing_house_keeps_the_spread(club: Club) -> None:
    holder = rich(club)

    def cleared() -> tuple[int, int]:
        return club.total("clearing", LEAVES), club.total("clearing", STARS, LEAVES)

    spread, clearing = club.total("spread", LEAVES), cleared()
    body = {"from": STARS, "to": LEAVES, "holder": holder, "points": 300, "exchange_no": club.number("X")}
    run = club.ask(start_exchange, **body, happened_at=LATER)
    assert (run["state"], run["outcome"]) == ("done", "exchanged")
    assert (club.has(holder), club.has(holder, LEAVES)) == (700, 196)
    assert club.total("spread", LEAVES) - spread == 6
    assert [taken - before for taken, before in zip(cleared(), clearing, strict=True)] == [294, -196]


@pytest.mark.parametrize(
    ("happened_at", "leaves"), [("2026-11-10T23:59:59.999999+08:00", 196), ("2026-11-11T00:00:00+08:00", 150)]
)
def test_the_rate_changes_at_midnight_in_shanghai(club: Club, happened_at: str, leaves: int) -> None:
    holder = rich(club)
    body = {"from": STARS, "to": LEAVES, "holder": holder, "points": 300, "exchange_no": club.number("X")}
    club.ask(start_exchange, **body, happened_at=happened_at)
    assert club.has(holder, LEAVES) == leaves


def test_a_day_without_a_rate_is_refused_with_the_days_that_have_one(club: Club) -> None:
    holder = rich(club)
    body = {"from": STARS, "to": LEAVES, "holder": holder, "points": 300, "exchange_no": club.number("X")}
    with pytest.raises(RejectedError, match="from 2020-01-01") as refused:
        club.start(start_exchange, **body, happened_at="2019-12-31T23:59:59+08:00")
    assert refused.value.code == "exchange.no_rate"
    assert club.has(holder) == 1_000


@pytest.mark.parametrize("fault", [{}, {"drop_answer": 1.0}, {"error500": 1.0}])
@pytest.mark.parametrize(("unit", "system", "credited"), [(MILES, "airline", 148), (GROUP, "finance", 300)])
def test_units_outside_are_credited_once_whatever_becomes_of_the_answer(
    club: Club, unit: str, system: str, credited: int, fault: dict[str, float]
) -> None:
    holder, account = rich(club), club.account(system)
    outside = club.total("outside", system, unit)
    club.faults(system, **fault)
    run_id = club.start(
        start_exchange,
        **{"from": STARS, "to": unit, "holder": holder, "points": 300, "account": account},
        exchange_no=club.number("X"),
        happened_at=LATER,
    )
    if fault:
        club.until(run_id, lambda run: run["error"] is not None)
        assert (club.has(holder), club.balance(holder).held) == (700, 300)
        club.faults(system, **dict.fromkeys(fault, 0.0))
    assert club.ended(run_id)["outcome"] == "exchanged"
    booked = club.at_airline(account) if system == "airline" else club.at_finance(account)
    assert booked == [("CREDIT" if system == "airline" else "IN", credited)]
    balance = club.balance(holder)
    assert (balance.available, balance.held) == (700, 0)
    assert club.total("outside", system, unit) - outside == credited


def test_what_a_provider_credited_after_the_points_were_free_again_is_owed(club: Club) -> None:
    holder, account = rich(club, 400), club.account("finance")
    body = {"from": STARS, "to": GROUP, "holder": holder, "points": 300, "exchange_no": club.number("X")}
    club.faults("finance", drop_answer=1.0)
    run_id = club.start(start_exchange, **body, account=account, happened_at=LATER)
    club.until(run_id, lambda run: run["error"] is not None)
    end = datetime.now(UTC) + timedelta(days=8)
    club.do(lambda uow: ledger_holds.expire_holds(uow.connection, end))
    club.ask(start_spend, **gift(club, holder, 390))
    club.faults("finance", drop_answer=0.0)
    assert club.ended(run_id)["outcome"] == "exchanged"
    assert club.at_finance(account) == [("IN", 300)]
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (0, 290)


def test_a_provider_that_refuses_leaves_the_member_all_points(club: Club) -> None:
    holder = rich(club)
    body = {"from": STARS, "to": MILES, "holder": holder, "points": 300, "exchange_no": club.number("X")}
    run = club.ask(start_exchange, **body, account="86-nobody", happened_at=LATER)
    assert (run["state"], run["results"]["error"]["code"]) == ("undone", "provider.unknown_account")
    balance = club.balance(holder)
    assert (balance.available, balance.held) == (1_000, 0)


def test_miles_come_in_as_stars_that_the_airline_bears(club: Club) -> None:
    holder, account = club.member(), club.account(balance=500)
    body = {"from": MILES, "to": STARS, "holder": holder, "points": 400, "exchange_no": club.number("X")}
    run = club.ask(start_exchange, **body, account=account, happened_at=LATER)
    assert run["outcome"] == "exchanged"
    assert club.at_airline(account) == [("DEBIT", 400)]
    assert club.has(holder) == 400
    issuer = club.one(
        "SELECT issuer FROM points_lot JOIN ledger_account AS account ON account.id = account_id WHERE holder = %s",
        holder,
    )
    assert issuer == "airline"


def test_a_member_with_too_few_miles_gets_no_stars(club: Club) -> None:
    holder, account = club.member(), club.account(balance=399)
    body = {"from": MILES, "to": STARS, "holder": holder, "points": 400, "exchange_no": club.number("X")}
    run = club.ask(start_exchange, **body, account=account, happened_at=LATER)
    assert (run["state"], run["results"]["error"]["code"]) == ("undone", "provider.insufficient")
    assert club.has(holder) == 0


def test_the_members_number_outside_lies_open_nowhere(club: Club) -> None:
    holder, account = rich(club), club.account()
    body = {"from": STARS, "to": MILES, "holder": holder, "points": 300, "exchange_no": club.number("X")}
    club.ask(start_exchange, **body, account=account, happened_at=LATER)
    assert club.start(start_exchange, **body, account=account, happened_at=LATER)
    for query in (
        "SELECT input::text || results::text AS text FROM flow_run",
        "SELECT result::text AS text FROM flow_step",
        "SELECT detail::text || key AS text FROM ledger_transfer",
        "SELECT answer::text || coalesce(encode(body, 'escape'), '') AS text FROM effect",
    ):
        assert not [row for row in club.rows(query) if account in (row["text"] or "")]


def test_an_exchange_dated_before_the_last_of_either_programme_is_refused(club: Club) -> None:
    holder = rich(club)
    night, morning = "2026-11-10T23:59:59+08:00", "2026-11-11T00:00:00+08:00"

    def exchange(from_: str, to: str, points: int, happened_at: str) -> dict[str, Any]:
        body = {"from": from_, "to": to, "holder": holder, "points": points, "exchange_no": club.number("X")}
        return club.ask(start_exchange, **body, happened_at=happened_at)

    assert exchange(STARS, LEAVES, 300, night)["outcome"] == "exchanged"
    assert exchange(LEAVES, STARS, 196, morning)["outcome"] == "exchanged"
    back = exchange(STARS, LEAVES, 300, night)
    assert (back["state"], back["results"]["error"]["code"]) == ("undone", "exchange.out_of_order")
    assert "date it 2026-11-10T16:00:00+00:00 or later" in back["results"]["error"]["detail"]
    assert club.has(holder, LEAVES) == 0
    assert exchange(STARS, LEAVES, 300, morning)["outcome"] == "exchanged"


def test_an_exchange_waits_for_the_one_asked_before_it_and_goes_by_its_date(club: Club) -> None:
    holder, account = rich(club), club.account()
    body = {"from": STARS, "holder": holder, "points": 300}
    club.faults("airline", error500=1.0)
    first = club.start(start_exchange, **body, to=MILES, account=account, exchange_no="W1", happened_at=LATER)
    club.until(first, lambda run: run["error"] is not None)
    earlier = club.start(start_exchange, **body, to=LEAVES, exchange_no="W2", happened_at=NOON)
    club.hub.runner.drain()
    assert club.run(earlier)["state"] == "waiting"
    club.faults("airline", error500=0.0)
    assert club.ended(earlier)["results"]["error"]["code"] == "exchange.out_of_order"
    assert (club.has(holder), club.has(holder, LEAVES)) == (700, 0)


def test_members_with_one_wallet_exchange_forward_in_time_together(club: Club) -> None:
    kept, merged = rich(club), rich(club)
    club.do(lambda uow: wallets.merge(uow.connection, OWNER, BRAND, "both", kept, merged, now=datetime.now(UTC)))
    body = {"from": STARS, "to": LEAVES, "points": 300}
    club.ask(start_exchange, **body, holder=kept, exchange_no=club.number("X"), happened_at=LATER)
    run = club.ask(start_exchange, **body, holder=merged, exchange_no=club.number("X"), happened_at=NOON)
    assert run["results"]["error"]["code"] == "exchange.out_of_order"
