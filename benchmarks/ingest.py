"""Stock records a second over HTTP until they are visible, beside COPY and dlt on the same PostgreSQL.

Ours: `yipan serve --no-work` and one `yipan worker` on an embedded PostgreSQL; two clients push JSON batches of 5,000
through the real door; the clock stops when the last record is in `stock_level`, with its movement, its raw message
and its run. `copy_limit` is psycopg COPY + upsert of the same rows, already mapped, in batches of 5,000 into a table
of stock_level's shape, on one connection. `dlt` merges the same JSON. *First* loads every level anew, *changed*
changes every one; the ratios are those of the worse load.
"""

import contextlib
import http.client
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import dlt
import orjson
import psycopg

from benchmarks import harness
from flows.runtime import embedded
from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from hub_api.auth import create_key

BATCH = 5_000
CLIENTS = 2
WARM_UP = 40_000
SKUS = 1_000
OWNER = "bench"
POLL_S = 0.01
TIMEOUT_S = 120.0
LOADS = ("first", "changed")
ESTATE = f"""
owner = "{OWNER}"
brand = "{OWNER}"

[systems.shop]
connector = "hub"

[[authority]]
kind = "warehouse"
system = "shop"
"""

Record = dict[str, Any]


@dataclass
class Load:
    """One load of every level: the records, and their total as the proof that all are visible."""

    records: list[Record]
    total: int

    @property
    def batches(self) -> list[list[Record]]:
        """The records in lists of BATCH."""
        return [self.records[start : start + BATCH] for start in range(0, len(self.records), BATCH)]

    @cached_property
    def bodies(self) -> list[bytes]:
        """The batches as JSON, as a sender has them."""
        return [orjson.dumps(batch) for batch in self.batches]


def make_load(count: int, generation: int) -> Load:
    """``count`` snapshots of different shelves; each generation has other quantities and a later time."""
    records: list[Record] = [
        {
            "id": f"{generation}-{number}",
            "sku": f"SKU-{number % SKUS:05}",
            "location": f"W{number // SKUS:03}",
            "kind": "snapshot",
            "quantity": (number * 7 + generation * 13) % 997 + 1,
            "quality": "sellable",
            "as_of": f"2026-03-{generation % 28 + 1:02}T09:30:00+08:00",
        }
        for number in range(count)
    ]
    return Load(records, sum(record["quantity"] for record in records))


