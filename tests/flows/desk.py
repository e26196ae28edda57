"""A desk at a hub: sends messages and looks at what became of them. A shop, another shop, a till, a warehouse."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from flows.ingest.messages import record_results
from flows.runtime.bootstrap import Hub
from flows.runtime.inbox import Incoming, Received, receive
from flows.runtime.settings import Settings

ESTATE = """
owner = "yunshang"
brand = "yunshang"

[systems.shop]
connector = "hub"

[systems.other_shop]
connector = "hub"

[systems.wms]
connector = "wms"
settings = { base_url = "http://127.0.0.1:9", customer_id = "yunshang" }
secrets = { app_secret = "file:SECRET" }

[systems.pos]
connector = "pos"
settings = { base_url = "http://127.0.0.1:9" }
secrets = { access_token = "file:SECRET" }

[[authority]]
kind = "warehouse"
system = "shop"
fulfilled_by = "wms"

[[authority]]
kind = "store"
system = "pos"
"""

NOON = "2026-03-01T12:00:00+08:00"


def product(code: str, **fields: Any) -> dict[str, Any]:
    return {"code": code, "spu": code, "name": f"商品 {code}", **fields}


def place(code: str, **fields: Any) -> dict[str, Any]:
    return {"code": code, "name": code, "kind": "warehouse", "region_code": "330100", "services": ["ship"], **fields}


def count(sku: str, location: str, quantity: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{sku}/{location}",
        "sku": sku,
        "location": location,
        "kind": "snapshot",
        "quantity": quantity,
        "as_of": NOON,
        **fields,
    }


def order(number: str, *skus: str, channel: str = "shop", **fields: Any) -> dict[str, Any]:
    lines = [{"line_no": n, "sku": sku, "quantity": 1, "amount_minor": 1000} for n, sku in enumerate(skus, start=1)]
    return {
        "channel": channel,
        "order_no": number,
        "seller": "yunshang",
        "placed_at": NOON,
        "lines": lines,
        "goods_minor": 1000 * len(lines),
        "total_minor": 1000 * len(lines),
        "receiver": {"name": "陈一", "mobile": "13800000000", "city": "杭州市", "region_code": "330106"},
        **fields,
    }


@dataclass(frozen=True)
class Desk:
    """Sends messages to the hub and tells what became of them."""

    hub: Hub

    def send(self, stream: str, *records: Any, system: str = "shop", **options: Any) -> Received:
        """Store the records as one message, without applying it."""
        return self.send_body(json.dumps(list(records)).encode(), stream, system=system, **options)

    def send_body(self, body: bytes, stream: str, *, system: str = "shop", **options: Any) -> Received:
        incoming = Incoming(
            system,
            stream,
            body,
            options.pop("media_type", "application/json"),
            options.pop("received_at", datetime.now(UTC)),
            **options,
        )
        with self.hub.database.unit() as uow:
            received = receive(uow, incoming)
            uow.commit()
        return received

    def apply(self, received: Received) -> list[dict[str, Any]]:
        """Carry the message's run out, then everything it set off in ingest; the result of each record."""
        self.hub.runner.run_now(received.run_id)
        self.work()
        return self.results(received)

    def results(self, received: Received) -> list[dict[str, Any]]:
        with self.hub.database.unit() as uow:
            return record_results(uow, received.message_id)

    def work(self) -> None:
        """Carry on whatever is ready in the lane of ingest."""
        while self.hub.runner.work("ingest"):
            pass

    def push(self, stream: str, *records: Any, **options: Any) -> list[dict[str, Any]]:
        """Send and apply."""
        return self.apply(self.send(stream, *records, **options))

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return [dict(row) for row in self.hub.database.run(query, parameters)]

    def one(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """The only value of the only row."""
        (row,) = self.rows(query, parameters)
        (value,) = row.values()
        return value

    def message(self, received: Received) -> dict[str, Any]:
        (row,) = self.rows(
            "SELECT state, records, accepted, quarantined, ignored, error FROM message WHERE id = %s",
            (received.message_id,),
        )
        return row


def make_settings(folder: Path, database_url: str) -> Settings:
    (folder / "secret").write_text("a secret")
    (folder / "master.key").write_bytes(base64.b64encode(bytes(range(32))))
    (folder / "estate.toml").write_text(ESTATE.replace("SECRET", str(folder / "secret")))
    return Settings(
        data_dir=folder,
        database_url=SecretStr(database_url),
        database_pool=8,
        estate=folder / "estate.toml",
        master_key=f"file:{folder / 'master.key'}",
    )


def stock_up(desk: Desk) -> Desk:
    """Make the hub know two SKUs and one warehouse."""
    assert statuses(desk.push("products", product("TEE"), product("NUT", base_unit="PA"))) == ["accepted"] * 2
    assert statuses(desk.push("locations", place("W1"))) == ["accepted"]
    return desk


def statuses(results: list[dict[str, Any]]) -> list[str]:
    return [result["status"] for result in results]


def codes(result: dict[str, Any]) -> list[str]:
    return sorted(issue["code"] for issue in result["issues"])
