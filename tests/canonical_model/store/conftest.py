"""A shelf in a transaction that no test commits, so that all of them share one database a server."""

import os
from collections.abc import Iterator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import stock
from flows.runtime.database import Database
from flows.testing.databases import TEMPLATE, clone, drop
from tests.canonical_model.store.shelf import Shelf


def _shared(server: str) -> Iterator[Database]:
    name = f"yipan_store_{os.getpid()}"
    database = Database(clone(server, name, f"{TEMPLATE}_{os.getpid()}"), pool_size=2).open()
    yield database
    database.close()
    drop(server, name)


@pytest.fixture(scope="session")
def shared_on_postgres_18(postgres_18: str) -> Iterator[Database]:
    yield from _shared(postgres_18)


@pytest.fixture(scope="session")
def shared_on_postgres_external(postgres_external: str) -> Iterator[Database]:
    yield from _shared(postgres_external)


@pytest.fixture
def transaction(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Connection[DictRow]]:
    """One transaction, rolled back afterwards."""
    parameters = getattr(request.node, "callspec", None)
    server = parameters.params.get("postgres_url", "postgres_18") if parameters else "postgres_18"
    database: Database = request.getfixturevalue(f"shared_on_{server}")
    with database.unit() as uow:
        yield uow.connection


@pytest.fixture
def connection(transaction: Connection[DictRow]) -> Iterator[Connection[DictRow]]:
    """One transaction whose books must be right in the end."""
    yield transaction
    assert stock.verify(transaction) == []


@pytest.fixture
def shelf(connection: Connection[DictRow]) -> Shelf:
    """SKUs A, B, C at W1 and W2, counted by the WMS."""
    return Shelf(connection)
