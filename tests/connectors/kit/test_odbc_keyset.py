"""Streams declared in SQL: whatever happens between and during pulls, the pulled state becomes the table's state."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canonical_model.errors import ConfigurationError
from canonical_model.ports import Page, StreamSpec, SystemConfig
from connectors.drp.database import DrpDatabase
from connectors.kit import odbc
from connectors.kit.keyset import KeysetReader, Query, sql_readers
from connectors.kit.manifest import load_manifest
from tests.connectors.drp.servers import SERVERS, server

NOON = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Asia/Shanghai"))
QUERY = Query("SELECT ID, VAL, MODIFY_TIME FROM T_ITEM", "MODIFY_TIME", "ID", {})
OVERLAP_S = 600
MOST_LATE_S = 500
MOST_SKEW_S = 90
TIME = {"postgresql": "TIMESTAMP(0)", "mariadb": "DATETIME", "sqlite": "TEXT"}


@dataclass
class Source:
    """A table of items, written as a legacy system would, and a clock that the test sets."""

    dialect: str
    connection: str
    writing: Any
    now: datetime = NOON
    skew: timedelta = timedelta()
    rows: dict[int, tuple[int, datetime]] = field(default_factory=dict)

    def clean(self) -> None:
        odbc.execute(self.writing, "DELETE FROM T_ITEM")
        self.now, self.skew = NOON, timedelta()
        self.rows.clear()

    def write(self, key: int, value: int, late_s: int) -> None:
        """A change becomes visible now that was made ``late_s`` ago; the changes of one row keep their order."""
        known = self.rows.get(key)
        made = self.now - timedelta(seconds=late_s)
        self.rows[key] = (value, max(made, known[1]) if known else made)
        written = str(self.rows[key][1].replace(tzinfo=None))
        change = "UPDATE T_ITEM SET VAL = ?, MODIFY_TIME = ? WHERE ID = ?"
        odbc.execute(self.writing, change if known else "INSERT INTO T_ITEM VALUES (?, ?, ?)", (value, written, key))

    def reader(self, page_rows: int = 3) -> KeysetReader:
        config = SystemConfig(
            name="it",
            connector="drp",
            owner="o",
            brand="b",
            settings={"dialect": self.dialect, "page_rows": str(page_rows), "overlap_s": str(OVERLAP_S)},
            secrets={"connection": self.connection},
        )
        return KeysetReader(config, QUERY, now=lambda: self.now.astimezone(UTC) + self.skew)


@pytest.fixture(scope="module", params=[*SERVERS, "sqlite"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    table = f"CREATE TABLE T_ITEM (VAL INT, MODIFY_TIME {TIME[request.param]} NOT NULL, ID BIGINT PRIMARY KEY)"
    if request.param == "sqlite":
        pyodbc = pytest.importorskip(
            "pyodbc", exc_type=ImportError, reason="unixODBC is not installed; make setup as root installs it"
        )
        if "SQLite3" not in pyodbc.drivers():
            pytest.skip("libsqliteodbc is not installed")
        connection = f"DRIVER=SQLite3;Database={tmp_path_factory.mktemp('keyset') / 'items.db'}"
        with closing(odbc.connect(connection, 5)) as writing:
            odbc.execute(writing, table)
            yield Source("sqlite", connection, writing)
        return
    with server(request.param, request.getfixturevalue("postgres_18")) as found:
        database = DrpDatabase.open(found.dialect, admin=found.admin, connection=found.connection)
        with database.transaction() as writing:
            odbc.execute(writing, table)
            user = found.connection.partition("UID=")[2].partition(";")[0]
            if found.dialect == "postgresql":
                odbc.execute(writing, f"GRANT SELECT ON T_ITEM TO {user}")
            writing.commit()
            writing.autocommit = True
            yield Source(found.dialect, found.connection, writing)
            writing.autocommit = False
        database.drop()


class Follower:
    """Pulls as the hub does: a page and the cursor behind it are kept together, an older figure changes nothing."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.cursor: str | None = None
        self.state: dict[int, tuple[str, int]] = {}
        self._pull: Iterator[Page] | None = None

    def page(self) -> bool:
        """Take one page of the current pull, or of a new one; False at the end of the pull."""
        self._pull = self._pull or self.source.reader().pages(self.cursor)
        page = next(self._pull, None)
        if page is None:
            self._pull = None
            return False
        self.cursor = page.cursor
        for record in page.records:
            known = self.state.get(record["ID"])
            if known is None or known[0] <= record["MODIFY_TIME"]:
                self.state[record["ID"]] = (record["MODIFY_TIME"], record["VAL"])
        return True

    def crash(self) -> None:
        self._pull = None

    def finish(self) -> None:
        """To the end of the current pull, also of one that was broken off, then a whole one."""
        for _ in range(2):
            while self.page():
                pass


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 9), st.integers(0, MOST_LATE_S)),
    st.tuples(st.just("write"), st.integers(1, 9), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 30, 599, 601, 5000]), st.just(0)),
    st.tuples(st.sampled_from(["page", "page", "pull", "crash"]), st.just(0), st.just(0)),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=60), skew_s=st.integers(-MOST_SKEW_S, MOST_SKEW_S))
