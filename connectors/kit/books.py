"""A simulator's own storage: one SQLite file that survives kill -9."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Books:
    """What a simulated system knows. ``schema`` is SQL that may run again on an existing file.

    One thread uses it, and no transaction is open across an ``await``.
    """

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(schema)

    def extend(self, schema: str) -> None:
        """Add the tables of a shared part."""
        self._connection.executescript(schema)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside commits together, or nothing does."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Every row as a dict."""
        return [dict(row) for row in self._connection.execute(sql, values)]

    def find(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row, or None."""
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else dict(row)

    def number(self, sql: str, *values: Any) -> int:
        """The one whole number that ``sql`` selects; 0 if it selects nothing."""
        row = self._connection.execute(sql, values).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])


def placeholders(values: Sequence[Any]) -> str:
    """``?, ?, ?`` for that many values."""
    return ", ".join("?" * len(values))
