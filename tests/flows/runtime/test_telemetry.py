"""One trace from the start of a run through every step, try and call, kept without anything else installed."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from canonical_model.errors import TransientError
from canonical_model.ports import Record
from flows.runtime import telemetry
from flows.runtime.database import Database, UnitOfWork
from flows.runtime.flow import Flow, Run, Start, batch_step, children, outside, step
from flows.runtime.settings import Settings
from tests.flows.runtime.conftest import BRAND, OWNER, World


@pytest.fixture
def traced(world: World) -> Iterator[World]:
    telemetry.start(Settings(), world.database)
    yield world
    telemetry.stop()


def _flaky() -> Flow:
    errors = [TransientError("away", code="books.away")]

    @step()
    def flaky(run: Run, uow: UnitOfWork) -> None:
        if errors:
            raise errors.pop()

    @outside("books.once")
    def send(run: Run, uow: UnitOfWork) -> Record:
        return {}

    return Flow("test.traced", 1, (flaky, send))


def _trace(world: World, key: str) -> list[telemetry.Span]:
    telemetry.flush()
    with world.database.unit() as uow:
        return telemetry.get_trace(uow.connection, telemetry.trace_id_of(world.run(key)["traceparent"]))


def test_a_run_is_one_trace_through_retry_and_call(traced: World) -> None:
    flow = _flaky()
    runner = traced.runner(flow)
    with telemetry.span("push", attributes={"yipan.system": "pos"}):
        traced.start(flow, "k")
    traced.finish(runner)
    spans = _trace(traced, "k")
    assert [(span.name, span.status) for span in spans] == [
        ("push", "ok"),
        ("test.traced.flaky", "books.away"),
        ("test.traced.flaky", "ok"),
        ("test.traced.send", "ok"),
        ("books.once", "ok"),
    ]
    (root,) = telemetry.trace_tree(spans)
    assert [node.span.name for node in root.children] == ["test.traced.flaky"] * 2 + ["test.traced.send"]
    call = root.children[-1].children[0].span
    assert (call.kind, call.attributes["yipan.effect_key"]) == ("client", "test.traced:k:send")
    assert root.children[0].span.attributes["yipan.key"] == "k"


def test_children_hang_under_the_step_that_started_them(traced: World) -> None:
    child = Flow("test.traced_child", 1, (step(name="work")(lambda run, uow: 1),))
    family = children(name="family")(lambda run, uow: [Start(child.name, OWNER, BRAND, "c", {})])
    parent = Flow("test.traced_parent", 1, (family,))
    runner = traced.runner(parent, child)
    with telemetry.span("push"):
        traced.start(parent, "p")
    traced.finish(runner)
    (root,) = telemetry.trace_tree(_trace(traced, "p"))
    started = root.children[0]
    assert started.span.name == "test.traced_parent.family"
    assert [node.span.name for node in started.children] == ["test.traced_child.work"]


def test_a_batch_is_one_span_that_links_to_every_run(traced: World) -> None:
    flow = Flow("test.traced_batch", 1, (batch_step(name="count")(lambda runs, uow: [1] * len(runs)),))
    runner = traced.runner(flow)
    for key in "abc":
        with telemetry.span("push"):
            traced.start(flow, key)
    traced.finish(runner)
    spans = _trace(traced, "a")
    (batch,) = [span for span in spans if span.name == "test.traced_batch.count"]
    assert batch.attributes["yipan.runs"] == 3
    assert len(batch.attributes["links"]) == 2


def test_an_error_leaves_its_code_and_not_its_words(traced: World) -> None:
    def fail() -> None:
        with telemetry.span("push", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
            raise ValueError("Zhang San, 13800000000")

    with pytest.raises(ValueError, match="Zhang San"):
        fail()
    telemetry.flush()
    with traced.database.unit() as uow:
        (span,) = telemetry.get_trace(uow.connection, "0af7651916cd43dd8448eb211c80319c")
    assert (span.parent_id, span.status) == ("b7ad6b7169203331", "ValueError")
    assert "Zhang" not in str(span)


def test_without_the_sdk_nothing_is_recorded_and_nothing_fails() -> None:
    with telemetry.span("nothing"):
        assert telemetry.current_traceparent() is None


def test_a_full_queue_loses_spans_and_counts_them(database: Database) -> None:
    table = telemetry.SpanTable(database, size=2)
    table.shutdown()
    telemetry.start(Settings(), database)
    try:
        with telemetry.span("one") as opened:
            pass
        for _ in range(5):
            table.on_end(opened)  # type: ignore[arg-type]
    finally:
        telemetry.stop()
    assert table.dropped == 3


def test_an_absent_database_loses_spans_and_counts_them(database: Database) -> None:
    away = Database("postgresql://127.0.0.1:1/nowhere", pool_size=1)
    table = telemetry.SpanTable(away)
    telemetry.start(Settings(), database)
    try:
        with telemetry.span("one") as opened:
            pass
        table.on_end(opened)  # type: ignore[arg-type]
    finally:
        telemetry.stop()
    table.shutdown()
    assert table.dropped == 1


def test_spans_go_to_an_otlp_endpoint_when_one_is_set(database: Database) -> None:
    paths: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        telemetry.start(Settings(otlp_endpoint=f"http://127.0.0.1:{server.server_port}"), database)
        with telemetry.span("exported"):
            pass
        telemetry.stop()
        server.shutdown()
    assert paths == ["/v1/traces"]
