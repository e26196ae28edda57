"""*Runs*: the durable runs of flows by state, one run's story, and the inbox of what waits for a person."""

from collections.abc import Mapping
from typing import Final

from hub_api import stories
from hub_api.console import reads
from hub_api.console.html import h
from hub_api.console.page import page
from hub_api.console.reads import Rows, Stuck
from hub_api.console.run_parts import draw_run
from hub_api.console.shell import title
from hub_api.console.story_parts import draw_messages, draw_related, draw_waterfalls
from hub_api.console.view import View, html
from hub_api.console.widgets import (
    Column,
    choice,
    code,
    counts,
    empty,
    entry,
    filters,
    link,
    moment,
    pager,
    short,
    state,
    table,
)
from hub_api.stories import Story

STATES: Final = ("parked", "running", "ready", "waiting", "done", "undone")


@page("/inbox", title="inbox.title", menu=5, icon="inbox")
async def show_inbox(view: View) -> None:
    """Everything that waits for a person, with what is known of it."""
    title(view, view.words("inbox.title"))

    async def load() -> Stuck:
        return await view.read(reads.list_stuck, after=view.id_arg("after"))

    await view.show(load, lambda found: _draw_inbox(view, found), every_s=3)


@page("/runs", title="runs.title", menu=50, icon="runs")
async def show_runs(view: View) -> None:
    """The list, by state and flow, newest first."""
    words = view.words
    wanted = {name: view.arg(name) for name in ("state", "flow", "key")}
    title(view, words("runs.title"))

    async def load_counts() -> dict[str, int]:
        return await view.read(reads.count_runs)

    await view.show(load_counts, lambda found: _draw_counts(view, found), every_s=3)
    flows = [(name, words.name("flow", name)) for name in sorted(view.visit.hub.flows)]
    fields = [
        choice(view, "state", "runs.state", [(each, words.name("run", each)) for each in STATES]),
        choice(view, "flow", "runs.flow", flows),
        entry(view, "key", "runs.key"),
    ]
    html(filters(view, "/runs", fields))

    async def load() -> Rows:
        return await view.read(reads.list_runs, **wanted, after=view.id_arg("after"))

    await view.show(load, lambda found: _draw_list(view, found, wanted), every_s=3)


@page("/runs/{run_id}", title="run.title")
async def show_run(view: View) -> None:
    """One run: where it stands, every try of every step, every outside write, and what a person may do."""
    run_id = view.need_id("run_id")

    async def load() -> Story:
        return await view.read(stories.story, "run", str(run_id))

    await view.show(load, lambda found: _draw_run(view, found, run_id), every_s=3)


def _draw_counts(view: View, found: Mapping[str, int]) -> None:
    tones = {"parked": "bad"}
    html(counts(view.words, [(f"run.{name}", number, tones.get(name, "")) for name, number in found.items()]))


def _draw_list(view: View, found: Rows, wanted: Mapping[str, str | None]) -> None:
    words = view.words
    if not found.items:
        html(empty(words("runs.none"), words("runs.none_advice")))
        return
    columns = [
        Column("column.id", "code"),
        Column("column.state"),
        Column("runs.flow"),
        Column("runs.key", "code"),
        Column("runs.where"),
        Column("column.error"),
        Column("column.updated", "time"),
    ]
    rows = [
        (
            link(code(row["id"]), view.link(f"/runs/{row['id']}")),
            state(words, "run", row["state"]),
            words.name("flow", row["flow"]),
            code(row["business_key"]),
            words.name("outcome", row["outcome"]) if row["outcome"] else h("span", row["lane"], cls="muted"),
            short(row["error"].get("detail")) if row["error"] else None,
            moment(words, row["updated_at"]),
        )
        for row in found.items
    ]
    html(table(words, columns, rows, caption="runs.title"))
    if following := pager(view, "/runs", found.next, "after", **wanted):
        html(following)


def _draw_inbox(view: View, found: Stuck) -> None:
    words = view.words
    if not found.runs:
        html(empty(words("inbox.none"), words("inbox.none_advice")))
        return
    for run in found.runs:
        draw_run(view, run)
    if following := pager(view, "/inbox", found.next, "after"):
        html(following)


def _draw_run(view: View, story: Story, run_id: int) -> None:
    words = view.words
    run = next(each for each in story.runs if each.id == run_id)
    heading = words("run.heading", flow=words.name("flow", run.flow), key=run.business_key)
    title(view, heading, state(words, "run", run.state))
    draw_run(view, run, alone=True)
    draw_related(view, story.related)
    children = [each for each in story.runs if each.id != run_id]
    if children:
        html(h("h2", words("run.children")))
    for child in children:
        draw_run(view, child)
    draw_messages(view, story.messages)
    draw_waterfalls(view, story)
