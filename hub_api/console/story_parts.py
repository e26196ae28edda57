"""A story as pages show it: what came beside what it became, runs, rows, and the waterfall of spans."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from nicegui import ui

from hub_api.console.html import Html, h, join
from hub_api.console.reveal import reveal_button
from hub_api.console.run_parts import draw_run
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, code, document, facts, issues, link, moment, panel, state, table
from hub_api.stories import Bar, Hit, MessageStory, RecordStory, Story, Waterfall

# Of each kind, the fields of its own row that a person looks at first.
FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "order": (
        "id",
        "channel",
        "order_no",
        "kind",
        "total_minor",
        "placed_at",
        "status_reason",
        "message_id",
        "created_at",
    ),
    "sku": ("code", "spu", "name", "batch_managed", "system", "source_id", "updated_at"),
    "trace": ("trace_id", "spans", "duration_ms"),
    "member": (),
}
ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "lines": ("line_no", "sku_code", "quantity", "shipped", "cancelled", "amount_minor"),
    "parcels": ("parcel_no", "status", "carrier", "waybill", "wms_document", "erp_document", "shipped_at"),
    "identifiers": ("scheme", "outside_id"),
}
LEFT_OUT: Final = frozenset({"id", "level_id", "order_id", "owner", "brand", "body", "line_ids"})
MOST_COLUMNS: Final = 11
MOST_ROWS: Final = 50
CODES: Final = ("_id", "_no", "_document", "sku", "sku_code", "code", "waybill", "scheme", "reference", "key")
STEP: Final = 14


def draw_story(view: View, story: Story) -> None:
    """Everything about one thing, the most pressing first."""
    words = view.words
    kind = words.name("kind", story.kind)
    title(view, f"{kind} {story.title}", state(words, "word", story.state), _elsewhere(view, story))
    html(panel(None, _summary(view, story)))
    if story.kind == "order" and view.may("data", "unmask"):
        with ui.element("div").classes("buttons"):
            reveal_button(view, "order", story.id)
    for name in ("parcels", "lines", "identifiers"):
        if rows := story.summary.get(name):
            html(panel(words(f"story.{name}"), _rows(view, name, rows)))
    pressing = sorted(story.runs, key=lambda run: (run.state != "parked", run.state in ("done", "undone"), run.id))
    if story.runs:
        html(h("h2", words("story.runs")))
    for run in pressing:
        draw_run(view, run)
    draw_waterfalls(view, story)
    draw_messages(view, story.messages)
    for name in ("levels", "observations", "holds", "movements", "events"):
        if rows := getattr(story, name):
            html(panel(words(f"story.{name}"), _rows(view, name, rows)))
    draw_related(view, story.related)
    if story.cut:
        html(h("p", words("story.cut", parts=", ".join(words.name("story", name) for name in story.cut)), cls="muted"))


def draw_messages(view: View, messages: Sequence[MessageStory]) -> None:
    """Each message's records: what came beside what it became; the first is open, the others open when asked."""
    for number, message in enumerate(messages):
        heading = view.words("message.heading", system=message.system, stream=message.stream)
        beside = [link(code(message.id), view.link(f"/messages/{message.id}")), moment(view.words, message.received_at)]
        html(
            h(
                "details",
                h("summary", h("h2", heading), h("div", beside, cls="beside")),
                [record(view, each) for each in message.records],
                cls="panel",
                open=number == 0,
            )
        )


def record(view: View, each: RecordStory) -> Html:
    """One record as it came (masked) beside the canonical value, and what is wrong with it."""
    words = view.words
    hits = h("div", words("record.became"), [hit_link(view, hit) for hit in each.became], cls="hits")
    quarantined = each.quarantine_id and link(
        words("record.in_quarantine"), view.link(f"/quarantine/{each.quarantine_id}")
    )
    return h(
        "div",
        h(
            "div",
            h("b", words("record.numbered", number=each.position + 1)),
            code(each.source_id) if each.source_id else None,
            state(words, "record", each.status),
            quarantined,
            hits if each.became else None,
            cls="line",
        ),
        issues(words, each.issues) if each.issues else None,
        h(
            "div",
            h("div", h("h3", words("record.raw")), _document(view, each.raw), cls="side"),
            h("div", h("h3", words("record.canonical")), _document(view, each.canonical), cls="side"),
            cls="pair",
        ),
        cls="record",
    )


def draw_waterfalls(view: View, story: Story) -> None:
    """Every trace of the story as bars."""
    for fall in story.waterfalls:
        trace = link(code(fall.trace_id), view.link(f"/story/trace/{fall.trace_id}"))
        heading = view.words("story.waterfall", length=view.words.span(fall.duration_ms / 1000))
        html(panel(heading, waterfall(view, fall), beside=[trace, moment(view.words, fall.started_at)]))


def draw_related(view: View, related: Sequence[Hit]) -> None:
    """Links to what belongs to it."""
    if related:
        html(panel(view.words("story.related"), h("div", [hit_link(view, hit) for hit in related], cls="hits")))


