"""What points do by the clock, one process at a time, whatever was done before."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canonical_model.ledger import HoldCommand
from canonical_model.store import ledger, ledger_expiry, ledger_holds, ledger_journal
from flows.points import chores
from flows.points.chores import every_chore
from flows.points.requests import start_earn, start_expire
from flows.runtime.chores import do_once
from flows.runtime.runs import retry
from tests.flows.desk import Desk, statuses
from tests.flows.ingest.test_members import member
from tests.flows.ingest.test_points import entry
from tests.flows.points.test_spend import rich
from tests.flows.points.world import OWNER, STARS, Club, sale

BY_NAME = {chore.name: chore for chore in every_chore()}


def do(club: Club, name: str) -> None:
    """A chore until there is nothing more to do."""
    for _ in range(20):
        if not do_once(club.hub, BY_NAME[name], datetime.now(UTC)):
            return
    raise AssertionError(f"{name} never ends")


def test_the_journal_is_sealed_and_its_head_signed(club: Club) -> None:
    rich(club)
    do(club, "seal_points")
    newest = club.rows("SELECT * FROM ledger_seal ORDER BY seq DESC LIMIT 1")[0]
    last = club.one("SELECT max(id) FROM ledger_transfer")
    assert newest["transfer_id"] >= last
    verified = club.do(lambda uow: ledger_journal.verify(uow.connection, OWNER, sign=club.hub.vault.sign))
    assert verified.broken == []
    assert verified.entries == club.one("SELECT count(*) FROM ledger_transfer")


def test_what_was_kept_too_long_is_free_again(club: Club) -> None:
    holder = rich(club, 100)
    past = datetime.now(UTC) - timedelta(hours=1)

    def keep(uow: Any) -> None:
        asset_id = ledger.get_asset(uow.connection, OWNER, STARS)["id"]
        command = HoldCommand(club.number("H"), asset_id, holder, 60, past, past + timedelta(minutes=1))
        ledger_holds.hold(uow.connection, OWNER, club.brand, command, now=past)

    club.do(keep)
    assert club.has(holder) == 40
    do(club, "expire_points_holds")
    assert club.has(holder) == 100


def test_what_is_due_expires_within_the_hour_at_the_moment_it_was_due(club: Club) -> None:
    holder = club.member()
    body = {"programme": STARS, "holder": holder, "order_no": club.number(), "lines": sale(10_000)}
    club.ask(start_earn, **body, happened_at="2024-05-06T12:00:00+08:00")
    assert club.balance(holder).posted == 100
    do(club, "expire_points")
    assert club.balance(holder).posted == 0
    at = club.one(
        "SELECT happened_at FROM ledger_transfer AS transfer WHERE kind = 'expire' AND EXISTS (SELECT FROM"
        " ledger_posting JOIN ledger_account AS account ON account.id = account_id"
        " WHERE transfer_id = transfer.id AND holder = %s)",
        holder,
    )
    assert at.isoformat() == "2025-05-31T16:00:00+00:00"


def test_a_business_date_expires_what_was_due_before_it_and_no_more(club: Club) -> None:
    holders = {}
    for day in ("2023-02-28T23:59:59+08:00", "2023-03-01T00:00:00+08:00"):
        holders[day] = club.member()
        body = {"programme": STARS, "holder": holders[day], "order_no": club.number(), "lines": sale(10_000)}
        club.ask(start_earn, **body, happened_at=day)
    run = club.ask(start_expire, as_of="2024-03-01")
    assert (run["outcome"], run["results"]["expire"]["lots"] >= 1) == ("expired", True)
    assert [club.balance(holder).posted for holder in holders.values()] == [0, 100]
    assert club.ask(start_expire, as_of="2024-03-01")["id"] == run["id"]


def test_entries_of_sources_go_into_the_ledger_once_and_what_was_overdrawn_is_owed(stocked: Desk) -> None:
    club = Club(stocked.hub)
    assert statuses(stocked.push("members", member())) == ["accepted"]
    holder = str(stocked.one("SELECT id FROM member"))
    entries = [
        entry(1, 100, expires_at="2099-01-01T00:00:00Z"),
        entry(2, -30),
        entry(3, -90),
        entry(4, 7, programme="moons"),
    ]
    stocked.push("points", *entries)
    do(club, "take_in_points")
    assert not club.rows("SELECT id FROM ledger_transfer")
    club.publish()
    do(club, "take_in_points")
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (0, 20)
    assert club.has(holder, "yunshang/moons") == 7
    stocked.push("points", entry(5, 50))
    do(club, "take_in_points")
    do(club, "take_in_points")
    balance = club.balance(holder)
    assert (balance.available, balance.arrears) == (30, 0)
    keys = [row["key"] for row in club.rows("SELECT key FROM ledger_transfer ORDER BY id")]
    assert keys == [f"entry:shop:P-{number}" for number in (1, 2, 3, 4, 5)]
    club.sound()


def test_an_entry_that_the_ledger_refuses_asks_a_person_and_holds_up_no_other(stocked: Desk) -> None:
    club = Club(stocked.hub)
    club.publish()
    stocked.push("members", member())
    holder = str(stocked.one("SELECT id FROM member"))
    stocked.push("points", entry(1, 100), entry(2, 40, order_no="S\u200b1"), entry(3, 5))
    do(club, "take_in_points")
    do(club, "take_in_points")
    assert club.balance(holder).posted == 105
    (run_id,) = (row["id"] for row in club.rows("SELECT id FROM flow_run WHERE flow = 'points.take_in'"))
    run = club.ended(run_id)
    assert (run["state"], run["error"]["code"], run["business_key"]) == ("parked", "points.key", "shop:P-2")
    assert "P-2 of shop" in run["error"]["detail"]
    assert "reference must have" in run["error"]["detail"]
    club.do(lambda uow: retry(uow, run_id))
    assert club.ended(run_id)["state"] == "parked"
    assert club.balance(holder).posted == 105
    club.sound()


def test_a_source_writes_the_programmes_of_its_own_brand_alone(stocked: Desk) -> None:
    club = Club(stocked.hub)
    club.publish()
    stocked.push("members", member())
    holder = str(stocked.one("SELECT id FROM member"))
    assets = club.rows("SELECT brand, code FROM ledger_asset ORDER BY id")
    foreign = ["linmu/leaves", "evil/gold", "/gold", "yunshang/stars/more", "yunshang/"]
    stocked.push(
        "points",
        *(entry(number, 10, programme=name) for number, name in enumerate(foreign, 1)),
        entry(6, 40, programme="yunshang/stars"),
    )
    do(club, "take_in_points")
    assert club.rows("SELECT brand, code FROM ledger_asset ORDER BY id") == assets
    assert (club.balance(holder).posted, club.has(holder, "linmu/leaves")) == (40, 0)
    runs = club.rows("SELECT id FROM flow_run WHERE flow = 'points.take_in' ORDER BY id")
    told = [club.ended(run["id"]) for run in runs]
    assert [run["error"]["code"] for run in told] == ["points.brand"] * len(foreign)
    assert "programme 'linmu/leaves' is none of yunshang" in told[0]["error"]["detail"]


def test_an_entry_goes_in_once_what_was_in_its_way_is_put_right(stocked: Desk) -> None:
    club = Club(stocked.hub)
    club.publish()
    stocked.push("members", member())
    holder = str(stocked.one("SELECT id FROM member"))
    stocked.push("points", entry(1, 40, order_no="S\u200b1"))
    do(club, "take_in_points")
    (run_id,) = (row["id"] for row in club.rows("SELECT id FROM flow_run WHERE flow = 'points.take_in'"))
    assert club.ended(run_id)["state"] == "parked"
    club.rows("UPDATE points_entry SET order_no = 'S1' RETURNING id")
    club.do(lambda uow: retry(uow, run_id))
    run = club.ended(run_id)
    assert (run["state"], run["outcome"], run["results"]["post"]["points"]) == ("done", "taken", 40)
    assert club.balance(holder).posted == 40


def test_a_group_whose_points_break_does_not_stop_those_of_the_others(
    club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = club.member()
    body = {"programme": STARS, "holder": holder, "order_no": club.number(), "lines": sale(10_000)}
    club.ask(start_earn, **body, happened_at="2024-05-06T12:00:00+08:00")
    expire = ledger_expiry.expire_lots

    def break_one(connection: Any, owner: str, **when: Any) -> int:
        if owner == "broken":
            connection.execute("SELECT 1 / 0")
        return expire(connection, owner, **when)

    monkeypatch.setattr(chores, "owners", lambda hub: ["broken", OWNER])
    monkeypatch.setattr(ledger_expiry, "expire_lots", break_one)
    do(club, "expire_points")
    assert club.balance(holder).posted == 0


def test_a_journal_that_cannot_be_sealed_for_long_is_warned_of(
    club: Club, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    do(club, "seal_points")
    monkeypatch.setattr(chores, "UNSEALED_S", -1.0)
    with club.hub.database.unit() as stuck:
        stuck.execute("SELECT pg_current_xact_id()")
        rich(club)
        do(club, "seal_points")
    assert f"points of {OWNER} wait to be sealed" in caplog.text
