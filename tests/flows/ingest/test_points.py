"""Points entries come in once, never change, and wait for their member."""

from typing import Any

import pytest

from canonical_model.store import points
from tests.flows.desk import Desk, codes, statuses
from tests.flows.ingest.test_members import member

CODE = "860000000001"
NOON = "2026-03-01T12:00:00+08:00"


def entry(number: int = 1, amount: Any = 100, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"P-{number}",
        "member": CODE,
        "programme": "stars",
        "points": amount,
        "happened_at": NOON,
        **fields,
    }


def test_an_entry_is_added_once_however_often_it_comes(desk: Desk) -> None:
    desk.push("members", member())
    assert statuses(desk.push("points", entry(), entry())) == ["accepted", "duplicate"]
    again = entry(happened_at="2026-03-01T04:00:00Z")
    assert statuses(desk.push("points", again, entry(2, -30))) == ["duplicate", "accepted"]
    rows = desk.rows("SELECT member_code, programme, points FROM points_entry ORDER BY id")
    assert [row["points"] for row in rows] == [100, -30]


@pytest.mark.parametrize(
    "change", [{"points": 101}, {"programme": "miles"}, {"order_no": "S1"}, {"expires_at": "2027-01-01T00:00:00Z"}]
)
def test_a_known_entry_with_other_content_is_refused_and_the_first_stands(desk: Desk, change: dict[str, Any]) -> None:
    desk.push("members", member())
    desk.push("points", entry())
    (result,) = desk.push("points", entry() | change)
    assert codes(result) == ["points.conflict"]
    assert "send the difference under an id of its own" in result["issues"][0]["detail"]
    assert desk.one("SELECT points FROM points_entry") == 100


@pytest.mark.parametrize(
    "change",
    [
        {"points": 0},
        {"points": 0.5},
        {"points": "many"},
        {"points": 10**13},
        {"expires_at": NOON},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"happened_at": "2026-03-01 12:00:00"},
        {"member": ""},
        {"programme": None},
        {"vip": "陈一"},
    ],
)
def test_a_wrong_entry_is_refused_beside_good_ones(desk: Desk, change: dict[str, Any]) -> None:
    desk.push("members", member())
    results = desk.push("points", entry(1), entry(2) | change, entry(3))
    assert statuses(results) == ["accepted", "quarantined", "accepted"]
    assert results[1]["issues"]


def test_points_of_an_unknown_member_wait_for_the_member(desk: Desk) -> None:
    received = desk.send("points", entry(1), entry(2, -30))
    results = desk.apply(received)
    assert statuses(results) == ["quarantined", "quarantined"]
    assert codes(results[0]) == ["member.unknown"]
    desk.push("members", member(), system="other_shop")
    assert statuses(desk.results(received)) == ["quarantined", "quarantined"]
    desk.push("members", member())
    assert statuses(desk.results(received)) == ["accepted", "accepted"]
    assert desk.message(received)["accepted"] == 2
    assert desk.one("SELECT sum(points) FROM points_entry") == 70


def test_a_reader_goes_on_from_the_last_id_and_skips_nothing(desk: Desk) -> None:
    desk.push("members", member())
    desk.push("points", *(entry(number, number + 1) for number in range(5)))
    read: list[int] = []
    after = 0
    with desk.hub.database.unit() as uow:
        while page := points.list_entries(uow.connection, owner="yunshang", brand="yunshang", after=after, limit=2):
            read += [row["points"] for row in page]
            after = page[-1]["id"]
    assert read == [1, 2, 3, 4, 5]


COPY = """
    INSERT INTO points_entry (owner, brand, system, source_id, member_id, member_code, programme, points, happened_at,
        extensions, message_id)
    SELECT owner, brand, system, %s, member_id, member_code, programme, points, happened_at, extensions, message_id
    FROM points_entry ORDER BY id LIMIT 1
"""


def test_an_entry_waits_for_one_that_has_a_smaller_number_and_commits_later(desk: Desk) -> None:
    desk.push("members", member())
    desk.push("points", entry(1))
    database = desk.hub.database

    def known() -> list[str]:
        with database.unit() as reader:
            page = points.list_entries(reader.connection, owner="yunshang", brand="yunshang")
        return [row["source_id"] for row in page]

    with database.unit() as first_begun, database.unit() as second_begun:
        first_begun.execute("SELECT pg_current_xact_id()")
        second_begun.execute(COPY, ["smaller"])
        first_begun.execute(COPY, ["larger"])
        first_begun.commit()
        assert "larger" not in known()
        second_begun.commit()
    assert known()[1:] == ["smaller", "larger"]