def hit_link(view: View, hit: Hit) -> Html:
    """A link to something found."""
    return link(f"{view.words.name('kind', hit.kind)} {hit.title}", hit_address(view, hit))


def hit_address(view: View, hit: Hit) -> str:
    """Where the page of something found is."""
    places = {"message": "/messages", "run": "/runs", "order": "/orders"}
    if place := places.get(hit.kind):
        return view.link(f"{place}/{hit.id}")
    return hit.url


def waterfall(view: View, fall: Waterfall) -> Html:
    """Spans as bars: where they lie in the trace, how long they took."""
    whole = max(fall.duration_ms, 0.001)
    bars = [_bar(view, bar, whole) for bar in fall.bars]
    return h("div", bars, cls="waterfall", role="list")


def _bar(view: View, bar: Bar, whole_ms: float) -> Html:
    begin = min(100 * bar.offset_ms / whole_ms, 99.5)
    width = min(100 * bar.duration_ms / whole_ms, 100 - begin)
    shown = ", ".join(f"{name}={value}" for name, value in bar.attributes.items() if name.startswith("yipan."))
    return h(
        "div",
        h("span", bar.name, cls="name", style=f"padding-left:{bar.depth * STEP}px", title=f"{bar.name} · {shown}"),
        h(
            "span",
            h(
                "span",
                cls="bar bad" if bar.failed else "bar",
                style=f"left:{begin:.2f}%;width:{width:.2f}%",
            ),
            cls="lane",
            title=bar.status,
        ),
        h("span", view.words.span(bar.duration_ms / 1000), cls="number"),
        role="listitem",
    )


def _elsewhere(view: View, story: Story) -> Html | None:
    """Another page about the same thing."""
    if story.kind == "order" and story.summary.get("kind") != "carry_out":
        return link(view.words("story.why_here"), view.link(f"/orders/{story.id}/decisions"))
    if story.kind == "sku":
        return link(view.words("stock.map"), view.link(f"/stock/{quote(story.id, safe='/')}"))
    return None


def _summary(view: View, story: Story) -> Html:
    words = view.words
    names = FACTS.get(story.kind) or tuple(
        name for name, value in story.summary.items() if not isinstance(value, dict | list)
    )
    given: list[tuple[str, Any]] = []
    for name in names:
        value = story.summary.get(name)
        if name == "message_id" and value:
            value = link(code(value), view.link(f"/messages/{value}"))
        elif name == "total_minor":
            value = words.money(value, story.summary.get("currency") or "CNY")
        elif value is not None:
            value = cell(view, name, value)
        given.append((f"field.{name}", value))
    for name, value in (story.summary.get("totals") or {}).items():
        given.append((f"field.{name}", h("b", words.number(value))))
    if receiver := (story.summary.get("body") or {}).get("receiver"):
        shown = [f"{value}" for value in receiver.values() if isinstance(value, str)]
        given.append(("field.receiver", " · ".join(shown)))
    return facts(words, given)


def _rows(view: View, name: str, rows: Sequence[Mapping[str, Any]]) -> Html:
    """Rows as a table; columns that no row fills are left out."""
    words = view.words
    names = ROWS.get(name) or tuple(
        each for each, value in rows[0].items() if each not in LEFT_OUT and not isinstance(value, dict | list)
    )
    filled = [each for each in names if any(row.get(each) is not None for row in rows)][:MOST_COLUMNS]
    columns = [Column(f"field.{each}", _kind(each, rows)) for each in filled]
    shown = [[cell(view, each, row.get(each)) for each in filled] for row in rows[:MOST_ROWS]]
    rest = len(rows) - MOST_ROWS
    more = h("p", words("message.more", count=words.number(rest)), cls="muted") if rest > 0 else ""
    return join(table(words, columns, shown, caption=f"story.{name}"), more)


def cell(view: View, name: str, value: Any) -> Any:
    """A value of a row as a person reads it."""
    words = view.words
    shown: Any = str(value)
    match value:
        case None:
            shown = None
        case bool():
            shown = words("yes" if value else "no")
        case datetime():
            shown = moment(words, value)
        case int() if name.endswith("_minor"):
            shown = words.money(value, "CNY")
        case int() if not name.endswith(("_id", "_no")) and name != "id":
            shown = words.number(value)
        case str() if name in ("state", "status", "quality"):
            shown = state(words, "word", value)
        case str() if name in ("kind", "figure", "reason", "scheme"):
            shown = words.name("word", value)
        case str() if name.endswith(CODES):
            shown = code(value)
    return shown


def _kind(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    value = next((row[name] for row in rows if row.get(name) is not None), None)
    match value:
        case bool():
            return "text"
        case int() if not name.endswith("_id"):
            return "number"
        case datetime():
            return "time"
        case str() if name.endswith(CODES):
            return "code"
    return "text"


def _document(view: View, value: Any) -> Html:
    return document(value) if value is not None else h("p", view.words("record.none"), cls="muted")
