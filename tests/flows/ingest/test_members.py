"""Members come in once, the newest state wins, what is personal lies open nowhere and is erased with its key."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.ingest.intake import open_intake
from flows.ingest.members import erase_member
from flows.runtime import quarantine
from flows.runtime.quarantine import Selection
from flows.runtime.sealing import Sealed
from tests.flows.desk import Desk, codes, statuses

MOBILE = "13800138000"
NAME = "欧阳小一"
BIRTHDAY = "1990-05-20"
TABLES = (
    "member",
    "member_key",
    "points_entry",
    "crosswalk",
    "message",
    "message_record",
    "quarantine",
    "flow_run",
    "flow_step",
    "data_key",
    "span",
)


def member(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"m-{number}",
        "code": f"8600{number:08}",
        "name": NAME,
        "mobile": MOBILE,
        "level": "gold",
        "home_store": "HZ01",
        "occurred_at": "2026-03-01T12:00:00+08:00",
        "extensions": {"birthday": BIRTHDAY},
        **fields,
    }


def opened(desk: Desk) -> list[Any]:
    """The personal part of every member, by id."""
    rows = desk.rows("SELECT key_id, sealed FROM member ORDER BY id")
    with desk.hub.database.unit() as uow:
        plain = desk.hub.vault.open_many(uow.connection, [Sealed(row["key_id"], row["sealed"]) for row in rows])
    return [None if content is None else orjson.loads(content) for content in plain]


def lying_open(desk: Desk, *words: str) -> list[tuple[str, str]]:
    """Where a word can be read in the database."""
    found = []
    for table in TABLES:
        stored = " ".join(row["t"] for row in desk.rows(f"SELECT t::text FROM {table} t"))
        hexes = {word: word.encode().hex() for word in words}
        found += [(table, word) for word in words if word in stored or hexes[word] in stored]
    return found


def test_a_member_is_one_row_by_its_name_at_the_source(desk: Desk) -> None:
    assert statuses(desk.push("members", member(1), member(2))) == ["accepted", "accepted"]
    assert statuses(desk.push("members", member(1, level="black"))) == ["accepted"]
    rows = desk.rows("SELECT system, source_id, code, level, home_store, active FROM member ORDER BY source_id")
    assert [(row["source_id"], row["level"]) for row in rows] == [("m-1", "black"), ("m-2", "gold")]
    assert rows[0] | {"level": "x"} == {
        "system": "shop",
        "source_id": "m-1",
        "code": "860000000001",
        "level": "x",
        "home_store": "HZ01",
        "active": True,
    }


def test_two_systems_may_use_the_same_codes_for_different_people(desk: Desk) -> None:
    desk.push("members", member(1))
    assert statuses(desk.push("members", member(1), system="other_shop")) == ["accepted"]
    assert desk.one("SELECT count(*) FROM member") == 2


def test_the_newest_state_wins_whatever_the_order_of_arrival(desk: Desk) -> None:
    desk.push("members", member(level="gold", occurred_at="2026-03-03T12:00:00+08:00"))
    (older,) = desk.push("members", member(level="silver", occurred_at="2026-03-02T12:00:00+08:00"))
    assert older["status"] == "stale"
    results = desk.push(
        "members",
        member(level="black", occurred_at="2026-03-05T12:00:00+08:00"),
        member(level="red", occurred_at="2026-03-04T12:00:00+08:00"),
    )
    assert statuses(results) == ["accepted", "stale"]
    assert desk.one("SELECT level FROM member") == "black"


def test_a_former_code_goes_on_naming_its_member_and_nobody_else(desk: Desk) -> None:
    desk.push("members", member(1, code="OLD"))
    desk.push("members", member(1, code="NEW"))
    assert {r["outside_id"] for r in desk.rows("SELECT outside_id FROM crosswalk WHERE kind = 'member'")} == {
        "OLD",
        "NEW",
    }
    results = desk.push("members", member(2, code="OLD"), member(3, code="X"), member(4, code="X"))
    assert statuses(results) == ["quarantined", "accepted", "quarantined"]
    assert [codes(results[position]) for position in (0, 2)] == [["crosswalk.taken"], ["crosswalk.taken"]]


def test_what_is_personal_is_sealed_with_the_inbox_record_and_lies_open_nowhere(desk: Desk) -> None:
    desk.push("members", member())
    assert opened(desk) == [{"name": NAME, "mobile": MOBILE, "extensions": {"birthday": BIRTHDAY}}]
    assert desk.one("SELECT key_id FROM member") == desk.one("SELECT key_id FROM message_record")
    assert lying_open(desk, MOBILE, NAME, BIRTHDAY) == []


@pytest.mark.parametrize("written", ["13800138000", "+86 138 0013 8000", "0086-138-0013-8000", " 8613800138000 "])
def test_equal_mobile_numbers_have_equal_tokens_however_they_are_written(desk: Desk, written: str) -> None:
    desk.push("members", member(mobile=written))
    assert desk.one("SELECT mobile_token FROM member") == desk.hub.vault.token(MOBILE)


@pytest.mark.parametrize(
    "change",
    [
        {"id": MOBILE},
        {"id": MOBILE, "mobile": None},
        {"code": f"+86{MOBILE}"},
        {"code": f"+86 {MOBILE}", "mobile": "13900139000"},
        {"code": f"V{MOBILE}"},
        {"home_store": MOBILE},
    ],
)
def test_a_member_whose_open_words_hold_their_mobile_is_refused_and_not_shown(
    desk: Desk, change: dict[str, Any]
) -> None:
    (result,) = desk.push("members", member(**change))
    assert codes(result) == ["member.named_by_mobile"]
    assert MOBILE not in str(result)
    assert lying_open(desk, MOBILE) == []


def test_a_refused_member_is_explained_without_a_personal_word(desk: Desk) -> None:
    bad = member(mobile=int(MOBILE), vip=NAME)
    received = desk.send("members", bad, member(2, level="x" * 200))
    results = desk.apply(received)
    assert statuses(results) == ["quarantined", "quarantined"]
    with desk.hub.database.unit() as uow:
        listed = quarantine.list_rows(uow.connection, Selection("yunshang", "yunshang"))
    assert len(listed) == 2
    assert not any(word in str([results, listed]) for word in (MOBILE, NAME, BIRTHDAY))
    assert lying_open(desk, MOBILE, NAME, BIRTHDAY) == []


def test_an_erased_member_can_be_read_nowhere_whatever_was_known_of_them(desk: Desk) -> None:
    desk.push("members", member(mobile="13900139000"))
    desk.push("members", member(), member(2, mobile="13700137000", name="陈一"))
    desk.push("members", member(name="too old", occurred_at="2020-01-01T00:00:00+08:00"))
    desk.push("members", member(mobile=f"+86{MOBILE}", level=7))
    with desk.hub.database.unit() as uow:
        erased = desk.one("SELECT id FROM member WHERE source_id = 'm-1'")
        assert erase_member(uow, "yunshang", "yunshang", erased) == 4
        assert erase_member(uow, "yunshang", "yunshang", erased) == 0
        uow.commit()
    assert desk.one("SELECT count(*) FROM member WHERE mobile_token IS NULL") == 1
    assert opened(desk) == [None, {"name": "陈一", "mobile": "13700137000", "extensions": {"birthday": BIRTHDAY}}]
    sealed = desk.rows("SELECT key_id, sealed FROM message_record UNION ALL SELECT key_id, raw FROM quarantine")
    with desk.hub.database.unit() as uow:
        plain = desk.hub.vault.open_many(uow.connection, [Sealed(r["key_id"], r["sealed"]) for r in sealed])
    assert [orjson.loads(content)["id"] for content in plain if content] == ["m-2"]


def test_replaying_a_message_of_an_erased_member_brings_nothing_back(desk: Desk) -> None:
    received = desk.send("members", member())
    with desk.hub.database.unit() as uow:
        desk.hub.vault.destroy(uow.connection, desk.hub.vault.token(MOBILE))
        uow.commit()
    assert desk.apply(received) == []
    assert desk.one("SELECT count(*) FROM member") == 0


def test_two_messages_about_the_same_new_members_at_once_leave_one_row_each(desk: Desk) -> None:
    people = [member(number, mobile=f"138{number:08}") for number in range(40)]
    newer = [person | {"level": "black", "occurred_at": "2026-03-02T12:00:00+08:00"} for person in reversed(people)]
    received = [desk.send("members", *people), desk.send("members", *newer)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda each: desk.hub.runner.run_now(each.run_id), received))
    desk.work()
    rows = desk.rows("SELECT level, count(*) AS n FROM member GROUP BY level")
    assert rows == [{"level": "black", "n": 40}]
    assert desk.one("SELECT count(*) FROM member_key") == 80
    assert [desk.message(each)["quarantined"] for each in received] == [0, 0]


WORDS = st.sampled_from([NAME, MOBILE, f"+86{MOBILE}", "", " ", "x" * 121, "a\x00b", "😀", "NaN"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.just([NAME])
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*member(), NAME]), VALUES | st.just({NAME: MOBILE}), max_size=4))
def test_whatever_a_record_holds_it_is_accounted_for_and_says_nothing_personal(
    shared: Desk, changed: dict[str, Any]
) -> None:
    received = shared.send("members", member(1) | changed, member(2), idempotency_key=f"k{hash(str(changed))}")
    results = shared.apply(received)
    message = shared.message(received)
    assert [result["position"] for result in results] == [0, 1]
    assert message["accepted"] + message["quarantined"] + message["ignored"] == 2
    said = str([result["issues"] for result in results] + [result["source_id"] for result in results])
    assert MOBILE not in said


@pytest.mark.parametrize(
    ("name", "changes", "shown"),
    [
        ("X13800138000", {"mobile": [MOBILE]}, None),
        ("20260301-138-0013-8000", {"mobile": {"x": MOBILE}}, None),
        ("X13800138000", {"mobile": None, "code": f"call {MOBILE}!"}, None),
        ("X13800138000", {"mobile": None, "extensions": {"tel": "+86 138 0013 8000"}}, None),
        ("X13800138000", {"mobile": None, f"tel {MOBILE}": 1}, None),
        ("26138001380001", {"extensions": {"of": "R26138001380001"}, "mobile": "13900139000"}, "26138001380001"),
        ("m-1", {"mobile": [MOBILE]}, "m-1"),
    ],
)
def test_a_name_that_holds_a_number_of_the_record_is_not_kept(
    desk: Desk, name: str, changes: dict[str, Any], shown: str | None
) -> None:
    connector = desk.hub.estate.connector("shop")
    intake = open_intake(connector, desk.hub.estate.stream("shop", "members"))
    assert intake.source_id(member(id=name, **changes)) == shown


def test_the_name_of_a_field_that_nobody_declared_is_kept_nowhere(desk: Desk) -> None:
    (result,) = desk.push("members", member(**{f"联系人{MOBILE}": 1, "b.1380013.8000": 2}, level={"x": MOBILE}))
    assert {(issue["field"], issue["code"]) for issue in result["issues"]} == {
        ("•••", "contract.unknown_field"),
        ("level", "contract.any_of"),
    }
    assert lying_open(desk, MOBILE, "联系人", "1380013") == []
