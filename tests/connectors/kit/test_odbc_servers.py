"""PostgreSQL and MariaDB by ODBC: what they refuse, what they limit, and how values arrive."""

import datetime as dt
from collections.abc import Iterator
from contextlib import closing

import pytest

from canonical_model.errors import ConfigurationError, RejectedError, TransientError
from connectors.drp.database import DrpDatabase
from connectors.kit import odbc
from tests.connectors.drp.servers import SERVERS, Server, server

SLEEP = {"postgresql": "SELECT pg_sleep(60)", "mariadb": "SELECT SLEEP(60)"}


@pytest.fixture(scope="module", params=SERVERS)
def found(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(request.param, request.getfixturevalue("postgres_18")) as made:
        DrpDatabase.open(made.dialect, admin=made.admin, connection=made.connection)
        yield made


def test_a_statement_that_takes_too_long_is_ended_by_the_server(found: Server) -> None:
    with closing(odbc.open_session(found.connection, found.dialect, timeout_s=1)) as session:
        with pytest.raises(TransientError):
            list(odbc.rows(session, SLEEP[found.dialect]))
        assert list(odbc.rows(session, "SELECT 1 AS one")) == [{"one": 1}]


def test_a_session_only_reads(found: Server) -> None:
    with (
        closing(odbc.open_session(found.admin, found.dialect, timeout_s=5)) as session,
        pytest.raises(RejectedError),
    ):
        odbc.execute(session, "CREATE DATABASE never_made")


def test_a_refused_login_and_an_unknown_database_are_for_a_person(found: Server) -> None:
    database = DrpDatabase(found.dialect, admin=found.admin, connection=found.connection)
    database.refuse_reader(refuse=True)
    try:
        with pytest.raises(ConfigurationError) as caught:
            odbc.connect(found.connection, timeout_s=5)
        assert "read-only-" not in str(caught.value)
    finally:
        database.refuse_reader(refuse=False)
    with pytest.raises(ConfigurationError):
        odbc.connect(f"{found.connection.partition(';Database=')[0]};Database=nowhere;UID=nobody;PWD=x", timeout_s=5)
    odbc.connect(found.connection, timeout_s=5).close()


def test_a_connection_that_was_broken_is_tried_later(found: Server) -> None:
    database = DrpDatabase(found.dialect, admin=found.admin, connection=found.connection)
    with closing(odbc.open_session(found.connection, found.dialect, timeout_s=5)) as session:
        list(odbc.rows(session, "SELECT 1 AS one"))
        assert database.end_reader_sessions() >= 1
        with pytest.raises(TransientError):
            list(odbc.rows(session, "SELECT 1 AS one"))


def test_values_arrive_as_json_can_say_them(found: Server) -> None:
    with closing(odbc.connect(found.admin, timeout_s=5)) as connection:
        (row,) = odbc.plain_rows(
            connection,
            "SELECT CAST(? AS CHAR(20)) AS code, CAST(12345678901234.123456 AS DECIMAL(20, 6)) AS amount,"
            " CAST('2026-11-03' AS DATE) AS day, 9223372036854775807 AS big, NULL AS nothing, '' AS blank",
            ("上海😀",),
        )
    assert {**row, "CODE": row["CODE"].rstrip()} == {
        "CODE": "上海😀",
        "AMOUNT": "12345678901234.123456",
        "DAY": str(dt.date(2026, 11, 3)),
        "BIG": 2**63 - 1,
        "NOTHING": None,
        "BLANK": "",
    }
