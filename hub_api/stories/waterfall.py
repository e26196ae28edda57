"""Traces as waterfalls: every span below its parent, its offset and length in milliseconds."""

from collections.abc import Iterable, Sequence
from typing import Final

from flows.runtime import telemetry
from flows.runtime.database import UnitOfWork
from flows.runtime.telemetry import Span, SpanNode
from hub_api.auth import Access
from hub_api.stories.shapes import Bar, Waterfall

MAX_TRACES: Final = 6
MAX_BARS: Final = 500
BRAND: Final = "yipan.brand"


def waterfalls(uow: UnitOfWork, access: Access, traceparents: Iterable[str | None]) -> list[Waterfall]:
    """The traces that these rows belong to, in the order given, each once, at most MAX_TRACES."""
    ids = dict.fromkeys(telemetry.trace_id_of(each) for each in traceparents if each and each.count("-") == 3)
    found = [waterfall(uow, access, trace_id) for trace_id in list(ids)[:MAX_TRACES]]
    return [each for each in found if each is not None]


def waterfall(uow: UnitOfWork, access: Access, trace_id: str) -> Waterfall | None:
    """One trace; None if nothing is known of it, or it belongs to another brand."""
    spans = telemetry.get_trace(uow.connection, trace_id)
    if not spans or any(span.attributes.get(BRAND, access.brand) != access.brand for span in spans):
        return None
    begun, ended = min(span.started_at for span in spans), max(span.ended_at for span in spans)
    bars: list[Bar] = []
    for root in telemetry.trace_tree(spans):
        _lay(root, 0, begun.timestamp(), bars)
    duration_ms = (ended - begun).total_seconds() * 1000
    return Waterfall(trace_id, begun, round(duration_ms, 3), bars[:MAX_BARS], cut=len(bars) > MAX_BARS)


def _lay(node: SpanNode, depth: int, begun_s: float, bars: list[Bar]) -> None:
    """Add the node and everything in it, without recursion: a trace may be as deep as it is long."""
    waiting = [(node, depth)]
    while waiting:
        each, level = waiting.pop()
        bars.append(_bar(each.span, level, begun_s))
        waiting += [(child, level + 1) for child in reversed(each.children)]


def _bar(span: Span, depth: int, begun_s: float) -> Bar:
    return Bar(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        kind=span.kind,
        depth=depth,
        offset_ms=round((span.started_at.timestamp() - begun_s) * 1000, 3),
        duration_ms=round((span.ended_at - span.started_at).total_seconds() * 1000, 3),
        status=span.status,
        failed=span.status != "ok",
        attributes=span.attributes,
    )


def run_ids(falls: Sequence[Waterfall]) -> list[int]:
    """The runs whose steps are in the traces."""
    found = (bar.attributes.get("yipan.run") for fall in falls for bar in fall.bars)
    return list(dict.fromkeys(run for run in found if isinstance(run, int)))


def message_ids(falls: Sequence[Waterfall]) -> list[str]:
    """The messages that were ingested in the traces."""
    found = (bar.attributes.get("yipan.message") for fall in falls for bar in fall.bars)
    return list(dict.fromkeys(message for message in found if isinstance(message, str)))
