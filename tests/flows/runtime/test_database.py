"""A unit of work is all or nothing."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.runtime.database import Database


def _lanes(database: Database) -> int:
    return int(database.run("SELECT count(*) AS n FROM lane")[0]["n"])


@pytest.mark.every_postgres
def test_leaving_without_commit_rolls_back(database: Database) -> None:
    with database.unit() as uow:
        uow.execute(
            "INSERT INTO lane (name, concurrency, rate_per_s, tokens, failures, paused) VALUES ('a', 1, 0, 0, 0, false)"
        )
    assert _lanes(database) == 0


@pytest.mark.every_postgres
def test_a_commit_keeps_everything(database: Database) -> None:
    with database.unit() as uow:
        uow.execute(
            "INSERT INTO lane (name, concurrency, rate_per_s, tokens, failures, paused) VALUES ('a', 1, 0, 0, 0, false)"
        )
        uow.commit()
    assert _lanes(database) == 1


_WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
_AWKWARD = st.sampled_from(
    ["", "NULL", "null", '"', '","', "\\", "{", "}", ",", " ", "a b", "\n", "é", "\u2003", "\x7f"]
)


@pytest.mark.every_postgres
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()), st.lists(_WORDS | _AWKWARD | st.none()))
def test_lists_arrive_as_they_were_sent(database: Database, numbers: list[Any], words: list[Any]) -> None:
    query = "SELECT %s::bigint[] AS numbers, %s::text[] AS words, %s::date[] AS days"
    (row,) = database.run(query, (numbers, words, [None] * len(words)))
    assert row == {"numbers": numbers, "words": words, "days": [None] * len(words)}


def test_a_word_that_postgresql_cannot_store_is_refused_in_a_list_too(database: Database) -> None:
    with pytest.raises(psycopg.DataError):
        database.run("SELECT %s::text[]", (["a", "b\0"],))
