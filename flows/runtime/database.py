"""The one place that opens sessions and commits.

``Database.unit()`` gives a unit of work: everything inside is one transaction, and leaving it without
``commit()`` rolls back. ``Database.run()`` is one autocommitted statement: one round trip, one commit.
"""

import json
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self, cast

import orjson
import psycopg
from psycopg import Connection, sql
from psycopg.abc import Buffer
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.array import ListDumper
from psycopg.types.json import set_json_dumps
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from canonical_model.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from flows.runtime.flow import Flow
    from flows.runtime.services import Services

STATEMENT_TIMEOUT_MS: Final = 60_000
LOCK_TIMEOUT_MS: Final = 10_000
CONNECT_TIMEOUT_S: Final = 5
POOL_WAIT_S: Final = 10.0
RECONNECT_S: Final = 5.0  # then the next caller tries afresh: a pause that doubled for minutes would outlast the outage

_OPTIONS: Final = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC"
    # many short statements side by side: helpers of one and code compiled for it cost the others more than it gains
    " -c max_parallel_workers_per_gather=0 -c jit=off"
)

Query = LiteralString | sql.SQL | sql.Composed
Row = DictRow

_TRANSIENT: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
    PoolTimeout,
    PoolClosed,
)


def _as_json(value: Any) -> bytes:
    """JSON for a parameter, ten times as fast as the standard library; what orjson does not take, that one decides."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


class _FlatListDumper(ListDumper):
    """Lists of whole numbers, of nothing but nulls and of plain words in one piece; psycopg looks at each element."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        kinds = set(map(type, obj))
        if kinds == {int}:
            return f"{{{str(obj)[1:-1]}}}".encode()
        if kinds == {NoneType}:
            return b"{NULL" + b",NULL" * (len(obj) - 1) + b"}"
        if kinds == {str}:
            words: str = '","'.join(obj)
            if words.isascii() and words.isprintable() and "\\" not in words and words.count('"') == 2 * len(obj) - 2:
                return f'{{"{words}"}}'.encode()
        return super().dump(obj)


set_json_dumps(_as_json)
psycopg.adapters.register_dumper(list, _FlatListDumper)


@contextmanager
def translated() -> Iterator[None]:
    """Database errors that another try may cure become TransientError; the rest pass as they are."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise ConfigurationError(
            "the database has no tables yet; run `yipan db start`", code="database.empty"
        ) from error
    except _TRANSIENT as error:
        raise TransientError(f"PostgreSQL is not answering ({type(error).__name__})", code="database.away") from error


def _autocommitted(
    connection: Connection[DictRow], query: Query, parameters: Sequence[Any] | dict[str, Any] | None
) -> list[Row]:
    connection.autocommit = True
    try:
        cursor = connection.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []
    finally:
        if not connection.closed:
            connection.autocommit = False


def _refuse_closed(connection: Connection[DictRow]) -> None:
    """Raise if the server has closed this pooled connection. Asks the socket, not the server: no round trip."""
    waiting = select.poll()
    waiting.register(connection.pgconn.socket, select.POLLIN)
    if waiting.poll(0):
        connection.pgconn.consume_input()
        if connection.pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError("the server has closed this connection")


class UnitOfWork:
    """One transaction. ``connection`` is psycopg's; rows come as dicts. ``services``: estate and vault."""

    def __init__(self, connection: Connection[DictRow], database: "Database") -> None:
        self.connection = connection
        self._database = database
        self._done = False

    @property
    def services(self) -> "Services":
        """What steps need beside the database; set by ``bootstrap``."""
        if self._database.services is None:
            raise ConfigurationError("this database was opened without services; build the hub with bootstrap.build()")
        return self._database.services

    @property
    def has_services(self) -> bool:
        """Whether there are services; a database opened without ``bootstrap`` has none."""
        return self._database.services is not None

    @property
    def flows(self) -> "Mapping[str, Flow]":
        """The flows whose runs may be started here, by name."""
        return self._database.flows

    def execute(
        self, query: Query, parameters: Sequence[Any] | dict[str, Any] | None = None
    ) -> psycopg.Cursor[DictRow]:
        """Run one statement inside the transaction."""
        with translated():
            return self.connection.execute(query, parameters)

    def commit(self) -> None:
        """Make everything so far durable; may be called once."""
        with translated():
            self.connection.commit()
        self._done = True
        if self._database.on_commit is not None:
            self._database.on_commit()

    def commit_with(self, query: Query, parameters: Sequence[Any] | dict[str, Any] | None = None) -> list[Row]:
        """Run a last statement and commit, in one round trip; its rows.

        If nothing was asked of the database before, the statement is a transaction of its own.
        """
        connection = self.connection
        with translated():
            if connection.info.transaction_status == TransactionStatus.IDLE:
                rows = _autocommitted(connection, query, parameters)
            else:
                with connection.pipeline():
                    cursor = connection.execute(query, parameters)
                    connection.commit()
                rows = cursor.fetchall()
        self._done = True
        if self._database.on_commit is not None:
            self._database.on_commit()
        return rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done and not self.connection.closed:
            self.connection.rollback()


class Session:
    """A connection of its own, outside the pool: for LISTEN and for locks that last longer than a transaction."""

    def __init__(self, connection: Connection[DictRow], database: "Database") -> None:
        self.connection = connection
        self._database = database

    def run(self, query: Query, parameters: Sequence[Any] | None = None) -> list[Row]:
        """One statement in its own transaction; its rows, or an empty list."""
        cursor = self.connection.execute(query, parameters)
        rows = cursor.fetchall() if cursor.description else []
        if self._database.on_commit is not None:
            self._database.on_commit()
        return rows


class Database:
    """A pool of connections to one PostgreSQL.

    ``on_commit`` is called after every commit of this process; the crash tests end the process in it. ``flows``
    are those whose runs may be started here, by name.
    """

    def __init__(self, url: str, *, pool_size: int = 16, on_commit: Callable[[], None] | None = None) -> None:
        self.url = url
        self.on_commit = on_commit
        self.services: Services | None = None
        self.flows: Mapping[str, Flow] = {}
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=POOL_WAIT_S,
            reconnect_timeout=RECONNECT_S,
            open=False,
            connection_class=cast(Any, Connection),
            kwargs={
                "row_factory": dict_row,
                "autocommit": False,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "yipan",
                "options": _OPTIONS,
            },
            check=_refuse_closed,
        )

    def open(self) -> Self:
        """Start the pool; connections are made on first use."""
        self._pool.open()
        return self

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def unit(self) -> Iterator[UnitOfWork]:
        """One transaction; rolled back unless ``commit()`` was called."""
        with translated(), self._pool.connection() as connection, UnitOfWork(connection, self) as uow:
            yield uow

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection of its own until the end of the block."""
        with (
            translated(),
            psycopg.connect(
                self.url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="yipan",
                options=_OPTIONS,
            ) as connection,
        ):
            yield Session(connection, self)

    def run(self, query: Query, parameters: Sequence[Any] | dict[str, Any] | None = None) -> list[Row]:
        """One statement in its own transaction and one round trip; its rows, or an empty list."""
        with translated(), self._pool.connection() as connection:
            rows = _autocommitted(connection, query, parameters)
        if self.on_commit is not None:
            self.on_commit()
        return rows
