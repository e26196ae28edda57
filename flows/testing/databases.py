"""Real PostgreSQL databases for tests: the embedded 18 always, an external 15 or newer where one answers.

As a pytest plugin: ``pytest_plugins = ["flows.testing.databases"]``. A test that asks for ``database`` gets an
empty migrated database of its own. Marked ``every_postgres`` it runs on each server.
"""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from flows.runtime import embedded, schema
from flows.runtime.database import Database

EXTERNAL_URL: Final = "postgresql://postgres@127.0.0.1:5432/postgres"
TEMPLATE: Final = "yipan_template"
RESTART_TIMEOUT_S: Final = 60.0
_numbers = itertools.count()


def clone(admin_url: str, name: str, template: str | None = None) -> str:
    """Create the database ``name`` (from ``template``), replacing an old one; its URL."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        connection.execute(statement)
    return make_conninfo(admin_url, dbname=name)


def drop(admin_url: str, name: str) -> None:
    """Remove the database ``name``, even while it is in use."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _with_template(admin_url: str) -> str:
    schema.upgrade(clone(admin_url, f"{TEMPLATE}_{os.getpid()}"))
    return admin_url


def _forget_power_cuts(admin_url: str) -> None:
    """Tests kill processes, never the machine: without fsync, databases come and go several times faster."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def server_folder() -> Iterator[Path]:
    """A temporary folder that the embedded server's own user can reach: pytest's are closed to others."""
    with tempfile.TemporaryDirectory(prefix="yipan-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def crash(folder: Path) -> None:
    """End the embedded server of ``folder`` as a crash does: nothing is flushed, every connection breaks."""
    os.kill(int((folder / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
    while embedded.running(folder):
        time.sleep(0.05)


def start_again(folder: Path) -> None:
    """Start it after a crash, in a process of its own: the wheel remembers in memory what it has started."""
    code = f"from pathlib import Path; from flows.runtime import embedded; embedded.start(Path({str(folder)!r}))"
    deadline = time.monotonic() + RESTART_TIMEOUT_S
    while True:
        done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stderr


@pytest.fixture(scope="session")
def postgres_18() -> Iterator[str]:
    """URL of the embedded server, with a migrated template database."""
    with server_folder() as folder:
        yield _with_template(make_conninfo(embedded.start(folder / "data"), dbname="postgres"))
        embedded.stop(folder / "data")


@pytest.fixture(scope="session")
def postgres_external() -> Iterator[str]:
    """URL of an external server; the test is skipped when none answers."""
    try:
        psycopg.connect(EXTERNAL_URL, connect_timeout=2).close()
    except psycopg.OperationalError:
        pytest.skip(f"no PostgreSQL answers at {EXTERNAL_URL}")
    yield _with_template(EXTERNAL_URL)
    drop(EXTERNAL_URL, f"{TEMPLATE}_{os.getpid()}")


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The server of this test; see ``every_postgres``."""
    url: str = request.getfixturevalue(getattr(request, "param", "postgres_18"))
    return url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked ``every_postgres`` once on each server."""
    if "postgres_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_postgres"):
        metafunc.parametrize("postgres_url", ["postgres_18", "postgres_external"], indirect=True)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """URL of an empty migrated database that lives as long as the test."""
    name = f"yipan_test_{os.getpid()}_{next(_numbers)}"
    yield clone(postgres_url, name, f"{TEMPLATE}_{os.getpid()}")
    drop(postgres_url, name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open Database on an empty migrated database."""
    with_pool = Database(database_url, pool_size=10).open()
    yield with_pool
    with_pool.close()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "every_postgres: run on the embedded server and on an external one")