class Hub:
    """The hub as a process of its own, and what the benchmark needs to see of it."""

    def __init__(self, folder: Path, places: int) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self.settings = Settings(data_dir=folder, estate=folder / "estate.toml", log_level="WARNING")
        self.settings.estate.write_text(ESTATE)
        with build(self.settings) as hub:
            self.database_url = hub.database.url
            self._key = create_key(hub.database, owner=OWNER, brand=OWNER, name="bench", scopes=["ingest:shop"])
        self._url = str(self._start("serve", "--port", "0", "--no-work")["url"])
        self._start("worker")
        self._connection = psycopg.connect(self.database_url, autocommit=True)
        self._seed(places)

    def _start(self, *arguments: str) -> dict[str, Any]:
        """Start ``yipan`` with these arguments; what it says when it is ready."""
        environment = {
            **os.environ,
            "YIPAN_DATA_DIR": str(self.settings.data_dir),
            "YIPAN_ESTATE": str(self.settings.estate),
            "YIPAN_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-c", "from hub_api.cli import main; main()", *arguments, "--json"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        said: dict[str, Any] = json.loads(process.stdout.readline())
        return said

    def _seed(self, places: int) -> None:
        skus = [{"code": f"SKU-{n:05}", "spu": f"SPU-{n // 4}", "name": f"商品 {n}"} for n in range(SKUS)]
        kinds = [{"code": f"W{n:03}", "name": f"仓 {n}", "kind": "warehouse"} for n in range(places)]
        self.push("products", [orjson.dumps(skus)])
        self.push("locations", [orjson.dumps(kinds)])

    def push(self, stream: str, bodies: Sequence[bytes]) -> None:
        """Push the bodies, shared between CLIENTS connections, and wait until every message is applied."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(self._send, [stream] * CLIENTS, (bodies[n::CLIENTS] for n in range(CLIENTS))))
        deadline = time.monotonic() + TIMEOUT_S
        while self._one("SELECT count(*) FROM message WHERE state = 'received'"):
            assert time.monotonic() < deadline, "the hub did not apply every message"
            time.sleep(POLL_S)
        assert not self._one("SELECT count(*) FROM quarantine"), "a record was quarantined"

    def _send(self, stream: str, bodies: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        for body in bodies:
            connection.request("POST", f"/v1/ingest/shop/{stream}", body, headers)
            response = connection.getresponse()
            assert response.status == 202, response.read()
            response.read()
        connection.close()

    def total(self) -> int:
        """The sum of every figure that is visible."""
        return self._one("SELECT sum(on_hand) FROM stock_level")

    def forget(self) -> None:
        """Forget all stock and messages, so that the next load is a first one."""
        self._connection.execute("TRUNCATE stock_level, stock_movement, message, flow_run, flow_step, outbox, span")

    def settle(self) -> None:
        """Let PostgreSQL write out what earlier turns left behind, so that nobody pays for another."""
        self._connection.execute("CHECKPOINT")

    def _one(self, query: Any) -> int:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def stop(self) -> None:
        self._connection.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        embedded.stop(self.settings.data_dir / "postgres")


class CopyLimit:
    """The rows as COPY wants them, upserted into a table of stock_level's shape."""

    UPSERT = """
        INSERT INTO limit_level (owner, brand, sku_id, location_id, quality, on_hand, system, as_of, message_id)
        SELECT * FROM staged ORDER BY sku_id, location_id
        ON CONFLICT (owner, brand, sku_id, location_id, quality) DO UPDATE
        SET on_hand = excluded.on_hand, as_of = excluded.as_of, message_id = excluded.message_id,
            updated_at = excluded.updated_at
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)
        self._connection.execute("CREATE TABLE limit_level (LIKE stock_level INCLUDING ALL) WITH (fillfactor = 50)")
        self._connection.execute(
            "CREATE TEMP TABLE staged ON COMMIT DELETE ROWS AS SELECT owner, brand, sku_id, location_id, quality,"
            " on_hand, system, as_of, message_id FROM limit_level WITH NO DATA"
        )
        self._connection.commit()

    def load(self, batches: Sequence[Sequence[tuple[Any, ...]]]) -> None:
        """One transaction a batch, as durable as ours."""
        for rows in batches:
            with self._connection.cursor() as cursor:
                with cursor.copy("COPY staged FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
                cursor.execute(self.UPSERT)
            self._connection.commit()

    def total(self) -> int:
        """The sum of every figure."""
        row = self._connection.execute("SELECT sum(on_hand) FROM limit_level").fetchone()
        self._connection.rollback()
        return int(row[0]) if row else 0

    def forget(self) -> None:
        self._connection.execute("TRUNCATE limit_level")
        self._connection.commit()

    def stop(self) -> None:
        self._connection.close()


def mapped(load: Load) -> list[list[tuple[Any, ...]]]:
    """The load as COPY wants it, batch by batch: what ours has to find out."""
    return [
        [
            (
                OWNER,
                OWNER,
                int(record["sku"][4:]),
                int(record["location"][1:]),
                record["quality"],
                record["quantity"],
                "shop",
                record["as_of"],
                "message",
            )
            for record in batch
        ]
        for batch in load.batches
    ]


class Dlt:
    """dlt's merge of the same records by SKU and place."""

    def __init__(self, url: str, folder: Path) -> None:
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
        server = psycopg.conninfo.conninfo_to_dict(url)
        self._pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=str(folder),
            dataset_name="dlt_stock",
            destination=dlt.destinations.postgres(
                f"postgresql://{server['user']}:unused@localhost/{server['dbname']}?host={server['host']}"
            ),
        )
        self._url = url

    def load(self, bodies: Sequence[bytes]) -> None:
        @dlt.resource(name="stock", write_disposition="merge", primary_key=("sku", "location"))
        def records() -> Iterator[list[Record]]:
            for body in bodies:
                yield orjson.loads(body)

        with contextlib.redirect_stdout(io.StringIO()):
            self._pipeline.run(records())

    def total(self) -> int:
        """The sum of every figure."""
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SELECT sum(quantity) FROM dlt_stock.stock").fetchone()
        return int(row[0]) if row else 0

    def forget(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS dlt_stock CASCADE")
        self._pipeline.drop()


class Contender(Protocol):
    """Something that loads every level twice: first anew, then changed."""

    def forget(self) -> None: ...

    def total(self) -> int: ...


def timed(contender: Contender, load: Callable[[], None], expected: Load) -> float:
    """Records a second, once it is proven that every one of them counts."""
    started = time.perf_counter()
    load()
    rate = len(expected.records) / (time.perf_counter() - started)
    assert contender.total() == expected.total, f"{type(contender).__name__} lost or doubled a record"
    return rate


def run_ours(hub: Hub, loads: Mapping[str, Load]) -> dict[str, float]:
    """Both loads through the door."""
    hub.forget()
    return {name: timed(hub, partial(hub.push, "stock", load.bodies), load) for name, load in loads.items()}


def run_limit(limit: CopyLimit, loads: Mapping[str, Load]) -> dict[str, float]:
    """Both loads by COPY and upsert."""
    limit.forget()
    rows = {name: mapped(load) for name, load in loads.items()}
    return {name: timed(limit, partial(limit.load, rows[name]), load) for name, load in loads.items()}


def run_dlt(peer: Dlt, loads: Mapping[str, Load]) -> dict[str, float]:
    """Both loads by dlt's merge."""
    peer.forget()
    return {name: timed(peer, partial(peer.load, load.bodies), load) for name, load in loads.items()}


def measure(quick: bool) -> harness.Report:
    """Rounds of both loads by every contender, the order turning, so that a drifting machine drifts for all.

    A short round before them is not counted: it fills caches and compiles plans, for all alike.
    """
    count, rounds = (50_000, 1) if quick else (200_000, 3)
    logging.getLogger("dlt").setLevel(logging.CRITICAL)
    rates: dict[str, dict[str, list[float]]] = {load: {} for load in LOADS}
    with tempfile.TemporaryDirectory(prefix="yipan-bench-") as name, contextlib.ExitStack() as started:
        folder = Path(name)
        folder.chmod(0o755)
        hub = Hub(folder, places=count // SKUS)
        started.callback(hub.stop)
        limit = CopyLimit(hub.database_url)
        started.callback(limit.stop)
        peer = Dlt(hub.database_url, folder / "dlt")
        for round_ in range(-1, rounds):
            size = count if round_ >= 0 else WARM_UP
            loads = dict(zip(LOADS, (make_load(size, 2 * round_ + 2), make_load(size, 2 * round_ + 3)), strict=True))
            contenders = [
                ("ours", partial(run_ours, hub, loads)),
                ("copy_limit", partial(run_limit, limit, loads)),
                ("dlt", partial(run_dlt, peer, loads)),
            ]
            for contender, run in contenders[round_:] + contenders[:round_]:
                hub.settle()
                for load, rate in run().items():
                    if round_ >= 0:
                        rates[load].setdefault(contender, []).append(rate)
    return _report(rates)


def _report(rates: dict[str, dict[str, list[float]]]) -> harness.Report:
    report = harness.Report(packages=("dlt", "psycopg"))
    for load in LOADS:
        part = harness.Report()
        part.compare("ours", rates[load], f"{load}_records_per_s")
        report.figures |= part.figures
        report.figures |= {f"{peer}_{load}_ratio": ratio for peer, ratio in part.ratios.items()}
        for peer, ratio in part.ratios.items():
            report.ratios[peer] = min(ratio, report.ratios.get(peer, ratio))
    return report


if __name__ == "__main__":
    harness.main(__doc__, measure)
