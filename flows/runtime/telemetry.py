"""One trace a business message. The context travels as ``traceparent`` on the rows, so that a step that runs
days later, in another process, still hangs under the push that caused it.

Finished spans go to the ``span`` table in batches, and to an OTLP endpoint when one is set. No baggage. Attributes
are names, keys and counts, never personal data; of an error only its code or type is kept.
"""

import atexit
import logging
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import HubError
from flows.runtime import metrics
from flows.runtime.database import Database
from flows.runtime.settings import Settings

QUEUE_SPANS: Final = 50_000
BATCH_SPANS: Final = 1_000
FLUSH_S: Final = 0.5
MAX_LINKS: Final = 100
MAX_TRACE_SPANS: Final = 5_000

_log = logging.getLogger(__name__)
_propagator: Final = TraceContextTextMapPropagator()
_INSERT: Final = (
    "INSERT INTO span (trace_id, span_id, parent_id, name, kind, status, started_at, ended_at, attributes)"
    " SELECT trace_id, span_id, parent_id, name, kind, status, to_timestamp(started), to_timestamp(ended), attributes"
    " FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried, jsonb_to_recordset(%s) AS s ("
    " trace_id text, span_id text, parent_id text, name text, kind text, status text,"
    " started double precision, ended double precision, attributes jsonb)"
    " ON CONFLICT DO NOTHING"
)


class _Sdk:
    """The tracer of this process; None until ``start``."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


class SpanTable(SpanProcessor):
    """Writes finished spans to the ``span`` table in batches. A full queue or an absent database loses spans, never
    work; how many is counted in ``dropped``."""

    def __init__(self, database: Database, *, size: int = QUEUE_SPANS) -> None:
        self.dropped = 0
        self._database = database
        self._spans: queue.Queue[ReadableSpan] = queue.Queue(size)
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="yipan-spans", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a finished span; never waits."""
        try:
            self._spans.put_nowait(span)
        except queue.Full:
            self._drop(1)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write everything taken so far."""
        while batch := self._take():
            self._write(batch)
        return True

    def shutdown(self) -> None:
        """Write what is left and end the thread."""
        self._closing.set()
        self._thread.join()
        self.force_flush()

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_S):
            while len(batch := self._take()) == BATCH_SPANS:
                self._write(batch)
            if batch:
                self._write(batch)

    def _take(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        while len(batch) < BATCH_SPANS:
            try:
                batch.append(self._spans.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: Sequence[ReadableSpan]) -> None:
        with self._writing:
            try:
                self._database.run(_INSERT, (orjson.dumps([_row(span) for span in batch]).decode(),))
            except Exception as error:  # noqa: BLE001 - telemetry never stops work
                self._drop(len(batch))
                _log.warning("%d spans were not kept: %s", len(batch), error)

    def _drop(self, count: int) -> None:
        self.dropped += count
        metrics.SPANS_DROPPED.inc(count)


def _row(span: ReadableSpan) -> dict[str, Any]:
    assert span.context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    links = [trace.format_span_id(link.context.span_id) for link in span.links]
    return {
        "trace_id": trace.format_trace_id(span.context.trace_id),
        "span_id": trace.format_span_id(span.context.span_id),
        "parent_id": trace.format_span_id(span.parent.span_id) if span.parent else None,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "status": span.status.description or "error" if span.status.status_code is StatusCode.ERROR else "ok",
        "started": span.start_time / 1e9,
        "ended": span.end_time / 1e9,
        "attributes": dict(span.attributes or {}) | ({"links": links} if links else {}),
    }


def start(settings: Settings, database: Database) -> None:
    """Start the SDK of this process; a second call changes nothing."""
    if _Sdk.provider is not None:
        return
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: settings.service_name}), shutdown_on_exit=False)
    provider.add_span_processor(SpanTable(database))
    if settings.otlp_endpoint:
        endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    _Sdk.provider = provider
    _Sdk.tracer = provider.get_tracer("yipan")
    atexit.register(stop)


def stop() -> None:
    """Write what is left; spans are no longer recorded."""
    provider, _Sdk.provider, _Sdk.tracer = _Sdk.provider, None, None
    if provider is not None:
        atexit.unregister(stop)
        provider.shutdown()


def flush() -> None:
    """Make every finished span visible in the ``span`` table."""
    if _Sdk.provider is not None:
        _Sdk.provider.force_flush()


@contextmanager
def span(
    name: str,
    *,
    traceparent: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Iterable[str | None] = (),
) -> Iterator[trace.Span]:
    """Record a span. It hangs under ``traceparent`` if given, else under the current span, else starts a trace.

    ``links`` are traceparents of other traces it worked for. An exception marks it as failed and passes on.
    """
    if _Sdk.tracer is None:
        yield trace.INVALID_SPAN
        return
    parent = _context(traceparent) if traceparent else otel_context.get_current()
    with _Sdk.tracer.start_as_current_span(
        name,
        context=parent,
        kind=kind,
        attributes=attributes,
        links=_links(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            code = error.code if isinstance(error, HubError) else type(error).__name__
            opened.set_status(Status(StatusCode.ERROR, code))
            raise


def mark(opened: trace.Span, outcome: str | None, error: Mapping[str, Any] | None) -> None:
    """Note on a span how the work came out, and mark it as failed by the error's code."""
    if outcome is not None:
        opened.set_attribute("yipan.outcome", outcome)
    if error is not None:
        opened.set_status(Status(StatusCode.ERROR, str(error.get("code", "error"))))


def current_traceparent() -> str | None:
    """The W3C ``traceparent`` of the current span, to be stored on a row; None outside of any span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


@lru_cache(maxsize=4096)
def _context(traceparent: str) -> Context:
    return _propagator.extract({"traceparent": traceparent}, Context())


def _links(traceparents: Iterable[str | None]) -> list[Link]:
    contexts = (
        trace.get_current_span(_context(each)).get_span_context() for each in dict.fromkeys(traceparents) if each
    )
    return [Link(each) for each, _ in zip(contexts, range(MAX_LINKS), strict=False)]


@dataclass(frozen=True, slots=True)
class Span:
    """A finished span. Times are UTC; ``status`` is ok or the code of the error."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    status: str
    started_at: datetime
    ended_at: datetime
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span and what happened inside it, oldest first."""

    span: Span
    children: list["SpanNode"] = field(default_factory=list)


def get_trace(connection: Connection[DictRow], trace_id: str) -> list[Span]:
    """The spans of a trace, oldest first; empty if nothing is known of it."""
    rows = connection.execute(
        "SELECT trace_id, span_id, parent_id, name, kind, status, started_at, ended_at, attributes FROM span"
        " WHERE trace_id = %s ORDER BY started_at, span_id LIMIT %s",
        (trace_id, MAX_TRACE_SPANS),
    )
    return [Span(**{**row, "started_at": _utc(row["started_at"]), "ended_at": _utc(row["ended_at"])}) for row in rows]


def trace_tree(spans: Sequence[Span]) -> list[SpanNode]:
    """The spans as trees. A span whose parent is not known, because it lives elsewhere, is a root."""
    nodes = {each.span_id: SpanNode(each) for each in spans}
    roots: list[SpanNode] = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id or "")
        (parent.children if parent else roots).append(node)
    return roots


def trace_id_of(traceparent: str) -> str:
    """The trace id inside a ``traceparent``."""
    return traceparent.split("-")[1]


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