def test_whatever_order_rows_are_changed_committed_and_pulled_in_nothing_is_lost(
    source: Source, steps: list[tuple[str, int, int]], skew_s: int
) -> None:
    source.clean()
    source.skew = timedelta(seconds=skew_s)
    follower = Follower(source)
    for number, (what, first, second) in enumerate(steps):
        match what:
            case "write":
                source.write(first, number, second)
            case "wait":
                source.now += timedelta(seconds=first)
            case "page":
                follower.page()
            case "pull":
                follower.finish()
            case "crash":
                follower.crash()
    follower.finish()
    assert {key: value for key, (_, value) in follower.state.items()} == {
        key: value for key, (value, _) in source.rows.items()
    }


def test_rows_of_one_moment_cross_the_border_of_a_page_once_each(source: Source) -> None:
    source.clean()
    for key in range(1, 11):
        source.write(key, key, 0)
    pages = list(source.reader(page_rows=3).pages(None))
    assert [[record["ID"] for record in page.records] for page in pages] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    rest = list(source.reader(page_rows=3).pages(pages[1].cursor))
    assert [record["ID"] for page in rest for record in page.records] == [7, 8, 9, 10]


def test_what_is_known_is_not_read_for_ever(source: Source) -> None:
    source.clean()
    source.write(1, 1, 0)
    source.now += timedelta(seconds=OVERLAP_S - 1)
    *_, last = source.reader().pages(None)
    (again,) = source.reader().pages(last.cursor)
    assert [record["ID"] for record in again.records] == [1]
    source.now += timedelta(seconds=2)
    (page,) = source.reader().pages(again.cursor)
    source.now += timedelta(seconds=2)
    (page,) = source.reader().pages(page.cursor)
    assert page.records == []
    assert page.cursor is not None


def test_clocks_put_back_in_autumn_hide_no_row(source: Source) -> None:
    source.clean()
    reader = source.reader()
    reader._zone = ZoneInfo("Europe/Berlin")
    source.now = datetime(2026, 10, 25, 2, 59, tzinfo=ZoneInfo("Europe/Berlin"))
    (page,) = reader.pages(None)
    source.now = datetime(2026, 10, 25, 2, 1, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    source.write(1, 1, 0)
    (page,) = reader.pages(page.cursor)
    assert [record["ID"] for record in page.records] == [1]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"dialect": "oracle"}, "settings.dialect"),
        ({"overlap_s": "soon"}, "settings.overlap_s"),
        ({"overlap_s": "0"}, "settings.overlap_s"),
        ({"page_rows": "20000"}, "settings.page_rows"),
    ],
)
def test_a_wrong_setting_is_named(changed: dict[str, str], key: str) -> None:
    given = {"dialect": "sqlite", **changed}
    config = SystemConfig(
        name="drp", connector="drp", owner="o", brand="b", settings=given, secrets={"connection": "DRIVER=SQLite3"}
    )
    with pytest.raises(ConfigurationError, match=key):
        KeysetReader(config, QUERY)


@pytest.mark.parametrize("cursor", [None, "MODIFY_TIME", "MODIFY_TIME, ID, X", "modify_time, id", "A; DROP, B"])
def test_a_stream_names_its_time_and_key(cursor: str | None, tmp_path: Path) -> None:
    (tmp_path / "stock.sql").write_text("SELECT 1")
    manifest = load_manifest("drp")
    stock = manifest.stream("stock")
    assert isinstance(stock, StreamSpec)
    wrong = manifest.model_copy(update={"streams": (stock.model_copy(update={"cursor": cursor}),)})
    config = SystemConfig(
        name="drp", connector="drp", owner="o", brand="b", settings={"dialect": "sqlite"}, secrets={"connection": "x"}
    )
    with pytest.raises(ConfigurationError, match=r"streams\.stock\.cursor"):
        sql_readers(config, wrong, tmp_path)


def test_a_stream_without_its_sql_is_named(tmp_path: Path) -> None:
    config = SystemConfig(
        name="drp", connector="drp", owner="o", brand="b", settings={"dialect": "sqlite"}, secrets={"connection": "x"}
    )
    with pytest.raises(ConfigurationError, match=r"stores\.sql"):
        sql_readers(config, load_manifest("drp"), tmp_path)
