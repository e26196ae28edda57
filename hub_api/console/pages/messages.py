"""*Messages*: what came in, by system and state; one message with its body (masked) and what became of each record."""

from typing import Final

from nicegui import ui

from hub_api import stories
from hub_api.console import reads
from hub_api.console.dialogs import ask, button
from hub_api.console.html import Html, h
from hub_api.console.page import page
from hub_api.console.reads import Rows
from hub_api.console.reveal import reveal_button
from hub_api.console.run_parts import draw_run
from hub_api.console.shell import title
from hub_api.console.story_parts import draw_waterfalls, record
from hub_api.console.view import View, html
from hub_api.console.widgets import (
    Column,
    choice,
    code,
    document,
    empty,
    facts,
    filters,
    link,
    moment,
    pager,
    panel,
    problem,
    state,
    table,
)
from hub_api.messages import MessageFilter
from hub_api.stories import MessageStory, Story

STATES: Final = ("received", "applied", "unreadable")


@page("/messages", title="messages.title", menu=30, icon="messages")
async def show_messages(view: View) -> None:
    """The list, newest first."""
    words = view.words
    wanted = MessageFilter(view.arg("system"), view.arg("stream"), view.arg("state"))
    title(view, words("messages.title"))
    html(
        filters(
            view,
            "/messages",
            [
                choice(view, "system", "column.system", [(name, name) for name in view.systems]),
                choice(view, "stream", "column.stream", [(name, name) for name in view.streams(wanted.system)]),
                choice(view, "state", "column.state", [(each, words.name("message", each)) for each in STATES]),
            ],
        )
    )

    async def load() -> Rows:
        return await view.read(reads.list_messages, wanted, before=view.arg("before"))

    await view.show(load, lambda found: _draw_list(view, found, wanted), every_s=3)


@page("/messages/{message_id}", title="message.title")
async def show_message(view: View) -> None:
    """One message: when, from whom, each record beside what it became, its runs."""
    message_id = view.arg("message_id") or ""

    async def load() -> Story:
        return await view.read(stories.story, "message", message_id)

    await view.show(load, lambda found: _draw_message(view, found), every_s=4)


def _draw_list(view: View, found: Rows, wanted: MessageFilter) -> None:
    words = view.words
    if not found.items:
        html(empty(words("messages.none"), words("messages.none_advice")))
        return
    columns = [
        Column("column.received", "time"),
        Column("column.system"),
        Column("column.stream"),
        Column("column.state"),
        Column("messages.records", "number"),
        Column("messages.accepted", "number"),
        Column("messages.quarantined", "number"),
        Column("messages.ignored", "number"),
        Column("column.id", "code"),
    ]
    rows = [
        (
            moment(words, row["received_at"]),
            row["system"],
            row["stream"],
            state(words, "message", row["state"]),
            words.number(row["records"]),
            words.number(row["accepted"]),
            h("b", words.number(row["quarantined"]), cls="problem") if row["quarantined"] else words.number(0),
            words.number(row["ignored"]),
            link(code(row["id"]), view.link(f"/messages/{row['id']}")),
        )
        for row in found.items
    ]
    html(table(words, columns, rows, caption="messages.title"))
    query = {"system": wanted.system, "stream": wanted.stream, "state": wanted.state}
    if following := pager(view, "/messages", found.next, "before", **query):
        html(following)


def _draw_message(view: View, story: Story) -> None:
    words, message = view.words, story.messages[0]
    heading = words("message.heading", system=message.system, stream=message.stream)
    title(view, heading, state(words, "message", message.state))
    if message.error:
        html(h("div", problem(words, message.error), cls="note bad"))
    _draw_buttons(view, message)
    html(panel(None, _facts(view, story, message)))
    records = [record(view, each) for each in message.records]
    html(panel(words("message.records"), records or h("p", words("message.no_results"), cls="muted")))
    if message.records_cut:
        html(h("p", words("message.cut", count=words.number(len(message.records))), cls="muted"))
    html(h("details", h("summary", words("message.raw")), document(message.body), cls="plain"))
    for run in story.runs:
        draw_run(view, run)
    draw_waterfalls(view, story)


def _draw_buttons(view: View, message: MessageStory) -> None:
    words = view.words

    async def replay() -> None:
        explain = words("message.replay_explain")
        if await ask(view, words("message.replay_ask"), explain=explain, do=words("message.replay")) is None:
            return
        if started := await view.perform("message.replay", message_id=message.id):
            view.say(words("message.replayed", run=started["run_id"]))
        await view.refresh()

    with ui.element("div").classes("buttons"):
        if view.may("ops", "write"):
            button(words("message.replay"), replay, mark="replay")
        if message.records and view.may("data", "unmask") and view.is_personal(message.system, message.stream):
            reveal_button(view, "message", message.id, records=len(message.records))


def _facts(view: View, story: Story, message: MessageStory) -> Html:
    words = view.words
    traceparent = story.summary.get("traceparent")
    trace = traceparent.split("-")[1] if traceparent else None
    return facts(
        words,
        [
            ("column.id", code(message.id)),
            ("column.received", moment(words, message.received_at)),
            ("message.applied_at", moment(words, message.applied_at)),
            ("message.key", code(message.idempotency_key)),
            *((f"messages.{name}", words.number(number)) for name, number in message.counts.items()),
            ("message.media_type", message.media_type),
            ("record.mapping", code(message.mapping_version)),
            ("column.trace", link(code(trace), view.link(f"/story/trace/{trace}")) if trace else None),
        ],
    )
