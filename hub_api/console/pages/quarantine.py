"""*Quarantine*: identical errors grouped, a group's records, one record to correct; feed again or discard."""

from collections.abc import Mapping
from typing import Any

import orjson
from nicegui import ui

from hub_api import corrections
from hub_api.console import reads
from hub_api.console.dialogs import ask, button
from hub_api.console.html import Html, h
from hub_api.console.page import page
from hub_api.console.reads import Rows
from hub_api.console.reveal import reveal_button
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import (
    Column,
    choice,
    code,
    document,
    empty,
    entry,
    facts,
    filters,
    issues,
    link,
    moment,
    pager,
    panel,
    short,
    state,
    table,
)
from hub_api.corrections import Preview

CRITERIA = ("system", "stream", "cause")


@page("/quarantine", title="quarantine.title", menu=40, icon="quarantine")
async def show_quarantine(view: View) -> None:
    """Groups of identical errors; with system, stream and cause in the address, the records of that group."""
    words = view.words
    wanted = {name: view.arg(name) for name in CRITERIA}
    title(view, words("quarantine.title"))
    html(
        filters(
            view,
            "/quarantine",
            [
                choice(view, "system", "column.system", [(name, name) for name in view.systems]),
                choice(view, "stream", "column.stream", [(name, name) for name in view.streams(wanted["system"])]),
                entry(view, "cause", "quarantine.cause"),
            ],
        )
    )

    async def load() -> list[Any]:
        return await view.read(reads.list_causes, **wanted)

    await view.show(load, lambda found: _draw_causes(view, found), every_s=5)
    if all(wanted.values()):
        await _show_group(view, {name: value or "" for name, value in wanted.items()})


@page("/quarantine/{row_id}", title="record.title")
async def show_record(view: View) -> None:
    """One record: every issue, what came, what it would become; correct it and feed it again."""
    row_id = view.need_id("row_id")

    async def load() -> dict[str, Any]:
        return await view.read(corrections.read_editable, row_id)

    await view.show(load, lambda found: _draw_record(view, found), every_s=5)


async def _show_group(view: View, criteria: Mapping[str, str]) -> None:
    words = view.words
    html(h("h2", words("quarantine.records")))
    if view.may("ops", "write"):
        _draw_group_buttons(view, criteria)
    shown = view.arg("state") or "open"

    async def load() -> Rows:
        return await view.read(reads.list_quarantined, **criteria, state=shown, after=view.id_arg("after") or 0)

    await view.show(load, lambda found: _draw_rows(view, found, {**criteria, "state": view.arg("state")}), every_s=3)


def _draw_causes(view: View, found: list[Any]) -> None:
    words = view.words
    if not found:
        html(empty(words("quarantine.none"), words("quarantine.none_advice")))
        return
    columns = [
        Column("quarantine.count", "number"),
        Column("quarantine.cause"),
        Column("column.system"),
        Column("column.stream"),
        Column("quarantine.oldest", "time"),
        Column("quarantine.newest", "time"),
        Column("quarantine.example"),
    ]
    rows = [
        (
            h("b", words.number(row["records"])),
            link(code(row["cause"]), view.link("/quarantine", **{name: row[name] for name in CRITERIA})),
            row["system"],
            row["stream"],
            moment(words, row["oldest"]),
            moment(words, row["newest"]),
            link(words("quarantine.open"), view.link(f"/quarantine/{row['example_id']}")),
        )
        for row in found
    ]
    html(table(words, columns, rows, caption="quarantine.title"))


def _draw_rows(view: View, found: Rows, query: Mapping[str, str | None]) -> None:
    words = view.words
    if not found.items:
        html(empty(words("quarantine.group_none"), words("quarantine.group_none_advice")))
        return
    columns = [
        Column("column.id", "code"),
        Column("message.source_id", "code"),
        Column("message.issues"),
        Column("quarantine.attempts", "number"),
        Column("column.created", "time"),
        Column("message.title", "code"),
    ]
    rows = [
        (
            link(code(row["id"]), view.link(f"/quarantine/{row['id']}")),
            short(row["source_id"], 40),
            issues(words, row["issues"]),
            words.number(row["attempts"]),
            moment(words, row["created_at"]),
            link(code(row["message_id"]), view.link(f"/messages/{row['message_id']}")),
        )
        for row in found.items
    ]
    html(table(words, columns, rows, caption="quarantine.records"))
    if following := pager(view, "/quarantine", found.next, "after", **query):
        html(following)


def _draw_group_buttons(view: View, criteria: Mapping[str, str]) -> None:
    words = view.words
    with ui.element("div").classes("buttons"):
        _refeed_buttons(view, criteria)
        if view.may("data", "write"):
            address = f"/mappings/{criteria['system']}/{criteria['stream']}"
            html(link(words("quarantine.fix_mapping"), view.link(address, cause=criteria["cause"]), cls="button-link"))


