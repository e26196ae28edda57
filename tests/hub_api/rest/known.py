"""A hub that knows one of everything, served, and how an address finds each: for tests that walk the whole API."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from flows.runtime.bootstrap import Hub, build
from flows.runtime.settings import Settings
from flows.testing.databases import TEMPLATE, clone, drop
from hub_api.auth import create_key
from hub_api.rest.app import create_app
from tests.hub_api.conftest import BRAND, OWNER, write_estate
from tests.hub_api.documents import order, place, product
from tests.hub_api.points_world import MERGE, earn, member, publish

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
BAD_ROWS: Final = 8
MOMENT: Final = "2026-03-01T09:30:00+08:00"
PARKED: Final = """
UPDATE flow_run SET state = 'parked', position = 1, results = '{"reserve": {}}',
    error = '{"code": "test.stopped", "detail": "say go on"}' WHERE flow = 'one_stock.fulfil_order' RETURNING id
"""
REOPENED: Final = "UPDATE quarantine SET state = 'open', closed_at = NULL RETURNING id"
IN_DOUBT: Final = "UPDATE effect SET state = 'in_doubt', settled_at = NULL RETURNING id"
ALLOWED: Final = "DELETE FROM unmasking RETURNING 1"
RELAYED: Final = "DELETE FROM outbox RETURNING 1"
UNRULED: Final = "DELETE FROM rulebook WHERE kind = 'routing' RETURNING 1"
KEPT_AGAIN: Final = "UPDATE checkout SET state = 'active', ended_at = NULL RETURNING id"
SHIPS: Final = "UPDATE location SET fulfilled_by = 'wms' RETURNING id"
HOLD: Final[dict[str, Any]] = {
    "order_no": "M1001",
    "lines": [{"line_no": 1, "sku": "TEE-RED-M", "quantity": 1}],
    "receiver": {"region_code": "330106"},
}
LEVEL: Final = """
INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, held, safety, system, message_id)
SELECT s.owner, s.brand, s.id, l.id, 'sellable', 10, 3, 2, 'pos', 'm' FROM sku s, location l
"""
STEP: Final = """
INSERT INTO flow_step (run_id, step, attempt, outcome, error, started_at)
VALUES (%s, 'dispatch', 1, 'failed', '{"code": "test.stopped"}', clock_timestamp())
"""
EFFECT: Final = """
INSERT INTO effect (owner, brand, run_id, step, system, writer, key, state)
VALUES (%s, %s, %s, 'dispatch', 'wms', 'delivery_order', 'k', 'in_doubt') RETURNING id
"""
SPAN: Final = """
INSERT INTO span (trace_id, span_id, name, kind, status, started_at, ended_at, attributes)
VALUES (%s, '00f067aa0ba902b7', 'a step', 'internal', 'ok', clock_timestamp(), clock_timestamp(), '{}')
"""


@dataclass(frozen=True, slots=True)
class KnownHub:
    """``url``: where it answers. ``key`` opens all of it as a shop, ``desk_key`` as a desk, ``little_key`` nothing.

    ``parts``: what the names in addresses may be.
    """

    hub: Hub
    url: str
    key: str
    desk_key: str
    little_key: str
    parts: dict[str, Any]

    def restore(self) -> None:
        """Let what waits for a person wait again, whatever was done about it, and nothing wait for a worker."""
        for statement in (REOPENED, PARKED, IN_DOUBT, ALLOWED, RELAYED, UNRULED, KEPT_AGAIN):
            self.hub.database.run(statement)


@contextmanager
def known_hub(folder: Path, admin_url: str) -> Iterator[KnownHub]:
    """Such a hub over a database of its own; nothing carries runs on."""
    name = f"yipan_known_{os.getpid()}"
    settings = Settings(
        data_dir=folder,
        database_url=SecretStr(clone(admin_url, name, f"{TEMPLATE}_{os.getpid()}")),
        estate=write_estate(folder),
        max_body_bytes=2_000_000,
        wait_s=20,
    )
    with build(settings) as hub, served(create_app(hub)) as url:
        key, desk, little = _make_key(hub, "*", "channel:shop"), _make_key(hub, "*"), _make_key(hub, "ingest:nothing")
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
        ) as all_:
            parts = fill(hub, all_, desk)
        yield KnownHub(hub, url, key, desk, little, parts)
    drop(admin_url, name)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Where the application answers, from this process."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, http="h11", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def fill(hub: Hub, channel: httpx.Client, desk_key: str) -> dict[str, Any]:
    """Let one of everything come in, or happen; the names in addresses by which it is found."""
    as_desk = {"Authorization": f"Bearer {desk_key}"}
    for stream, records in _master_data().items():
        channel.post(f"/v1/ingest/hub/{stream}?wait=true", json=records).raise_for_status()
    sent = channel.post("/v1/orders?wait=true", json=order()).raise_for_status().json()
    channel.post("/v1/ingest/hub/products?wait=true", json=_bad_products()).raise_for_status()
    hub.database.run(LEVEL)
    hub.database.run(SHIPS)
    channel.post("/v1/holds", json=HOLD).raise_for_status()
    hub.database.run(SPAN, (TRACE_ID,))
    publish(hub)
    (transfer_id,) = earn(channel, "hub:C1", "S1")["transfers"]
    merged = channel.post("/v1/points/merges", json=MERGE, headers=as_desk).raise_for_status().json()
    (run,) = hub.database.run(PARKED)
    hub.database.run(STEP, (run["id"],))
    (effect,) = hub.database.run(EFFECT, (OWNER, BRAND, run["id"]))
    return {
        "order_id": _newest(hub, "sales_order"),
        "channel": "shop",
        "order_no": "M1001",
        "member_id": _newest(hub, "member"),
        "member": "hub:C1",
        "transfer_id": transfer_id,
        "merge_id": merged["merge_id"],
        "message_id": sent["message_id"],
        "row_id": _newest(hub, "quarantine"),
        "run_id": run["id"],
        "effect_id": effect["id"],
        "trace_id": TRACE_ID,
        "system": "hub",
        "stream": "products",
        "name": "wms",
        "kind": "order",
        "story_id": str(_newest(hub, "sales_order")),
    }


def _make_key(hub: Hub, *scopes: str) -> str:
    return create_key(hub.database, owner=OWNER, brand=BRAND, name="test", scopes=scopes)


def _master_data() -> dict[str, list[dict[str, Any]]]:
    who = {"id": "m-1", "code": "C1", "name": "欧阳小一", "mobile": "13812345678", "occurred_at": MOMENT}
    entry = {"id": "P1", "member": "C1", "programme": "stars", "points": 100, "happened_at": MOMENT}
    return {"products": [product()], "locations": [place()], "members": [who, member("C2")], "points": [entry]}


def _bad_products() -> list[dict[str, Any]]:
    return [product(f"BAD-{number}", base_unit="parsec") for number in range(BAD_ROWS)]


def _newest(hub: Hub, table: str) -> int:
    (row,) = hub.database.run(f"SELECT max(id) AS id FROM {table}")
    return int(row["id"])
