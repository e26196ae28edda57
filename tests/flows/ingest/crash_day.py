"""A day of messages in a process of its own, which may be told to die after one of its commits.

Prints how many commits it made. Sending again what was sent before is what every legacy system does after a crash.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from canonical_model.ports import Page
from flows.ingest.pull import pull
from flows.runtime.bootstrap import Hub, build
from tests.flows.desk import Desk, count, make_settings, order, place, product

SOON = "2026-03-01T12:30:00+08:00"
LATER = "2026-03-01T13:00:00+08:00"


class Shelves:
    """A pulled stream of two pages."""

    def pages(self, cursor: str | None) -> Iterator[Page]:
        if cursor is None:
            yield Page([count("TEE", "W1", 7, as_of=LATER)], "1")
        yield Page([count("NUT", "W1", 8, as_of=LATER)], None)


def day(desk: Desk) -> None:
    """Stock before its product, an order, a return before its order, changes, a pull."""
    desk.send("stock", count("TEE", "W1", 5), count("NUT", "W1", -1), idempotency_key="stock")
    desk.send("products", product("TEE"), product("NUT"), idempotency_key="products")
    desk.send("locations", place("W1"), idempotency_key="places")
    back = order("R1", "TEE", kind="return", returns_order_no="A1")
    desk.send("orders", back, idempotency_key="return")
    desk.send("orders", order("A1", "TEE", "NUT"), idempotency_key="order")
    finish(desk)
    desk.send("stock", count("TEE", "W1", 2, id="d1", kind="delta", as_of=SOON), idempotency_key="change")
    finish(desk)
    if not desk.rows("SELECT 1 AS pulled FROM stream_cursor WHERE cursor IS NULL AND updated_at > 'epoch'"):
        pull_stock(desk)
    finish(desk)


def pull_stock(desk: Desk) -> None:
    connector = desk.hub.estate.connector("shop")
    streams = tuple(
        spec.model_copy(update={"direction": "pull"}) if spec.name == "stock" else spec
        for spec in connector.manifest.streams
    )
    pulled: Any = replace(
        connector, manifest=connector.manifest.model_copy(update={"streams": streams}), readers={"stock": Shelves()}
    )
    connectors: Any = desk.hub.estate.connectors
    connectors["shop"] = pulled
    desk.hub.database.run("UPDATE stream_cursor SET pulling_until = now()")
    report = pull(desk.hub, "shop", "stock")
    assert report.error is None, report.error
    connectors["shop"] = connector


def finish(desk: Desk) -> None:
    """Carry on until every run of ingest is done, also those whose worker died."""
    deadline = time.monotonic() + 30
    while desk.one("SELECT count(*) FROM flow_run WHERE lane = 'ingest' AND state IN ('ready', 'running')"):
        assert time.monotonic() < deadline, desk.rows("SELECT flow, business_key, state, error FROM flow_run")
        desk.hub.runner.sweep()
        if not desk.hub.runner.work("ingest"):
            time.sleep(0.05)


def die_after(hub: Hub, commit: int | None) -> list[int]:
    """Count the commits from now on; at ``commit`` the process kills itself."""
    commits = [0]

    def tick() -> None:
        commits[0] += 1
        if commits[0] == commit:
            os.kill(os.getpid(), signal.SIGKILL)

    hub.database.on_commit = tick
    return commits


def main() -> None:
    """``crash_day FOLDER DATABASE_URL [COMMIT]``."""
    folder, database_url, *commit = sys.argv[1:]
    settings = make_settings(Path(folder), database_url).model_copy(update={"lease_s": 1.0})
    with build(settings) as hub:
        commits = die_after(hub, int(commit[0]) if commit else None)
        day(Desk(hub))
        print(json.dumps(commits[0]))


if __name__ == "__main__":
    main()
