"""Members: one row a person and source, the newest wins, codes go on naming; points: each once, in reading order."""

from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.store import crosswalk, members, points
from canonical_model.store.members import NewMember, UpsertedMembers
from canonical_model.store.points import AddedEntries
from tests.canonical_model.store.shelf import OWNER, at

pytestmark = pytest.mark.every_postgres

BRAND = "yunshang"


def member(number: int, seconds: float = 0, *, system: str = "crm", key: int = 0, **changes: Any) -> NewMember:
    source = {"system": system, "id": f"m{number}", "occurred_at": at(seconds), "message_id": f"msg{seconds}"}
    body = {"owner": OWNER, "brand": BRAND, "source": source, "code": f"C{number}", **changes}
    token = body.pop("token", None)
    return NewMember(body, b"\x00sealed", key or number, token)


def upsert(connection: Connection[DictRow], *new: NewMember) -> UpsertedMembers:
    return members.upsert_members(connection, new)


def listed(connection: Connection[DictRow], **criteria: Any) -> list[str]:
    return [row["source_id"] for row in members.list_members(connection, owner=OWNER, brand=BRAND, **criteria)]


def test_members_are_written_sealed_and_their_codes_linked(transaction: Connection[DictRow]) -> None:
    upserted = upsert(transaction, member(1, level="gold", home_store="S1", token="t1"), member(2, active=False))
    assert [(entry.kind, entry.scheme, entry.outside_id) for entry in upserted.linked] == [
        ("member", "crm", "C1"),
        ("member", "crm", "C2"),
    ]
    first, second = members.list_members(transaction, owner=OWNER, brand=BRAND)
    assert (first["level"], first["home_store"], first["active"], first["mobile_token"]) == ("gold", "S1", True, "t1")
    assert (bytes(first["sealed"]), first["key_id"], second["active"]) == (b"\x00sealed", 1, False)
    assert members.get_member(transaction, OWNER, BRAND, first["id"]) == first
    with pytest.raises(NotFoundError):
        members.get_member(transaction, "other", BRAND, first["id"])


def test_the_newest_wins_within_a_batch_and_over_batches(transaction: Connection[DictRow]) -> None:
    upserted = upsert(transaction, member(1, 5, level="b"), member(1, 9, level="c"), member(1, 9, level="d"))
    assert upserted.stale == [0, 1]
    assert upsert(transaction, member(1, 8, level="e")).stale == [0]
    (row,) = members.list_members(transaction, owner=OWNER, brand=BRAND)
    assert row["level"] == "d"


def test_every_key_of_a_member_is_remembered_also_those_of_stale_records(transaction: Connection[DictRow]) -> None:
    upsert(transaction, member(1, 5, key=11))
    upsert(transaction, member(1, 9, key=12), member(2, 9, key=21))
    upsert(transaction, member(1, 1, key=13))
    (row,) = members.list_members(transaction, owner=OWNER, brand=BRAND, code="C1")
    assert members.list_keys(transaction, row["id"]) == [11, 12, 13]


def test_a_code_names_one_member_of_a_system_for_good(transaction: Connection[DictRow]) -> None:
    upsert(transaction, member(1, code="A"))
    upsert(transaction, member(1, 1, code="B"))
    refused = upsert(transaction, member(2, code="A"), member(3, code="X"), member(4, code="X"))
    assert (refused.taken, refused.stale) == ([0, 2], [])
    assert upsert(transaction, member(2, code="A", system="pos")).taken == []
    named: dict[str, Any] = {"owner": OWNER, "brand": BRAND, "kind": "member", "outside_ids": ["A", "B", "X"]}
    assert set(crosswalk.resolve(transaction, scheme="crm", **named)) == {"A", "B", "X"}
    assert set(crosswalk.resolve(transaction, scheme="pos", **named)) == {"A"}


def test_members_are_listed_by_what_is_asked(transaction: Connection[DictRow]) -> None:
    upsert(transaction, member(1, token="t"), member(2, token="t"), member(3), member(4, system="pos", code="C1"))
    assert listed(transaction, mobile_token="t") == ["m1", "m2"]
    assert listed(transaction, code="C1") == ["m1", "m4"]
    assert listed(transaction, code="C1", system="pos") == ["m4"]
    assert listed(transaction, limit=2) == ["m1", "m2"]
    upsert(transaction, member(1, 1, code="NEW"))
    assert listed(transaction, code="C1", system="crm") == ["m1"]


def test_without_members_nothing_happens(transaction: Connection[DictRow]) -> None:
    assert upsert(transaction) == UpsertedMembers()
    assert points.add_entries(transaction, [], []) == AddedEntries()


def entry(number: int, amount: int = 100, **changes: Any) -> dict[str, Any]:
    source = {"system": "crm", "id": f"P{number}", "occurred_at": at(0), "message_id": "msg"}
    known = {"owner": OWNER, "brand": BRAND, "source": source, "member": "C1", "programme": "stars"}
    return {**known, "points": amount, "happened_at": at(0), "extensions": {}, **changes}


def test_an_entry_is_added_once_and_never_changes(transaction: Connection[DictRow]) -> None:
    first = points.add_entries(transaction, [entry(1), entry(1), entry(1, 5)], [7, 7, 7])
    assert first == AddedEntries(duplicates=[1], conflicts=[2])
    again = points.add_entries(transaction, [entry(1, member="NEW"), entry(1), entry(2, -1)], [7, 8, 7])
    assert again == AddedEntries(duplicates=[0], conflicts=[1])
    assert [row["points"] for row in points.list_entries_of(transaction, 7)] == [-1, 100]


@pytest.mark.parametrize("change", [{"order_no": "S1"}, {"expires_at": at(99)}, {"extensions": {"a": 1}}])
def test_other_content_under_a_known_name_is_a_conflict(
    transaction: Connection[DictRow], change: dict[str, Any]
) -> None:
    points.add_entries(transaction, [entry(1)], [7])
    assert points.add_entries(transaction, [entry(1, **change)], [7]).conflicts == [0]
