"""Migrations and functions: complete, atomic, and safe to start from anywhere."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.conninfo import make_conninfo
from sqlmodel import SQLModel

import flows.runtime.tables  # noqa: F401
from canonical_model.errors import ConfigurationError, TransientError
from flows.runtime import schema
from flows.runtime.migrations import engine
from flows.testing.databases import clone, drop

COLUMNS = """
    SELECT table_name, ordinal_position, column_name, data_type, udt_name, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
STORAGE = "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r' ORDER BY 1"


@pytest.fixture
def empty_url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database with nothing in it."""
    name = f"yipan_schema_{abs(hash(request.node.nodeid)) % 10**9}"
    yield clone(postgres_url, name)
    drop(postgres_url, name)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.every_postgres
def test_migrations_produce_exactly_the_declared_tables(postgres_url: str, database_url: str, empty_url: str) -> None:
    with engine(empty_url).begin() as connection:
        SQLModel.metadata.create_all(connection)
    for catalogue in (COLUMNS, CONSTRAINTS, INDEXES, STORAGE):
        assert rows(database_url, catalogue) == rows(empty_url, catalogue)


@pytest.mark.every_postgres
def test_alembic_finds_nothing_left_to_migrate(postgres_url: str, database_url: str) -> None:
    with engine(database_url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_owner_and_brand_lead_every_business_key(database_url: str) -> None:
    keys = rows(
        database_url,
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'u' AND connamespace = 'public'::regnamespace",
    )
    # keyed by a run of one owner; a secret's hash; first by the SKU; by an asset of one brand; first by
    # the key, which tells more
    inner = {"flow_signal", "api_key", "stock_level", "ledger_account", "ledger_transfer"}
    assert {table for table, key in keys if not key.startswith("UNIQUE (owner, brand, ")} == inner


def test_processes_that_start_at_once_all_find_a_ready_database(empty_url: str) -> None:
    program = "import sys; from flows.runtime.schema import upgrade; upgrade(sys.argv[1])"
    starting = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in starting] == [0, 0, 0]
    assert rows(empty_url, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_a_current_database_is_left_alone(database_url: str) -> None:
    functions = "SELECT proname, xmin::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    before = rows(database_url, functions)
    schema.upgrade(database_url)
    assert rows(database_url, functions) == before


def release_with(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    (folder / "10_answer.sql").write_text(body)
    monkeypatch.setattr(schema, "FUNCTION_FOLDERS", (folder,))


def test_a_new_release_replaces_its_functions(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in (41, 42):
        body = f"CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT {answer} -- 100% sure';"
        release_with(monkeypatch, tmp_path, body)
        schema.upgrade(database_url)
        assert rows(database_url, "SELECT answer()") == [(answer,)]


def test_a_release_that_fails_halfway_changes_nothing(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_with(monkeypatch, tmp_path, "CREATE FUNCTION broken() RETURNS int LANGUAGE sql AS 'SELECT nonsense';")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        schema.upgrade(empty_url)
    assert rows(empty_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_an_older_release_refuses_a_newer_database(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    release_with(monkeypatch, tmp_path, "SELECT 1;")
    with pytest.raises(ConfigurationError, match="start the newest release"):
        schema.upgrade(database_url)


def test_a_database_that_does_not_answer_is_worth_another_try(postgres_url: str) -> None:
    with pytest.raises(TransientError):
        schema.upgrade(make_conninfo(postgres_url, port=1, host="127.0.0.1", connect_timeout=2))
