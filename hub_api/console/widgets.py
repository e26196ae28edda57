"""The pieces that pages are made of: tables, states, facts, empty places, filters, pagers. All of them build HTML."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from hub_api.console.html import Html, h
from hub_api.console.icons import icon
from hub_api.console.view import View
from hub_api.console.words import NOTHING, Words

TONES: Final[Mapping[str, str]] = {
    "done": "good",
    "applied": "good",
    "accepted": "good",
    "confirmed": "good",
    "ok": "good",
    "open": "warn",
    "waiting": "calm",
    "ready": "calm",
    "running": "busy",
    "received": "busy",
    "intended": "busy",
    "parked": "bad",
    "in_doubt": "bad",
    "failed": "warn",
    "refused": "bad",
    "rejected": "bad",
    "quarantined": "warn",
    "paused": "warn",
    "resting": "bad",
    "struggling": "warn",
    "unreadable": "bad",
    "shipped": "good",
    "completed": "good",
    "cancelled": "calm",
    "error": "bad",
    "overdue": "warn",
    "in_force": "good",
    "undone": "calm",
    "discarded": "calm",
    "retry": "warn",
    "allocate": "good",
    "chosen": "good",
    "partial": "warn",
    "queue": "busy",
    "sold_out": "bad",
    "shortage": "warn",
    "overstock": "warn",
}
OWN_TONES: Final[Mapping[str, str]] = {
    "lane.open": "good",
    "health.well": "good",
    "points_books.sound": "good",
    "points_books.broken": "bad",
    "lane.struggling": "warn",
}
MAX_TEXT: Final = 20_000
MAX_ISSUES: Final = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the key of its heading; ``kind`` is text, number, time or code."""

    title: str
    kind: str = "text"


def table(words: Words, columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, caption: str) -> Html:
    """A table whose numbers and times align. ``caption`` is the key of what a screen reader hears first."""
    head = h("tr", [h("th", _heading(words, column.title), scope="col", cls=column.kind) for column in columns])
    body = [
        h("tr", [h("td", cell, cls=column.kind) for column, cell in zip(columns, row, strict=True)]) for row in rows
    ]
    return h(
        "div", h("table", h("caption", words(caption)), h("thead", head), h("tbody", body)), cls="table", tabindex="0"
    )


def state(words: Words, kind: str, word: str | None) -> Html:
    """A state as a coloured word."""
    if word is None:
        return Html(NOTHING)
    return h(
        "span",
        words.name(kind, word),
        cls=f"state {OWN_TONES.get(f'{kind}.{word}') or TONES.get(word, 'calm')}",
        data_state=word,
    )


def moment(words: Words, when: datetime | None) -> Html:
    """A time, in full when pointed at."""
    if when is None:
        return h("span", NOTHING, cls="muted")
    return h("time", words.time(when), datetime=when.isoformat(), title=words.full_time(when))


def link(text: Any, address: str, **attributes: Any) -> Html:
    """A link."""
    return h("a", text, href=address, **attributes)


def code(text: Any) -> Html:
    """A machine's word: an id, a code."""
    return h("code", NOTHING if text is None else text)


def short(text: str | None, length: int = 90) -> Html:
    """A long text cut, whole when pointed at."""
    if not text:
        return h("span", NOTHING, cls="muted")
    return h(
        "span", text if len(text) <= length else text[: length - 1] + "…", title=text if len(text) > length else None
    )


def facts(words: Words, given: Sequence[tuple[str, Any]]) -> Html:
    """Names and values of one thing; those without a value are left out."""
    return h(
        "dl",
        [h("div", h("dt", _heading(words, key)), h("dd", value)) for key, value in given if value is not None],
        cls="facts",
    )


def panel(heading: Any, *content: Any, beside: Any = None, cls: str = "") -> Html:
    """A part of a page under its own heading."""
    head = h("header", h("h2", heading), h("div", beside, cls="beside") if beside else None) if heading else None
    return h("div", head, content, cls=f"panel {cls}".strip())


def empty(heading: str, advice: str, *more: Any) -> Html:
    """What stands where nothing is: what it means and what to do."""
    return h("div", icon("empty"), h("p", heading), h("p", advice, cls="muted"), more, cls="empty")


def problem(words: Words, error: Mapping[str, Any] | None) -> Html | None:
    """A stored error: its code and what it says."""
    if not error:
        return None
    after = error.get("detail") or error.get("message") or ""
    return h("span", h("code", error.get("code", words("error.word"))), " ", str(after), cls="problem")


def issues(words: Words, found: Sequence[Mapping[str, Any]]) -> Html:
    """Everything wrong with a record: the field, the code, what it says."""
    return h(
        "ul",
        [
            h("li", h("b", each["field"] or words("record.whole")), h("code", each["code"]), h("span", each["detail"]))
            for each in found[:MAX_ISSUES]
        ],
        h("li", words("record.more_issues", count=len(found) - MAX_ISSUES)) if len(found) > MAX_ISSUES else None,
        cls="issues",
    )


def filters(view: View, path: str, fields: Sequence[Html]) -> Html:
    """A form whose fields go into the address."""
    return h(
        "form",
        fields,
        h("button", view.words("filter.apply"), type="submit"),
        h("a", view.words("filter.clear"), href=view.link(path)) if view.request.url.query else None,
        action=view.link(path),
        method="get",
        cls="filters",
    )


def choice(view: View, name: str, label: str, options: Sequence[tuple[str, str]]) -> Html:
    """A field of ``filters`` with given values, each with its text; the first one means any."""
    chosen = view.arg(name)
    if chosen and chosen not in {value for value, _ in options}:
        options = [*options, (chosen, chosen)]
    shown = [h("option", view.words("filter.any"), value="")]
    shown += [h("option", text, value=value, selected=value == chosen) for value, text in options]
    return h("label", h("span", view.words(label)), h("select", shown, name=name))


def entry(view: View, name: str, label: str) -> Html:
    """A field of ``filters`` for any text."""
    field = h("input", name=name, value=view.arg(name), maxlength=200, autocomplete="off", spellcheck="false")
    return h("label", h("span", view.words(label)), field)


def pager(view: View, path: str, following: Any, cursor: str, **query: Any) -> Html | None:
    """Links to the next page and back to the first; None where everything is on one."""
    words = view.words
    first = link(words("pager.first"), view.link(path, **query)) if view.arg(cursor) else None
    on = link(words("pager.next"), view.link(path, **query, **{cursor: following}), rel="next") if following else None
    return h("nav", first, on, cls="pager", aria_label=words("pager.name")) if first or on else None


def document(value: Any) -> Html:
    """A value or text as it is, for reading: JSON indented, cut where it becomes too long to read."""
    if isinstance(value, bytes | str):
        text = _indented(value)
    else:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    return h("pre", text[:MAX_TEXT] + ("\n…" if len(text) > MAX_TEXT else ""), tabindex="0")


def counts(words: Words, given: Sequence[tuple[str, int, str]]) -> Html:
    """Figures side by side: key, number, and the tone it has when it is not zero."""
    return h(
        "ul",
        [
            h("li", h("b", words.number(number)), h("span", words(key)), cls=tone if number else None)
            for key, number, tone in given
        ],
        cls="counts",
    )


def _indented(text: bytes | str) -> str:
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _heading(words: Words, key: str) -> str:
    """The text of a key; the name of a column of a table that came later, as it is."""
    return words.find(key) or key.rpartition(".")[2]
