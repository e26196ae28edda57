"""A stream's mapping: read it, change it, try the change on what is quarantined, put it in force, go back."""

from collections.abc import Mapping
from typing import Any, Final

from nicegui import ui

from hub_api import corrections
from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import Html, h
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, code, counts, document, issues, link, moment, panel, state, table
from hub_api.corrections import Change, MappingState, Trial

MIN_REASON: Final = 10
SHOWN: Final = 5


@page("/mappings/{system}/{stream}", title="mapping.title")
async def show_mapping(view: View) -> None:
    """The table in force as text, and its revisions."""
    system, stream = view.arg("system") or "", view.arg("stream") or ""

    async def load() -> MappingState:
        return await view.read(corrections.mapping_state, system, stream)

    await view.show(load, lambda found: _draw(view, found))


def _draw(view: View, found: MappingState) -> None:
    words = view.words
    title(view, words("mapping.heading", system=found.system, stream=found.stream), code(found.mapping))
    group = view.link("/quarantine", system=found.system, stream=found.stream, cause=view.arg("cause"))
    html(link(words("mapping.back"), group))
    if found.outdated:
        html(h("div", words("mapping.outdated"), cls="note warn"))
    if view.may("data", "write"):
        _draw_editor(view, found)
    else:
        html(panel(words("mapping.text"), document(found.text), beside=code(found.version)))
    html(panel(words("mapping.revisions"), _revisions(view, found)))
    if view.may("data", "write") and found.active is not None:
        _draw_back(view, found)


def _draw_editor(view: View, found: MappingState) -> None:
    words = view.words
    stream = {"system": found.system, "stream": found.stream}
    with ui.element("div").classes("plain part"):
        html(h("h2", words("mapping.text"), " ", code(found.version)))
        box = ui.textarea(value=found.text).props("outlined dense rows=22 spellcheck=false").classes("source")
        box.props(f'aria-label="{words("mapping.text")}"').props("data-field=mapping")
        buttons = ui.element("div").classes("buttons")
    place = ui.element("div").classes("part")

    async def attempt() -> None:
        trial = await view.perform("mapping.try", **stream, text=str(box.value), cause=view.arg("cause"))
        if trial is not None:
            place.clear()
            with place:
                html(_tried(view, trial))

    async def revise() -> None:
        given = await ask(
            view,
            words("mapping.revise_ask"),
            explain=words("mapping.revise_explain"),
            fields=[Field("reason", "mapping.reason", kind="text", least=MIN_REASON)],
            do=words("mapping.revise"),
        )
        if given is None:
            return
        revision = await view.perform("mapping.revise", **stream, text=str(box.value), reason=given["reason"])
        if revision is not None:
            view.say(words("mapping.revised", version=revision.version))
            await view.refresh()

    with buttons:
        button(words("mapping.try"), attempt, mark="try")
        button(words("mapping.revise"), revise, kind="first", mark="revise")


def _draw_back(view: View, found: MappingState) -> None:
    words = view.words

    async def activate() -> None:
        given = await ask(
            view,
            words("mapping.packaged_ask"),
            explain=words("mapping.packaged_explain"),
            fields=[Field("reason", "mapping.reason", kind="text", least=MIN_REASON)],
            do=words("mapping.packaged"),
            bad=True,
        )
        if given is None:
            return
        stream = {"system": found.system, "stream": found.stream}
        state_now = await view.perform("mapping.activate", **stream, number=None, reason=given["reason"])
        if state_now is not None:
            view.say(words("mapping.revised", version=state_now.version))
            await view.refresh()

    with ui.element("div").classes("buttons"):
        button(words("mapping.packaged"), activate, kind="bad", mark="packaged")


def _tried(view: View, trial: Trial) -> Html:
    words = view.words
    if trial.problem:
        return h("div", h("b", words("mapping.unusable")), " ", trial.problem, cls="note bad")
    failures = [h("li", each) for each in trial.failures]
    shown = [
        (words("mapping.healed"), trial.healed),
        (words("mapping.unhealed"), trial.unhealed),
        (words("mapping.differences"), trial.differences),
    ]
    return h(
        "div",
        h("div", words("mapping.failures"), h("ul", failures), cls="note bad") if failures else None,
        counts(
            words,
            [
                ("mapping.open_rows", trial.open_rows, ""),
                ("mapping.tried", trial.tried, ""),
                ("mapping.passing", trial.passing, "good"),
                ("mapping.recent", trial.recent, ""),
                ("mapping.changed", trial.changed, "warn"),
                ("mapping.broken", trial.broken, "bad"),
            ],
        ),
        h("p", words("mapping.tried_note"), cls="muted"),
        [panel(heading, [_change(view, each) for each in found[:SHOWN]]) for heading, found in shown if found],
        cls="part",
    )


def _change(view: View, change: Change) -> Html:
    words = view.words
    name = change.source_id or f"{change.message_id}:{change.position}"
    place = f"/quarantine/{change.quarantine_id}" if change.quarantine_id else f"/messages/{change.message_id}"
    return h(
        "details",
        h("summary", link(name, view.link(place)), issues(words, change.issues) if change.issues else None),
        h("div", _side(view, change.before), _side(view, change.after), cls="pair"),
    )


def _side(view: View, value: Mapping[str, Any] | None) -> Html:
    return document(value) if value is not None else h("p", view.words("mapping.no_value"), cls="muted")


def _revisions(view: View, found: MappingState) -> Html:
    words = view.words
    packaged = (
        words("mapping.packaged_name"),
        code(found.packaged_version),
        state(words, "mapping_state", "in_force") if found.active is None else None,
        None,
        None,
        None,
    )
    columns = [
        Column("mapping.number"),
        Column("record.mapping", "code"),
        Column("column.state"),
        Column("mapping.author"),
        Column("mapping.reason"),
        Column("column.created", "time"),
    ]
    rows = [
        (
            f"#{each.number}",
            code(each.version),
            state(words, "mapping_state", "in_force") if each.active else None,
            each.author,
            each.reason,
            moment(words, each.created_at),
        )
        for each in found.revisions
    ]
    return table(words, columns, [*rows, packaged], caption="mapping.revisions")
