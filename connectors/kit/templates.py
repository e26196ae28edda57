"""What a new connector starts from: a system that pushes stock counts as JSON. ``$name`` is its name."""

from collections.abc import Mapping
from typing import Final

MANIFEST: Final = """\
system = "$name"
title = "$title"
maintainer = "TODO: who answers for it"
versions = ["1"]
protocols = ["REST JSON over HTTP, API key"]

[limits]
body_bytes = 4_194_304
records = 5_000
depth = 10

[[streams]]
name = "stock"
entity = "stock"
mapping = "stock_in"
schema = "stock.json"
key = "join(':', [place, item])"
records = "rows"
message_key = "id"
contract = "ignore_extra"

[streams.stock]
figure = "on_hand"
proof = "as_of"
clock_skew_s = 60

# docs/connectors.md explains each rule. A connector is finished when every line says "done" or "exempt: why".
[quality]
readme = "todo"
schemas = "todo"
mapping_examples = "todo"
message_identity = "todo"
stock_meaning = "todo"
personal_data = "todo"
paging = "todo"
idempotent_writes = "todo"
lost_answers = "todo"
signed_pushes = "todo"
simulator = "todo"
books = "todo"
"""

SCHEMA: Final = """\
{
  "$$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "stock count",
  "type": "object",
  "required": ["place", "item", "count", "counted_at"],
  "properties": {
    "place": {"type": "string", "minLength": 1, "maxLength": 50},
    "item": {"type": "string", "minLength": 1, "maxLength": 50},
    "count": {"type": ["integer", "number", "string"]},
    "counted_at": {"type": "string", "minLength": 1, "maxLength": 40}
  }
}
"""

MAPPING: Final = """\
version = "1"
direction = "in"
entity = "stock"

[source]
id = "join(':', [place, item])"
occurred_at = { from = "counted_at", with = "local_time" }

[fields]
sku = { from = "item", required = true }
location = { from = "place", required = true }
kind = { const = "snapshot" }
quantity = { from = "count", with = "whole_quantity", required = true }
as_of = { from = "counted_at", with = "local_time", required = true }

[[examples]]
name = "a count"
in = '''{"place": "P1", "item": "0012", "count": 7, "counted_at": "2026-11-03 09:30:00"}'''
out = '''
{"sku": "0012", "location": "P1", "kind": "snapshot", "quantity": 7, "as_of": "2026-11-03T09:30:00+08:00",
 "source": {"id": "P1:0012", "occurred_at": "2026-11-03T09:30:00+08:00"}}'''

[[examples]]
name = "a negative count"
in = '''{"place": "P1", "item": "0012", "count": -1, "counted_at": "2026-11-03 09:30:00"}'''
issues = ["quantity.negative"]
"""

SIMULATOR: Final = '''\
"""A $title that pushes stock counts, with controls under ``/_``."""

from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, Push, api_key_dress
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS report (id INTEGER PRIMARY KEY, body TEXT NOT NULL);"


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults)
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))

    async def report(request: Request) -> Response:
        """Push these rows as one message."""
        rows = orjson.loads(await request.body())
        with books.transaction() as db:
            number = db.execute("INSERT INTO report (body) VALUES (?)", (orjson.dumps(rows).decode(),)).lastrowid
            body = orjson.dumps({"id": f"R{number}", "rows": rows})
            hub.queue(db, Push("stock", f"R{number}", body, "application/json"))
        return json_response({"id": f"R{number}"}, 202)

    async def reports(_: Request) -> Response:
        return json_response(books.rows("SELECT id, body FROM report ORDER BY id"))

    routes = [Route("/_report", report, methods=["POST"]), Route("/reports", reports)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


if __name__ == "__main__":
    started = parse_options("$name", {})
    serve(build(started), started.system, started.port)
'''

README: Final = """\
# $title

TODO: what the system is, and who runs it.

## Access
Make an API key at the hub for this system and give it to the vendor with `https://HUB/v1/ingest/$name/stock`.
They send it as `Authorization: Bearer`, with an `Idempotency-Key` that stays the same on every try.

## Quirks
TODO: what is odd about it: clocks, units, codes, paging, limits.

## Simulator
`python -m connectors.$name.simulator --data $name.db --hub URL --key API_KEY`; `POST /_report [rows]` pushes counts.
"""

TEST: Final = '''\
"""The $title connector against its simulator, by the suite that every connector inherits."""

from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class Test$camel(ConnectorConformance):
    connector = "$name"

    def prepare(self, live: LiveSystem) -> None:
        row = {"place": "P1", "item": "0012", "count": 7, "counted_at": "2026-11-03 09:30:00"}
        live.control("POST", "/_report", [row])
'''

FILES: Final[Mapping[str, str]] = {
    "connectors/$name/__init__.py": '"""$title."""\n',
    "connectors/$name/manifest.toml": MANIFEST,
    "connectors/$name/schemas/stock.json": SCHEMA,
    "connectors/$name/simulator.py": SIMULATOR,
    "connectors/$name/README.md": README,
    "mappings/$name/__init__.py": '"""What $title says, in our words."""\n',
    "mappings/$name/stock_in.toml": MAPPING,
    "tests/connectors/$name/test_conformance.py": TEST,
}
