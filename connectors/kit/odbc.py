"""ODBC to outside databases: rows in batches, failures in plain words. ``keyset.py`` pulls streams with it."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from canonical_model.errors import ConfigurationError, HubError, RejectedError, TransientError

if TYPE_CHECKING:
    import pyodbc

    Connection: TypeAlias = pyodbc.Connection

PACKAGES: Final = {
    "postgresql": "odbc-postgresql",
    "mariadb": "odbc-mariadb",
    "mysql": "odbc-mariadb",
    "sqlite": "libsqliteodbc",
    "freetds": "tdsodbc",
}
MAX_BATCH: Final = 50_000

_DRIVER_MISSING: Final = ("IM002", "IM003", "IM004")
_AWAY: Final = ("08", "HYT", "HY018", "40", "55P03", "57")
# MariaDB says HY000 and its own number: away, hung up, starting, ending, waited too long for a lock.
_MARIADB_AWAY: Final = re.compile(r"\((?:1053|1205|1317|1927|2002|2003|2005|2006|2013)\) \(SQL")
# PostgreSQL's driver says 08001 for every login that fails.
_LOGIN_REFUSED: Final = re.compile(
    r"authentication failed|not permitted to log in|no pg_hba\.conf entry|认证失败|不允许登录"
    r"|(?:role|database|角色|数据库) ?\"[^\"]*\" ?(?:does not exist|不存在)|Unknown database|Access denied"
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What SQL databases say differently.

    ``session``: statements that make a session read-only and bound its statements by ``{ms}`` or ``{s}``.
    ``after``: the condition "behind this (time, key)"; ``repeats`` is how often its parameters say the time.
    """

    session: tuple[str, ...]
    after: str = "({time}, {key}) > (?, ?)"
    repeats: int = 1


DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": Dialect(("SET default_transaction_read_only = on", "SET statement_timeout = {ms}")),
    # MariaDB finds no range in a comparison of rows.
    "mariadb": Dialect(
        ("SET SESSION TRANSACTION READ ONLY", "SET SESSION max_statement_time = {s}"),
        after="({time} > ? OR ({time} = ? AND {key} > ?))",
        repeats=2,
    ),
    "sqlite": Dialect(("PRAGMA query_only = ON",)),
}


def connect(dsn: str, timeout_s: float) -> Connection:
    """A connection by ODBC connection string; ``timeout_s`` bounds the login, and statements where the driver can.

    ConfigurationError: driver or unixODBC missing (names the Debian package), login refused. TransientError: away.
    """
    try:
        import pyodbc
    except ImportError as error:
        raise ConfigurationError("unixODBC is missing; run: apt-get install unixodbc", code="odbc.driver") from error
    try:
        connection = pyodbc.connect(dsn, timeout=max(1, round(timeout_s)), autocommit=True)
    except pyodbc.Error as error:
        raise _translated(error, dsn, login=True) from error
    try:
        connection.timeout = max(1, round(timeout_s))
    except pyodbc.Error:
        return connection  # the drivers of PostgreSQL and SQLite know no such limit; open_session sets it by SQL
    return connection


def open_session(dsn: str, dialect: str, timeout_s: float) -> Connection:
    """A read-only connection whose statements the server itself ends after ``timeout_s``.

    ConfigurationError for a dialect that is not in DIALECTS; else as ``connect``.
    """
    if dialect not in DIALECTS:
        raise ConfigurationError(f"settings.dialect is {dialect!r}; write one of {', '.join(DIALECTS)}", key="dialect")
    connection = connect(dsn, timeout_s)
    for statement in DIALECTS[dialect].session:
        execute(connection, statement.format(ms=round(timeout_s * 1000), s=timeout_s))
    return connection


def execute(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> pyodbc.Cursor:
    """Run one statement, its values bound. TransientError: away or over its time; RejectedError: refused."""
    import pyodbc

    try:
        return connection.execute(sql, *parameters)
    except pyodbc.Error as error:
        raise _translated(error, "") from error


def rows(
    connection: Connection, sql: str, parameters: Sequence[Any] = (), *, batch: int = 5_000
) -> Iterator[dict[str, Any]]:
    """Rows as dicts by column name, fetched ``batch`` at a time. Values are bound, never pasted into ``sql``."""
    import pyodbc

    if not 1 <= batch <= MAX_BATCH:
        raise ConfigurationError(f"batch must be between 1 and {MAX_BATCH}, not {batch}")
    try:
        cursor = connection.execute(sql, *parameters)
        names = [column[0] for column in cursor.description or ()]
        while found := cursor.fetchmany(batch):
            yield from (dict(zip(names, row, strict=True)) for row in found)
    except pyodbc.Error as error:
        raise _translated(error, "") from error


def plain_rows(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """All rows of a bounded query as JSON can say them: decimals, times and ids as text, bytes as hexadecimal.

    Column names are in upper case, to whatever case the database folds them.
    """
    import pyodbc

    try:
        cursor = connection.execute(sql, *parameters)
        found = cursor.fetchall()
        description = cursor.description
        cursor.close()
    except pyodbc.Error as error:
        raise _translated(error, "") from error
    names = [column[0].upper() for column in description]
    columns = [
        _PLAIN[column[1]](values) if column[1] in _PLAIN else values
        for values, column in zip(zip(*found, strict=True), description, strict=False)
    ]
    return list(map(dict, map(zip, repeat(names), zip(*columns, strict=True))))


def _each(plain: Callable[[Any], str]) -> Callable[[Sequence[Any]], list[str | None]]:
    """``plain`` for the values of a column that are not NULL."""
    return lambda values: [None if value is None else plain(value) for value in values]


def _times(values: Sequence[Any]) -> list[str | None]:
    return [value and value.isoformat(" ") for value in values]


_PLAIN: Final[Mapping[type, Callable[[Sequence[Any]], list[str | None]]]] = {
    dt.datetime: _times,
    dt.date: _each(str),
    dt.time: _each(str),
    decimal.Decimal: _each("{:f}".format),
    uuid.UUID: _each(str),
    bytes: _each(bytes.hex),
    bytearray: _each(bytearray.hex),
}


def _translated(error: pyodbc.Error, dsn: str, *, login: bool = False) -> HubError:
    """The error's SQLSTATE decides; the driver's text is left out where it may repeat the connection string."""
    state, words = str(error.args[0]) if error.args else "", _words(error)
    if state in _DRIVER_MISSING or "Can't open lib" in words:
        driver = _driver(dsn)
        package = next((package for word, package in PACKAGES.items() if word in driver.lower()), None)
        remedy = f"run: apt-get install {package}" if package else "install it, or correct the connection string"
        return ConfigurationError(f"the ODBC driver {driver!r} is not installed; {remedy}", code="odbc.driver")
    if state.startswith("28") or (login and _LOGIN_REFUSED.search(words)):
        return ConfigurationError("the database refused our login; correct the connection secret", code="odbc.login")
    if state.startswith(_AWAY) or _MARIADB_AWAY.search(words):
        return TransientError(f"the database is away (SQLSTATE {state}); try again later", code="odbc.away")
    return RejectedError(f"the database refused the statement (SQLSTATE {state}): {words}", code="odbc.refused")


def _driver(dsn: str) -> str:
    found = re.search(r"(?:^|;)\s*DRIVER\s*=\s*\{?([^};]+)\}?", dsn, re.IGNORECASE)
    return found.group(1) if found else "(none named)"


def _words(error: pyodbc.Error) -> str:
    return " ".join(str(error.args[-1] if error.args else error).split())[:300]
