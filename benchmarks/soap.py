"""SOAP items a second: our parser beside spyne's, and the durable door beside our own parser.

The payload is one PushStock of 2,000 items with Chinese text. `spyne`: parse, validate and render the answer of 2,000
results, in process, both with lxml's schema validation of the same facets; spyne runs its own server stages without
HTTP. `own_parse`: two systems push by HTTP into `yipan serve`, a process for each, on an embedded PostgreSQL, and wait
until every item is stored, applied to its shelf and answered one by one; beside parsing and validating alone, on one
thread. `own_parse_one_process`: the same two systems share one process.
"""

import contextlib
import http.client
import importlib
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks import harness
from flows.runtime import embedded
from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from hub_api.auth import create_key
from hub_api.soap.answers import render_answer
from hub_api.soap.envelope import SOAP_11, read_envelope
from hub_api.soap.records import NAMESPACE, OPERATIONS, VALIDATOR

ITEMS = 2_000
SKUS = 1_000
CLIENTS = 2
TIMEOUT_S = 120.0
OWNER = "bench"
MEDIA_TYPE = "text/xml; charset=utf-8"
ESTATE = f"""
owner = "{OWNER}"
brand = "{OWNER}"
""" + "".join(
    f"""
[systems.wms{client}]
connector = "hub"

[[authority]]
kind = "warehouse"
codes = ["W{client}0", "W{client}1"]
system = "wms{client}"
"""
    for client in range(CLIENTS)
)


def _template() -> bytes:
    items = "".join(
        f"<item><id>@M@-{n}</id><sku>羊绒衫🧶-{n % SKUS:05}</sku><location>W@C@{n // SKUS}</location>"
        f"<kind>snapshot</kind><quantity>{n % 9 + 1}@Q@</quantity><quality>sellable</quality><asOf>@T@</asOf>"
        "<sequence>@M@</sequence></item>"
        for n in range(ITEMS)
    )
    operation = f'<PushStock xmlns="{NAMESPACE}"><messageId>@M@</messageId>{items}</PushStock>'
    return f'<s:Envelope xmlns:s="{SOAP_11}"><s:Body>{operation}</s:Body></s:Envelope>'.encode()


TEMPLATE = _template()


def make_body(message: int) -> bytes:
    """One message of ITEMS snapshots. Each counts differently, at a later time; each client has its own shelves."""
    moment = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=message)
    values = {"M": str(message), "C": str(message % CLIENTS), "Q": f"{message % 1_000:03}", "T": moment.isoformat()}
    body = TEMPLATE
    for mark, value in values.items():
        body = body.replace(f"@{mark}@".encode(), value.encode())
    return body


def parse(body: bytes) -> list[dict[str, Any]]:
    """Our parse: envelope, schema, records."""
    content = read_envelope(body, MEDIA_TYPE).content
    assert not VALIDATOR.violations(content)
    return OPERATIONS["PushStock"].read_items(content)


def parse_and_render(body: bytes) -> bytes:
    """Our parse, and the answer that every item was accepted."""
    records = parse(body)
    results = [{"position": n, "status": "accepted", "source_id": r["id"], "issues": []} for n, r in enumerate(records)]
    counts = {"records": len(records), "accepted": len(records), "quarantined": 0, "ignored": 0}
    document = {"message_id": "msg_1", "state": "applied", **counts, "results": results}
    return render_answer(OPERATIONS["PushStock"], SOAP_11, "1", document)


def spyne_server() -> Callable[[bytes], bytes]:
    """The same operation as spyne's documentation writes it, validated by lxml."""
    warnings.filterwarnings("ignore", module="spyne")
    spyne: Any = importlib.import_module("spyne")
    soap: Any = importlib.import_module("spyne.protocol.soap").Soap11
    server_base: Any = importlib.import_module("spyne.server").ServerBase
    Integer32, Unicode = spyne.Integer32, spyne.Unicode  # noqa: N806 - spyne's own names

    code = Unicode(min_len=1, max_len=120, min_occurs=1)
    maybe = Unicode(min_len=1, max_len=120)
    tns = {"__namespace__": NAMESPACE}
    stock: Any = type("Stock", (spyne.ComplexModel,), tns | {"_type_info": [
        ("id", code), ("sku", code), ("location", code),
        ("kind", Unicode(values=["snapshot", "delta"], min_occurs=1)),
        ("quantity", spyne.Integer(ge=-(10**12), le=10**12, min_occurs=1)),
        ("quality", Unicode(values=["sellable", "defective", "machine_damaged", "box_damaged", "in_transit"])),
        ("asOf", spyne.DateTime(min_occurs=1)), ("sequence", spyne.Integer(ge=0, le=10**12)),
        ("reason", maybe)]})  # fmt: skip
    issue: Any = type("Issue", (spyne.ComplexModel,), tns | {"_type_info": [
        ("field", Unicode), ("code", Unicode), ("zh", Unicode), ("en", Unicode)]})  # fmt: skip
    result: Any = type("Result", (spyne.ComplexModel,), tns | {"_type_info": [
        ("position", Integer32), ("status", Unicode), ("sourceId", Unicode),
        ("issue", issue.customize(max_occurs=1000))]})  # fmt: skip
    many = stock.customize(min_occurs=1, max_occurs=10_000)
    names = ["messageId", "hubMessageId", "state", "records", "accepted", "quarantined", "ignored", "result"]
    types = [Unicode] * 3 + [Integer32] * 4 + [result.customize(max_occurs=10_000)]

    ask: Any = spyne.rpc(
        Unicode(min_len=1, max_len=200),
        Unicode(max_len=40),
        many,
        _returns=types,
        _out_variable_names=names,
        _in_arg_names={"message_id": "messageId"},
    )

    class Hub(spyne.ServiceBase):  # type: ignore[misc]
        @ask  # type: ignore[untyped-decorator]
        def PushStock(ctx: Any, message_id: str, system: str | None, item: list[Any]) -> Any:  # noqa: N802, N805
            done = [result(position=n, status="accepted", sourceId=each.id) for n, each in enumerate(item, 1)]
            return message_id, "msg_1", "applied", len(item), len(item), 0, 0, done

    app = spyne.Application([Hub], NAMESPACE, in_protocol=soap(validator="lxml"), out_protocol=soap())
    server = server_base(app)

    def call(body: bytes) -> bytes:
        initial = spyne.MethodContext(server, spyne.MethodContext.SERVER)
        initial.in_string = [body]
        (context,) = server.generate_contexts(initial, "utf-8")
        if context.in_error is None:
            server.get_in_object(context)
        assert context.in_error is None, context.in_error
        server.get_out_object(context)
        assert context.out_error is None, context.out_error
        server.get_out_string(context)
        return b"".join(context.out_string)

    return call


