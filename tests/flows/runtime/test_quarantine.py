"""The quarantine keeps each bad record with every issue, groups alike ones, and lets each go once."""

import pytest

from canonical_model.errors import Issue, NotFoundError
from flows.runtime import quarantine
from flows.runtime.database import Database
from flows.runtime.quarantine import Bad, Missing, Origin, Selection

NEGATIVE = Issue("quantity", "quantity.negative", "is below zero; correct it at the source")
LATE = Issue("as_of", "time.naive", "has no offset; correct it at the source")
MINE = Selection("o", "b")


def origin(message: str = "m1", *, owner: str = "o", version: str = "1+aa") -> Origin:
    return Origin(owner, "b", "wms", "stock", message, version)


def bad(position: int, *issues: Issue, raw: bytes = b'{"a": 1}', missing: Missing | None = None) -> Bad:
    return Bad(position, raw, issues or (NEGATIVE,), source_id=f"s{position}", missing=missing)


def waiting(position: int, sku: str) -> Bad:
    return bad(position, Issue("sku", "sku.unknown", "comes later"), missing=Missing("wms", "sku", sku))


def link(database: Database, sku: str) -> None:
    database.run(
        "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
        " VALUES ('o', 'b', 'wms', 'sku', %s, 1, 'm')",
        (sku,),
    )


def test_a_record_is_kept_with_its_raw_value_and_every_issue(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(3, NEGATIVE, LATE, raw='{"名": 1}'.encode())])
        (listed,) = quarantine.list_rows(uow.connection, MINE)
        row = quarantine.get(uow.connection, "o", "b", listed["id"])
    assert [issue["code"] for issue in row["issues"]] == ["quantity.negative", "time.naive"]
    assert quarantine.read_raw(row) == '{"名": 1}'.encode()
    assert (row["position"], row["source_id"], row["cause"]) == (3, "s3", "quantity.negative")
    assert (row["mapping_version"], row["attempts"], row["state"]) == ("1+aa", 1, "open")


def test_the_same_record_again_counts_an_attempt_and_tells_the_newest_issues(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(3)])
        quarantine.put(uow.connection, origin(version="2+bb"), [bad(3, LATE)])
        (row,) = quarantine.list_rows(uow.connection, MINE)
    assert (row["attempts"], row["cause"], row["mapping_version"]) == (2, "time.naive", "2+bb")


def test_causes_are_counted_the_most_frequent_first(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(1), bad(2, LATE), bad(3)])
        quarantine.put(uow.connection, origin(owner="other"), [bad(1)])
        causes = quarantine.list_causes(uow.connection, MINE)
    assert [(cause["cause"], cause["records"]) for cause in causes] == [("quantity.negative", 2), ("time.naive", 1)]


def test_rows_are_paged_by_id_and_selected_by_every_criterion(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(n) for n in range(5)])
        quarantine.put(uow.connection, origin("m2"), [bad(9, LATE)])
        first = quarantine.list_rows(uow.connection, MINE, limit=3)
        rest = quarantine.list_rows(uow.connection, MINE, after=first[-1]["id"])
        late = quarantine.list_rows(uow.connection, Selection("o", "b", cause="time.naive", message_id="m2"))
        none = quarantine.list_rows(uow.connection, Selection("o", "b", cause="time.naive", message_id="m1"))
    assert [row["position"] for row in first + rest] == [0, 1, 2, 3, 4, 9]
    assert [row["position"] for row in late] == [9]
    assert none == []


def test_only_rows_whose_parent_has_come_are_unblocked(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [waiting(1, "A"), waiting(2, "B"), bad(3)])
        uow.commit()
    link(database, "B")
    with database.unit() as uow:
        taken = quarantine.take_unblocked(uow.connection, "o", "b", after=0, limit=10)
        assert [row["position"] for row in taken] == [2]
        assert quarantine.is_awaited(uow.connection, "o", "b", "sku", ["A"])
        assert not quarantine.is_awaited(uow.connection, "o", "b", "order", ["A"])


def test_what_one_worker_holds_another_passes_over(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(1), bad(2)])
        uow.commit()
    with database.unit() as one, database.unit() as other:
        assert len(quarantine.take(one.connection, MINE, after=0, limit=1)) == 1
        assert [row["position"] for row in quarantine.take(other.connection, MINE, after=0, limit=9)] == [2]


def test_a_row_leaves_once(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(1), bad(2)])
        ids = [row["id"] for row in quarantine.list_rows(uow.connection, MINE)]
        assert quarantine.close(uow.connection, ids[:1], state="accepted") == 1
        assert quarantine.close(uow.connection, ids[:1], state="accepted") == 0
        assert quarantine.discard(uow.connection, MINE) == 1
        assert quarantine.list_rows(uow.connection, MINE) == []


def test_a_bad_record_that_was_taken_once_comes_back_and_a_discarded_one_does_not(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(1), bad(2)])
        one, other = (row["id"] for row in quarantine.list_rows(uow.connection, MINE))
        quarantine.close(uow.connection, [one], state="accepted")
        quarantine.discard(uow.connection, Selection("o", "b", ids=[other]))
        quarantine.put(uow.connection, origin(), [bad(1), bad(2)])
        (row,) = quarantine.list_rows(uow.connection, MINE)
    assert (row["position"], row["attempts"], row["closed_at"]) == (1, 2, None)


def test_an_unknown_row_or_another_owners_is_not_found(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(1)])
        (row,) = quarantine.list_rows(uow.connection, MINE)
        with pytest.raises(NotFoundError):
            quarantine.get(uow.connection, "other", "b", row["id"])


def test_a_nul_in_a_fields_name_does_not_keep_the_record_out(database: Database) -> None:
    with database.unit() as uow:
        quarantine.put(uow.connection, origin(), [bad(1, Issue("a\x00b", "contract.unknown_field", "is unknown"))])
        (row,) = quarantine.list_rows(uow.connection, MINE)
    assert row["issues"][0]["field"] == "a\u2400b"