def _refeed_buttons(view: View, criteria: Mapping[str, Any]) -> None:
    """Try, feed again, discard: for a group or for one record."""
    words = view.words

    async def dry_run() -> None:
        found = await view.perform("quarantine.refeed", dry_run=True, **criteria)
        if found is not None:
            key = "quarantine.would_more" if found["more"] else "quarantine.would"
            view.say(words(key, fed=words.number(found["fed"]), accepted=words.number(found["accepted"])))

    async def refeed() -> None:
        started = await view.perform("quarantine.refeed", **criteria)
        if started is not None:
            view.say(words("quarantine.refed", run=started["run_id"]))
        await view.refresh()

    async def discard() -> None:
        explain = words("quarantine.discard_explain")
        question = words("quarantine.discard_ask")
        if await ask(view, question, explain=explain, do=words("quarantine.discard"), bad=True) is None:
            return
        ended = await view.perform("quarantine.discard", **criteria)
        if ended is not None:
            view.say(words("quarantine.discarded", count=words.number(ended["discarded"])))
        await view.refresh()

    button(words("quarantine.dry_run"), dry_run, mark="dry-run")
    button(words("quarantine.refeed"), refeed, kind="first", mark="refeed")
    button(words("quarantine.discard"), discard, kind="bad", mark="discard")


def _draw_record(view: View, row: Mapping[str, Any]) -> None:
    words = view.words
    title(
        view,
        words("record.heading", system=row["system"], stream=row["stream"], id=row["id"]),
        state(words, "record", row["state"]),
    )
    html(panel(words("message.issues"), issues(words, row["issues"])))
    if row["state"] == "open" and view.may("ops", "write"):
        with ui.element("div").classes("buttons"):
            _refeed_buttons(view, {"ids": [row["id"]]})
            if view.may("data", "write"):
                address = f"/mappings/{row['system']}/{row['stream']}"
                html(link(words("quarantine.fix_mapping"), view.link(address, cause=row["cause"]), cls="button-link"))
    html(panel(words("message.facts"), _facts(view, row)))
    if row["state"] == "open" and row["edited"] is not None and view.may("data", "write"):
        _draw_editor(view, row)
    else:
        html(panel(words("record.raw"), _text(view, row["edited"])))
    if row["corrections"]:
        html(panel(words("record.came"), _text(view, row["raw"]), beside=_corrected(view, row)))
    if row["personal"] and view.may("data", "unmask"):
        with ui.element("div").classes("buttons"):
            reveal_button(view, "quarantine", str(row["id"]))


def _facts(view: View, row: Mapping[str, Any]) -> Html:
    words = view.words
    group = {name: row[name] for name in CRITERIA}
    missing = row["missing_id"] and words("record.waits", kind=row["missing_kind"], id=row["missing_id"])
    return facts(
        words,
        [
            ("quarantine.cause", link(code(row["cause"]), view.link("/quarantine", **group))),
            ("message.title", link(code(row["message_id"]), view.link(f"/messages/{row['message_id']}"))),
            ("message.position", words.number(row["position"] + 1)),
            ("message.source_id", row["source_id"]),
            ("record.mapping", row["mapping_version"]),
            ("quarantine.attempts", words.number(row["attempts"])),
            ("record.missing", missing or None),
            ("column.created", moment(words, row["created_at"])),
            ("record.closed_at", row["closed_at"] and moment(words, row["closed_at"])),
        ],
    )


def _text(view: View, text: str | None) -> Html:
    return document(text) if text is not None else h("p", view.words("record.erased"), cls="muted")


def _corrected(view: View, row: Mapping[str, Any]) -> Html:
    words, last = view.words, row["corrections"][0]
    return h("span", words("record.corrected", who=last["author"]), " ", moment(words, last["created_at"]))


def _draw_editor(view: View, row: Mapping[str, Any]) -> None:
    """The record as text to correct, beside what it would become."""
    words = view.words
    with ui.element("div").classes("pair"):
        with ui.element("div").classes("plain part"):
            html(h("h2", words("record.raw")))
            text = str(row["edited"])
            box = ui.textarea(value=_pretty(text)).props("outlined dense rows=16 spellcheck=false").classes("source")
            box.props(f'aria-label="{words("record.raw")}"').props("data-field=record")
            if row["personal"]:
                html(h("p", words("record.masked"), cls="muted"))
            buttons = ui.element("div").classes("buttons")
        with ui.element("div").classes("plain part"):
            html(h("h2", words("record.preview")))
            place = ui.element("div").classes("part")
            with place:
                html(h("p", words("record.preview_hint"), cls="muted"))

    async def preview() -> None:
        found = await view.perform("quarantine.preview", row_id=row["id"], raw=str(box.value))
        if found is not None:
            place.clear()
            with place:
                html(_previewed(view, found))

    async def correct() -> None:
        explain = words("record.correct_explain")
        if await ask(view, words("record.correct_ask"), explain=explain, do=words("record.correct")) is None:
            return
        started = await view.perform("quarantine.correct", row_id=row["id"], raw=str(box.value))
        if started is not None:
            view.say(words("quarantine.refed", run=started["run_id"]))
        await view.refresh()

    with buttons:
        button(words("record.try"), preview, mark="preview")
        button(words("record.correct"), correct, kind="first", mark="correct")


def _previewed(view: View, found: Preview) -> Html:
    words = view.words
    verdict = words("record.would_pass") if found.accepted else words("record.would_fail")
    return h(
        "div",
        h("div", verdict, cls="note" if found.accepted else "note bad", data_verdict=str(found.accepted).lower()),
        issues(words, found.issues) if found.issues else None,
        document(found.canonical) if found.canonical else None,
        cls="part",
    )


def _pretty(text: str) -> str:
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text
