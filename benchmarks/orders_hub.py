"""The hub of the orders benchmark: as processes of its own on an embedded PostgreSQL, with places and stock."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
from psycopg.rows import dict_row

from benchmarks import orders_load
from benchmarks.orders_load import Sent
from benchmarks.routing_data import FREIGHT, Basket, Pool
from flows.one_stock.rulebooks import publish_rulebook
from flows.runtime import embedded
from flows.runtime.bootstrap import POSTGRES_FOLDER, build
from flows.runtime.settings import Settings
from hub_api.auth import create_key

OWNER = "bench"
PLENTY = 200
WORKERS = 2
RECORDS = 5_000
POLL_S = 0.02
TIMEOUT_S = 300.0
RULES = FREIGHT + "release_after_s = 86400\n"
ESTATE = f"""
owner = "{OWNER}"
brand = "{OWNER}"

[systems.shop]
connector = "hub"

[[authority]]
kind = "warehouse"
system = "shop"
fulfilled_by = "shop"
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """How many orders a second until all were held, and how long each took, in milliseconds."""

    per_s: float
    answer_ms: list[float]
    held_ms: list[float]


class OrdersHub:
    """A door and a worker on a database of their own; ``stop`` ends them."""

    def __init__(self, folder: Path, database: str, pool: Pool, skus: Sequence[int]) -> None:
        url = embedded.start(folder / POSTGRES_FOLDER, database)
        master_key = folder / "master.key"
        self._environment = {
            "YIPAN_DATA_DIR": str(folder),
            "YIPAN_ESTATE": str(folder / "estate.toml"),
            "YIPAN_DATABASE_URL": url,
            "YIPAN_MASTER_KEY": f"file:{master_key}",
            "YIPAN_LOG_LEVEL": "WARNING",
        }
        self._postmaster = int((folder / POSTGRES_FOLDER / "postmaster.pid").read_text().split()[0])
        (folder / "estate.toml").write_text(ESTATE)
        if not master_key.exists():
            master_key.write_text("eWlwYW4gYmVuY2htYXJrIG9ubHk6IDMyIGJ5dGVzISE=")
        settings = Settings(
            data_dir=folder,
            estate=folder / "estate.toml",
            database_url=url,
            master_key=f"file:{master_key}",
            log_level="WARNING",
        )
        with build(settings) as hub:
            scopes = ["orders:write", "channel:shop", "ingest:shop"]
            self._key = create_key(hub.database, owner=OWNER, brand=OWNER, name="bench", scopes=scopes)
            with hub.database.unit() as uow:
                publish_rulebook(uow, OWNER, OWNER, RULES, "benchmark", "bench")
                uow.commit()
        self.connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self._processes: list[subprocess.Popen[str]] = []
        place = urlsplit(str(self._start("serve", "--port", "0", "--no-work")["url"]))
        self._address = (str(place.hostname), int(place.port or 0))
        for _ in range(WORKERS):
            self._start("worker")
        self._seed(pool, skus)

    def _start(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-c", "from hub_api.cli import main; main()", *arguments, "--json"]
        process = subprocess.Popen(command, env={**os.environ, **self._environment}, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        said: dict[str, Any] = json.loads(process.stdout.readline())
        return said

    def stop(self) -> None:
        self.connection.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds that the door, the workers and PostgreSQL have used so far."""
        door, *workers = [process.pid for process in self._processes]
        return {
            "door": _cpu_s([door]),
            "workers": _cpu_s(workers),
            "postgres": _cpu_s(_children_of(self._postmaster)),
        }

    def push(
        self, orders: Sequence[Mapping[str, Any]], *, size: int, clients: int, per_s: float | None = None
    ) -> Timed:
        """Send the orders, ``size`` a request, and wait until every one is held in full."""
        bodies = [orjson.dumps(orders[n : n + size] if size > 1 else orders[n]) for n in range(0, len(orders), size)]
        requests = [orders_load.post("/v1/orders", self._key, body) for body in bodies]
        before = self.held()
        started = time.time()
        sent = orders_load.push(self._address, requests, clients, per_s)
        assert {each.status for each in sent} == {202}, "an order was turned away"
        deadline = time.monotonic() + TIMEOUT_S
        while self._is_busy() or (held := self.held() - before) < len(orders):
            assert time.monotonic() < deadline, f"of {len(orders)} orders not all were held"
            time.sleep(POLL_S)
        assert held == len(orders), "more was held than was sent"
        rate = len(orders) / (time.time() - started)
        held_at = self._held_at([order["order_no"] for order in orders])
        begun = {order["order_no"]: each for each in sent for order in orders[each.number * size :][:size]}
        return Timed(rate, _answer_ms(sent), [(held_at[no] - each.sent_at) * 1e3 for no, each in begun.items()])

    def _is_busy(self) -> bool:
        """Whether a run is due or under way; asks two small indexes, so that looking costs nothing."""
        busy = "SELECT EXISTS (SELECT FROM flow_run WHERE state = 'ready' AND wake_at <= now()) OR EXISTS (SELECT FROM"
        row = self.connection.execute(busy + " flow_run WHERE state = 'running') AS busy").fetchone()
        return row is not None and bool(row["busy"])

    def held(self) -> int:
        """How many orders are held."""
        row = self.connection.execute("SELECT count(*) AS n FROM sales_order WHERE status = 'allocated'").fetchone()
        assert row is not None
        return int(row["n"])

    def settle(self) -> None:
        """Let PostgreSQL write out what earlier turns left behind, so that nobody pays for another."""
        self.connection.execute("CHECKPOINT")

    def _held_at(self, numbers: Sequence[str]) -> dict[str, float]:
        """When each order's reservation was committed, but for the commit itself."""
        rows = self.connection.execute(
            "SELECT o.order_no, extract(epoch FROM min(s.ended_at))::float8 AS at FROM sales_order o"
            " JOIN flow_run r ON r.flow = 'one_stock.fulfil_order' AND r.business_key = o.id::text"
            " JOIN flow_step s ON s.run_id = r.id AND s.step = 'reserve' AND s.outcome = 'done'"
            " WHERE o.order_no = ANY(%s) GROUP BY o.order_no",
            (list(numbers),),
        )
        return {row["order_no"]: row["at"] for row in rows}

    def _seed(self, pool: Pool, skus: Sequence[int]) -> None:
        products = [{"code": sku_code(sku), "spu": sku_code(sku), "name": f"商品 {sku}"} for sku in skus]
        places = [
            {
                "code": place_code(node.id),
                "name": place_code(node.id),
                "kind": "warehouse",
                "services": ["ship"],
                "point": {"lat": node.lat, "lon": node.lon},
            }
            for node in pool.nodes
        ]
        known = set(skus)
        stock = [
            {
                "id": f"{place_code(place)}/{sku}",
                "sku": sku_code(sku),
                "location": place_code(place),
                "kind": "snapshot",
                "quantity": units * PLENTY,
                "as_of": "2026-03-01T09:30:00+08:00",
            }
            for place, held in pool.stock.items()
            for sku, units in held.items()
            if sku in known
        ]
        for stream, records in (("products", products), ("locations", places), ("stock", stock)):
            self._ingest(stream, records)
        self.connection.execute("VACUUM ANALYZE")

    def _ingest(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        bodies = [orjson.dumps(records[n : n + RECORDS]) for n in range(0, len(records), RECORDS)]
        requests = [orders_load.post(f"/v1/ingest/shop/{stream}", self._key, body) for body in bodies]
        assert {sent.status for sent in orders_load.push(self._address, requests, 1)} == {202}
        deadline = time.monotonic() + TIMEOUT_S
        waiting = "SELECT 1 FROM message WHERE state = 'received' LIMIT 1"
        while self.connection.execute(waiting).fetchone():
            assert time.monotonic() < deadline, "the hub did not apply every message"
            time.sleep(POLL_S)
        bad = self.connection.execute("SELECT issues FROM quarantine LIMIT 1").fetchone()
        assert bad is None, bad


def make_order(number: str, basket: Basket) -> dict[str, Any]:
    """The basket as a channel sends it."""
    lines = [
        {"line_no": n, "sku": sku_code(sku), "quantity": units, "amount_minor": 100 * units}
        for n, (sku, units) in enumerate(basket.wanted.items(), 1)
    ]
    total = 100 * sum(basket.wanted.values())
    return {
        "channel": "shop",
        "order_no": number,
        "seller": OWNER,
        "placed_at": basket.placed_at.replace(tzinfo=UTC).isoformat(),
        "lines": lines,
        "goods_minor": total,
        "total_minor": total,
        "receiver": {
            "name": "陈一",
            "mobile": f"138{hash(number) % 10**8:08}",
            "city": "杭州市",
            "street": "文三路 90 号",
            "point": {"lat": basket.lat, "lon": basket.lon},
        },
    }


def sku_code(sku: int) -> str:
    """How the shop calls a SKU."""
    return f"SKU-{sku:05}"


def place_code(node: int) -> str:
    """How the shop calls a place."""
    return f"W{node:04}"


def _children_of(parent: int) -> list[int]:
    return [pid for pid in _processes() if int(_fields(pid)[1]) == parent]


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]


def _cpu_s(processes: Sequence[int]) -> float:
    used = [_fields(pid)[11:13] for pid in processes]
    return sum(int(user) + int(system) for user, system in used) / os.sysconf("SC_CLK_TCK")


def _fields(process: int) -> list[str]:
    """What the kernel says of a process, after its name; zeros if it has just ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ["0"] * 20


def _answer_ms(sent: Sequence[Sent]) -> list[float]:
    return [(each.answered_at - each.sent_at) * 1e3 for each in sent]