class Door:
    """The hub, served by as many processes as there are clients."""

    def __init__(self, folder: Path) -> None:
        self._settings = Settings(data_dir=folder, estate=folder / "estate.toml", log_level="WARNING")
        self._settings.estate.write_text(ESTATE)
        with build(self._settings) as hub:
            scopes = [[f"ingest:wms{client}"] for client in range(CLIENTS)]
            self._keys = [create_key(hub.database, owner=OWNER, brand=OWNER, name="bench", scopes=s) for s in scopes]
        environment = {
            **os.environ,
            "YIPAN_DATA_DIR": str(folder),
            "YIPAN_ESTATE": str(self._settings.estate),
            "YIPAN_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-c", "from hub_api.cli import main; main()", "serve", "--port", "0", "--json"]
        self._processes = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)
        ]
        self._addresses = [
            urlsplit(json.loads(process.stdout.readline())["url"]).netloc
            for process in self._processes
            if process.stdout is not None
        ]
        self._numbers = itertools.count(1)
        self._seed()

    def push(self, messages: int, processes: int) -> int:
        """Push that many new messages, shared between the clients and the first processes; the accepted items."""
        bodies = {number: make_body(number) for number in itertools.islice(self._numbers, messages)}
        shares: dict[int, list[bytes]] = {client: [] for client in range(CLIENTS)}
        for number, body in bodies.items():
            shares[number % CLIENTS].append(body)
        with ThreadPoolExecutor(CLIENTS) as clients:
            return sum(clients.map(self._send, shares, (n % processes for n in shares), shares.values()))

    def _send(self, client: int, process: int, bodies: list[bytes]) -> int:
        accepted = 0
        for content in self._post(client, process, "/soap/v1", bodies, MEDIA_TYPE):
            assert b"<accepted>2000</accepted>" in content, content[:2_000]
            accepted += content.count(b"<status>accepted</status>")
        return accepted

    def _post(self, client: int, process: int, path: str, bodies: list[bytes], media_type: str) -> list[bytes]:
        connection = http.client.HTTPConnection(self._addresses[process], timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._keys[client]}", "Content-Type": media_type}
        answers = []
        for body in bodies:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answers.append(response.read())
            assert response.status == 200, answers[-1][:2_000]
        connection.close()
        return answers

    def _seed(self) -> None:
        skus = [{"code": f"羊绒衫🧶-{n:05}", "spu": f"SPU-{n // 4}", "name": f"羊绒衫 {n}"} for n in range(SKUS)]
        codes = [f"W{client}{n}" for client in range(CLIENTS) for n in range(ITEMS // SKUS)]
        places = [{"code": code, "name": f"仓 {code}", "kind": "warehouse"} for code in codes]
        for stream, records in (("products", skus), ("locations", places)):
            self._post(0, 0, f"/v1/ingest/wms0/{stream}?wait=true", [orjson.dumps(records)], "application/json")

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        embedded.stop(self._settings.data_dir / "postgres")


def repeated(work: Callable[[bytes], Any], times: int) -> Callable[[], int]:
    """A contender that does ``work`` on the same payload again and again."""
    body = make_body(0)

    def contender() -> int:
        for _ in range(times):
            work(body)
        return times * ITEMS

    return contender


def measure(quick: bool) -> harness.Report:
    """Rounds of all, each working about as long, the order turning; a first round is not counted."""
    rounds, times = (6, 2) if quick else (20, 6)
    logging.getLogger("spyne").setLevel(logging.CRITICAL)
    spyne = spyne_server()
    assert spyne(make_body(0)).count(b"accepted<") == parse_and_render(make_body(0)).count(b"accepted<") == ITEMS
    report = harness.Report(packages=("lxml", "spyne"))
    with tempfile.TemporaryDirectory(prefix="yipan-bench-") as name, contextlib.ExitStack() as started:
        folder = Path(name)
        folder.chmod(0o755)
        door = Door(folder)
        started.callback(door.stop)
        contenders: dict[str, Callable[[], int]] = {
            "ours": repeated(parse_and_render, 4 * times),
            "spyne": repeated(spyne, times // 2),
            "own_parse": repeated(parse, 4 * times),
            "door": lambda: door.push(2 * times, processes=CLIENTS),
            "door_one_process": lambda: door.push(2 * times, processes=1),
        }
        harness.interleave(contenders, rounds=1)
        rates = harness.interleave(contenders, rounds=rounds)
    report.compare("ours", {name: rates[name] for name in ("ours", "spyne")}, "items_per_s")
    for name, ratio in (("door", "own_parse"), ("door_one_process", "own_parse_one_process")):
        report.compare(name, {name: rates[name], ratio: rates["own_parse"]}, "items_per_s")
    return report


if __name__ == "__main__":
    harness.main(__doc__, measure)
