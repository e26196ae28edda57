"""Holds keep units of certain lots until they end: posted, voided or expired, once."""

import threading

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, LimitError, NotFoundError, RejectedError
from canonical_model.store import ledger_expiry, ledger_holds, ledger_journal
from flows.runtime.database import Database
from tests.canonical_model.store.purse import BRAND, OWNER, Purse, at

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def purse(transaction: Connection[DictRow]) -> Purse:
    return Purse(transaction)


def test_a_hold_keeps_the_lots_that_are_due_first(purse: Purse) -> None:
    purse.earn("7", 100, lives=300)
    purse.earn("7", 50, lives=30)
    purse.hold("7", 70)
    assert purse.lots("7") == [(100, 20), (50, 50)]
    assert purse.balance("7").available == 80


def test_what_is_kept_cannot_be_spent(purse: Purse) -> None:
    purse.earn("7", 100)
    purse.hold("7", 70)
    with pytest.raises(RejectedError) as refused:
        purse.spend("7", 31)
    assert (refused.value.code, refused.value.context["available"]) == ("points.insufficient", 30)
    purse.spend("7", 30)


def test_a_part_is_posted_from_the_lots_that_were_kept_and_the_rest_is_free(purse: Purse) -> None:
    purse.earn("7", 100, lives=300)
    purse.earn("7", 50, lives=30)
    name = purse.hold("7", 120)
    purse.post(name, 60)
    assert purse.lots("7") == [(90, 0), (0, 0)]
    assert purse.balance("7").available == 90


def test_posting_twice_under_one_key_is_one_posting(purse: Purse) -> None:
    purse.earn("7", 100)
    name = purse.hold("7", 70)
    first = purse.post(name, 70, key="P1", all_of=True)
    second = purse.post(name, 70, key="P1", all_of=True)
    assert (first.id, first.repeated, second.id, second.repeated) == (first.id, False, first.id, True)
    assert purse.lots("7") == [(30, 0)]
    with pytest.raises(ConflictError):
        purse.post(name, 60, key="P1")


@pytest.mark.parametrize("end", ["posted", "voided", "expired"])
def test_an_ended_hold_says_what_became_of_it(purse: Purse, end: str) -> None:
    purse.earn("7", 100)
    name = purse.hold("7", 70, until=2)
    match end:
        case "posted":
            purse.post(name, 70)
        case "voided":
            assert purse.void(name)
            assert not purse.void(name)
        case _:
            assert ledger_holds.expire_holds(purse.connection, at(1.9)) == 0
            assert ledger_holds.expire_holds(purse.connection, at(2)) == 1
    with pytest.raises(RejectedError) as refused:
        purse.post(name, 70)
    assert (refused.value.code, refused.value.context["state"]) == ("points.hold_ended", end)
    assert not purse.void(name)
    assert ledger_holds.expire_holds(purse.connection, at(9)) == 0


def test_a_hold_that_is_due_may_be_posted_until_it_was_expired(purse: Purse) -> None:
    purse.earn("7", 100)
    name = purse.hold("7", 70, until=2)
    purse.post(name, 70, day=3)
    assert purse.lots("7") == [(30, 0)]


def test_holding_twice_under_one_key_is_one_hold(purse: Purse) -> None:
    purse.earn("7", 100)
    purse.hold("7", 40, key="H1")
    purse.hold("7", 40, key="H1")
    assert purse.lots("7") == [(100, 40)]
    with pytest.raises(ConflictError):
        purse.hold("7", 41, key="H1")


def test_lots_that_fall_due_while_kept_are_spent_by_the_post(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    name = purse.hold("7", 70, day=9, until=20)
    assert ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(11), now=at(11)) == 1
    assert purse.lots("7") == [(70, 70)]
    purse.post(name, 70, day=12)
    assert purse.lots("7") == [(0, 0)]


def test_lots_that_fell_due_while_kept_expire_at_the_next_run_once_the_hold_is_void(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    name = purse.hold("7", 70, day=9, until=20)
    ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(11), now=at(11))
    purse.void(name, day=12)
    assert purse.balance("7", day=12).available == 0
    assert ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(12), now=at(12)) == 1
    assert purse.lots("7") == [(0, 0)]


def test_who_has_too_little_gets_no_hold(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    purse.earn("7", 30)
    with pytest.raises(RejectedError) as refused:
        purse.hold("7", 31, day=10, until=11)
    assert refused.value.context == {
        "key": refused.value.context["key"],
        "asset_id": purse.stars,
        "available": 30,
        "wanted": 31,
    }
    assert purse.lots("7") == [(100, 0), (30, 0)]


def test_a_hold_that_is_not_there_cannot_be_posted(purse: Purse) -> None:
    with pytest.raises(NotFoundError):
        purse.post("nobody", 1)
    with pytest.raises(NotFoundError):
        ledger_holds.void_hold(purse.connection, OWNER, BRAND, "nobody", now=at(1))


def test_a_hold_that_many_want_to_end_ends_once(database: Database) -> None:
    rounds = 12
    with database.unit() as uow:
        purse = Purse(uow.connection)
        purse.earn("7", 1_000)
        for number in range(rounds):
            purse.hold("7", 10, until=2, key=f"H{number}")
        uow.commit()
    ends: list[tuple[int, str]] = []

    def end(how: str) -> None:
        for number in range(rounds):
            with database.unit() as uow:
                purse = Purse(uow.connection)
                match how:
                    case "void":
                        done = purse.void(f"H{number}")
                    case "expire":
                        done = ledger_holds.expire_holds(uow.connection, at(3), 1) > 0
                    case _:
                        try:
                            done = not purse.post(f"H{number}", 10, key=f"{how}{number}").repeated
                        except RejectedError as error:
                            done = error.code != "points.hold_ended"
                uow.commit()
            if done:
                ends.append((number, how))

    threads = [threading.Thread(target=end, args=(how,)) for how in ("void", "expire", "post", "other post")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ends) == rounds
    with database.unit() as uow:
        posted = sum("post" in how for _, how in ends)
        assert Purse(uow.connection).lots("7") == [(1_000 - 10 * posted, 0)]
        assert ledger_journal.verify(uow.connection, OWNER).broken == []


def test_a_hold_of_more_lots_than_one_transfer_should_empty_is_refused_at_once(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_holds, "MAX_LOTS", 3)
    for _ in range(4):
        purse.earn("7", 10, lives=300)
    with pytest.raises(LimitError) as refused:
        purse.hold("7", 31)
    assert (refused.value.code, refused.value.context["available"]) == ("points.limit", 30)
    assert purse.balance("7").available == 40
    assert purse.post(purse.hold("7", 30), 30)


def test_a_transfer_may_have_more_lines_than_a_small_integer_counts(purse: Purse) -> None:
    row = purse.connection.execute(
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'ledger_posting' AND column_name = 'line'"
    ).fetchone()
    assert row is not None
    assert row["data_type"] == "integer"
