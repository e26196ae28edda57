"""A unit of work is all or nothing."""

import pytest

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
