"""Streams pulled by SQL, declared and not coded: what changed since the last pull, in the order of its change.

A pulled stream ``stock`` with ``cursor = "MODIFY_TIME, STOCK_ID"`` reads ``sql/stock.sql``, one plain SELECT. Pages
are short statements of their own: ``(MODIFY_TIME, STOCK_ID)`` behind the last row of the page before, so rows of one
moment are neither lost nor doubled at a page's border. ``sql/stock.LINES.sql`` would add to each record the list
``LINES``: its first column is the record's key under the same name, its second orders the list.

A row can be committed minutes after the time that stands in it, and clocks differ. So each pull begins ``overlap_s``
before the last one began, and reads those rows once more; the hub notices nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson

from canonical_model.errors import ConfigurationError
from canonical_model.ports import Manifest, Page, Reader, StreamSpec, SystemConfig
from connectors.kit import odbc

if TYPE_CHECKING:
    from connectors.kit.odbc import Connection

OVERLAP_S: Final = 600.0
PAGE_ROWS: Final = 2_000  # and what is made of them fits a processor's cache; 5,000 are a fifth slower
MAX_PAGE_ROWS: Final = 10_000
DETAILED_PAGE_ROWS: Final = 500
TIMEOUT_S: Final = 60.0
EARLIEST: Final = "1900-01-01 00:00:00"

Row = Mapping[str, Any]


def sql_readers(config: SystemConfig, manifest: Manifest, folder: Path) -> dict[str, Reader]:
    """A reader for each pulled stream, from the files in ``folder``. Opens no connection.

    Needs ``settings.dialect`` and ``secrets.connection``; ``settings.overlap_s`` and ``settings.page_rows`` may be
    given. ConfigurationError names the file or key that is wrong.
    """
    return {
        stream.name: KeysetReader(config, _query(stream, folder))
        for stream in manifest.streams
        if stream.direction == "pull"
    }


@dataclass(frozen=True, slots=True)
class Query:
    """``sql`` selects records; ``time`` and ``key`` order them. ``details``: the SQL of each list in a record."""

    sql: str
    time: str
    key: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Position:
    """Where to go on: ``began`` is when the pull began whose rows are known, ``after`` the last row of a page."""

    began: datetime
    after: tuple[Any, Any] | None = None

    @classmethod
    def read(cls, cursor: str) -> "_Position":
        stored = orjson.loads(cursor)
        return cls(datetime.fromisoformat(stored["began"]), tuple(stored["after"]) if stored.get("after") else None)

    def cursor(self) -> str:
        return orjson.dumps({"began": self.began.isoformat(), "after": self.after}).decode()


class KeysetReader:
    """One stream. The last page's cursor is where the next pull begins; ``now`` is our clock, in UTC."""

    def __init__(
        self, config: SystemConfig, query: Query, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._query = query
        self._now = now
        self._zone = ZoneInfo(config.zone)
        self._connection = config.secrets["connection"]
        self._dialect = config.settings["dialect"]
        self._overlap = timedelta(seconds=_number(config, "overlap_s", OVERLAP_S, most=7 * 86_400))
        most = DETAILED_PAGE_ROWS if query.details else MAX_PAGE_ROWS
        self._page_rows = min(int(_number(config, "page_rows", PAGE_ROWS, most=MAX_PAGE_ROWS)), most)
        if self._dialect not in odbc.DIALECTS:
            raise ConfigurationError(
                f"systems.{config.name}.settings.dialect is {self._dialect!r}; write one of {', '.join(odbc.DIALECTS)}",
                system=config.name,
                key="settings.dialect",
            )

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """Pages after ``cursor``. Raises TransientError, ConfigurationError; RejectedError for a refused statement."""
        known = _Position.read(cursor) if cursor is not None else None
        resumed = known is not None and known.after is not None
        position = known if known and resumed else _Position(self._now())
        since = EARLIEST if known is None else self._since(known.began)
        with closing(odbc.open_session(self._connection, self._dialect, TIMEOUT_S)) as connection:
            while True:
                records = self._read(connection, since, position.after)
                if len(records) < self._page_rows:
                    yield Page(records, _Position(position.began).cursor())
                    return
                last = records[-1]
                position = _Position(position.began, (last[self._query.time], last[self._query.key]))
                yield Page(records, position.cursor())

    def _since(self, began: datetime) -> str:
        """The time from which rows may be new, by the source's wall clock, also if that was put back meanwhile."""
        first = (began - self._overlap).astimezone(self._zone)
        put_back = (first.utcoffset() or timedelta()) - (self._now().astimezone(self._zone).utcoffset() or timedelta())
        return str(first.replace(tzinfo=None) - max(put_back, timedelta()))

    def _read(self, connection: "Connection", since: str, after: tuple[Any, Any] | None) -> list[dict[str, Any]]:
        time, key = f"q.{self._query.time}", f"q.{self._query.key}"
        dialect = odbc.DIALECTS[self._dialect]
        if after is None:
            condition, parameters = f"{time} >= ?", [since]
        else:
            condition = dialect.after.format(time=time, key=key)
            parameters = [*[after[0]] * dialect.repeats, after[1]]
        records = odbc.plain_rows(
            connection,
            f"SELECT * FROM ({self._query.sql}) AS q WHERE {condition} ORDER BY {time}, {key}"  # noqa: S608 - our files
            f" LIMIT {self._page_rows}",
            parameters,
        )
        for name, sql in self._query.details.items():
            self._add(connection, records, name, sql)
        return records

    def _add(self, connection: "Connection", records: Sequence[dict[str, Any]], name: str, sql: str) -> None:
        """Give each record its list ``name``: the rows of ``sql`` whose first column is the record's key."""
        if not records:
            return
        key = self._query.key
        keys = [record[key] for record in records]
        found = odbc.plain_rows(
            connection,
            f"SELECT * FROM ({sql}) AS q WHERE q.{key} IN ({', '.join('?' * len(keys))}) ORDER BY 1, 2",  # noqa: S608
            keys,
        )
        lists: dict[Any, list[Row]] = defaultdict(list)
        for row in found:
            lists[row.pop(key)].append(row)
        for record in records:
            record[name] = lists[record[key]]


def _query(stream: StreamSpec, folder: Path) -> Query:
    names = [name.strip() for name in (stream.cursor or "").split(",")]
    if len(names) != 2 or not all(name.isidentifier() and name.isupper() for name in names):
        raise ConfigurationError(
            f"streams.{stream.name}.cursor is {stream.cursor!r}; name two columns in upper case, the time of change and"
            ' the key, like "MODIFY_TIME, ID"',
            key=f"streams.{stream.name}.cursor",
        )
    details = {file.name.split(".")[1]: _sql(file) for file in sorted(folder.glob(f"{stream.name}.*.sql"))}
    return Query(_sql(folder / f"{stream.name}.sql"), time=names[0], key=names[1], details=details)


def _sql(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip().rstrip(";")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read; write the stream's SELECT there") from error


def _number(config: SystemConfig, name: str, default: float, *, most: float) -> float:
    given = config.settings.get(name)
    try:
        number = default if given is None else float(given)
    except ValueError:
        number = -1.0
    if not 0 < number <= most:
        raise ConfigurationError(
            f"systems.{config.name}.settings.{name} is {given!r}; write a number above 0 and up to {most:g}",
            system=config.name,
            key=f"settings.{name}",
        )
    return number
