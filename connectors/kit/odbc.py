"""ODBC to outside databases: rows in batches, failures in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from canonical_model.errors import ConfigurationError, HubError, RejectedError, TransientError

if TYPE_CHECKING:
    import pyodbc

PACKAGES: Final = {
    "postgresql": "odbc-postgresql",
    "mariadb": "odbc-mariadb",
    "mysql": "odbc-mariadb",
    "sqlite": "libsqliteodbc",
    "freetds": "tdsodbc",
}
MAX_BATCH: Final = 50_000

_DRIVER_MISSING: Final = ("IM002", "IM003", "IM004")
_AWAY: Final = ("08", "HYT", "40", "57")


def connect(dsn: str, timeout_s: float) -> pyodbc.Connection:
    """A read connection by ODBC connection string; ``timeout_s`` bounds the login and every statement.

    ConfigurationError: driver or unixODBC missing (names the Debian package), login refused. TransientError: away.
    """
    try:
        import pyodbc
    except ImportError as error:
        raise ConfigurationError("unixODBC is missing; run: apt-get install unixodbc", code="odbc.driver") from error
    try:
        connection = pyodbc.connect(dsn, timeout=max(1, round(timeout_s)), autocommit=True)
    except pyodbc.Error as error:
        raise _translated(error, dsn) from error
    try:
        connection.timeout = max(1, round(timeout_s))
    except pyodbc.Error:
        return connection  # SQLite's driver knows no statement timeout
    return connection


def rows(
    connection: pyodbc.Connection, sql: str, parameters: Sequence[Any] = (), *, batch: int = 5_000
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


def _translated(error: pyodbc.Error, dsn: str) -> HubError:
    """The error's SQLSTATE decides; the driver's text is left out where it may repeat the connection string."""
    state = str(error.args[0]) if error.args else ""
    if state in _DRIVER_MISSING or "Can't open lib" in str(error):
        driver = _driver(dsn)
        package = next((package for word, package in PACKAGES.items() if word in driver.lower()), None)
        remedy = f"run: apt-get install {package}" if package else "install it, or correct the connection string"
        return ConfigurationError(f"the ODBC driver {driver!r} is not installed; {remedy}", code="odbc.driver")
    if state.startswith("28"):
        return ConfigurationError("the database refused our login; correct the connection secret", code="odbc.login")
    if state.startswith(_AWAY):
        return TransientError(f"the database is away (SQLSTATE {state}); try again later", code="odbc.away")
    return RejectedError(f"the database refused the statement (SQLSTATE {state}): {_words(error)}", code="odbc.refused")


def _driver(dsn: str) -> str:
    found = re.search(r"(?:^|;)\s*DRIVER\s*=\s*\{?([^};]+)\}?", dsn, re.IGNORECASE)
    return found.group(1) if found else "(none named)"


def _words(error: pyodbc.Error) -> str:
    return " ".join(str(error.args[-1]).split())[:300]
