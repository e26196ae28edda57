"""Rows a second by ODBC from a DRP to checked canonical StockFacts, beside bare pyodbc, and the memory it takes.

A million shelves (7 columns) lie in a PostgreSQL of our own and are read through `{PostgreSQL Unicode}`. Ours is the
way of a pull but for the hub's own database: keyset pages, the contract, the mapping, the canonical check. `pyodbc` is
fetchmany(5,000) of the same query in the same order in one statement, and nothing else. `peak_mb` is the resident
memory of a process that does nothing but our reading, and `quarter_peak_mb` that for a quarter of the rows: it must not
grow with them.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import harness
from canonical_model.ports import SystemConfig
from connectors.drp.database import DrpDatabase
from connectors.kit import odbc, registry
from connectors.kit.manifest import connector_folder
from flows.ingest.batch import Batch, MessageHead
from flows.ingest.intake import judge, open_intake
from flows.runtime import embedded

OWNER: Final = "bench"
PAGE: Final = 5_000
TIMEOUT_S: Final = 60.0
SQL: Final = (connector_folder("drp") / "sql" / "stock.sql").read_text("utf-8")
FILL: Final = """
    INSERT INTO T_STORE_STOCK (STORE_CODE, SKU_CODE, STOCK_TYPE, QTY, UNIT, MODIFY_TIME)
    SELECT 'S' || lpad((n / 1000)::text, 4, '0'), 'YS-' || lpad((n %% 1000)::text, 6, '0'), '01',
        (n * 7 %% 997) || '.000', CASE WHEN n %% 5 = 0 THEN '双' ELSE '件' END,
        timestamp '2026-03-01 08:00:00' + make_interval(secs => n / 3)
    FROM generate_series(0, %s - 1) AS n
"""


def read_ours(config: SystemConfig) -> int:
    """Every shelf as a checked StockFact, page by page; how many."""
    connector = registry.connect(config)
    spec = next(stream for stream in connector.manifest.streams if stream.name == "stock")
    intake = open_intake(connector, spec)
    head = MessageHead("message", OWNER, OWNER, "drp", "stock", datetime.now(UTC))
    count = 0
    for page in connector.readers["stock"].pages(None):
        values, outcome = judge(intake, Batch(head, range(len(page.records)), page.records))
        assert not outcome.refused, next(iter(outcome.refused.values()))
        count += len(values)
    return count


def read_bare(config: SystemConfig) -> int:
    """Every row, and nothing done with it; how many."""
    count = 0
    with closing(odbc.connect(config.secrets["connection"], TIMEOUT_S)) as connection:
        cursor = connection.execute(f"SELECT * FROM ({SQL}) AS q ORDER BY MODIFY_TIME, STOCK_ID")
        while rows := cursor.fetchmany(PAGE):
            count += len(rows)
    return count


def peak_mb(config: SystemConfig) -> float:
    """Resident memory, at its highest, of a process of its own that reads ours."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_mb, (config,))


def _peak_mb(config: SystemConfig) -> float:
    read_ours(config)
    high = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(high.split()[1]) / 1024


@contextmanager
def drp_tables(name: str, count: int) -> Iterator[SystemConfig]:
    """A DRP with ``count`` shelves in an embedded PostgreSQL that ODBC reaches by its socket."""
    with tempfile.TemporaryDirectory(prefix="yipan-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        url = embedded.start(folder / "postgres")
        try:
            host = conninfo_to_dict(url)["host"]
            base = f"DRIVER={{PostgreSQL Unicode}};UseDeclareFetch=1;Fetch={PAGE};Server={host};Port=5432"
            connection = f"{base};Database={name};UID={name};PWD=bench"
            DrpDatabase.open("postgresql", admin=f"{base};UID=postgres;Database=postgres", connection=connection)
            with psycopg.connect(make_conninfo(url, dbname=name), autocommit=True) as filling:
                filling.execute(FILL, [count])
                filling.execute("VACUUM ANALYZE")
            yield SystemConfig(
                name="drp",
                connector="drp",
                owner=OWNER,
                brand=OWNER,
                settings={"dialect": "postgresql"},
                secrets={"connection": connection},
            )
        finally:
            embedded.stop(folder / "postgres")


def measure(quick: bool) -> harness.Report:
    """Both readers by turns, then our memory for all the rows and for a quarter of them."""
    count, rounds = (200_000, 5) if quick else (1_000_000, 3)
    report = harness.Report(packages=("pyodbc",))

    def whole(read: Callable[[SystemConfig], int], config: SystemConfig) -> Callable[[], int]:
        def reading() -> int:
            found = read(config)
            assert found == count, f"{read.__name__} found {found} of {count} rows"
            return found

        return reading

    with drp_tables("drp_bench", count) as config:
        contenders: dict[str, Any] = {"ours": whole(read_ours, config), "pyodbc": whole(read_bare, config)}
        report.compare("ours", harness.interleave(contenders, rounds=rounds), "rows_per_s")
        report.figures["peak_mb"] = peak_mb(config)
    with drp_tables("drp_quarter", count // 4) as config:
        report.figures["quarter_peak_mb"] = peak_mb(config)
    report.figures["rows"] = count
    return report


if __name__ == "__main__":
    harness.main(__doc__, measure)
