"""*Runs*: the durable runs of flows by state, one run's timeline, and the inbox of what waits for a person."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from hub_api.console import reads
from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import Html, h, join
from hub_api.console.page import page
from hub_api.console.reads import RunDetail, Stuck
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import (
    TONES,
    Column,
    choice,
    code,
    counts,
    document,
    empty,
    entry,
    facts,
    filters,
    link,
    moment,
    pager,
    panel,
    problem,
    short,
    state,
    table,
)

STATES = ("parked", "running", "ready", "waiting", "done", "undone")
IN_DOUBT = ("in_doubt", "intended")


@page("/runs", title="runs.title", menu=50, icon="runs")
async def show_runs(view: View) -> None:
    """The list, by state and flow, newest first."""
    words = view.words
    wanted = {name: view.arg(name) for name in ("state", "flow", "key")}
    title(view, words("runs.title"), _tabs(view, "all"))

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

    async def load() -> reads.Rows:
        return await view.read(reads.list_runs, **wanted, after=view.id_arg("after"))

    await view.show(load, lambda found: _draw_list(view, found, wanted), every_s=3)


@page("/runs/inbox", title="inbox.title")
async def show_inbox(view: View) -> None:
    """Everything that waits for a person, with what is known of it."""
    title(view, view.words("inbox.title"), _tabs(view, "inbox"))

    async def load() -> reads.Rows:
        return await view.read(reads.list_stuck, after=view.id_arg("after"))

    await view.show(load, lambda found: _draw_inbox(view, found), every_s=3)


@page("/runs/{run_id}", title="run.title")
async def show_run(view: View) -> None:
    """One run: where it stands, every try of every step, every outside write, and what a person may do."""
    run_id = view.need_id("run_id")

    async def load() -> RunDetail:
        return await view.read(reads.read_run, run_id)

    await view.show(load, lambda found: _draw_run(view, found), every_s=3)


def _tabs(view: View, here: str) -> Html:
    places = [("all", "/runs", "runs.all"), ("inbox", "/runs/inbox", "inbox.title")]
    links = [
        link(view.words(text), view.link(path), aria_current="page" if name == here else None)
        for name, path, text in places
    ]
    return h("nav", links, cls="tabs", aria_label=view.words("runs.title"))


def _draw_counts(view: View, found: Mapping[str, int]) -> None:
    tones = {"parked": "bad"}
    html(counts(view.words, [(f"run.{name}", number, tones.get(name, "")) for name, number in found.items()]))


def _draw_list(view: View, found: reads.Rows, wanted: Mapping[str, str | None]) -> None:
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
            short((row["error"] or {}).get("detail")) if row["error"] else None,
            moment(words, row["updated_at"]),
        )
        for row in found.items
    ]
    html(table(words, columns, rows, caption="runs.title"))
    if following := pager(view, "/runs", found.next, "after", **wanted):
        html(following)


def _draw_inbox(view: View, found: reads.Rows) -> None:
    words = view.words
    if not found.items:
        html(empty(words("inbox.none"), words("inbox.none_advice")))
        return
    for stuck in found.items:
        with ui.element("div").classes("panel"):
            _draw_stuck(view, stuck)  # type: ignore[arg-type]
    if following := pager(view, "/runs/inbox", found.next, "after"):
        html(following)


def _draw_stuck(view: View, stuck: Stuck) -> None:
    words, run = view.words, stuck.run
    name = link(f"{words.name('flow', run['flow'])} · {run['business_key']}", view.link(f"/runs/{run['id']}"))
    html(h("div", h("h2", name), h("div", moment(words, run["updated_at"]), cls="beside"), cls="title"))
    html(join(problem(words, run["error"]) or ""))
    for doubt in stuck.doubts:
        _draw_effect(view, run, doubt)
    if not stuck.doubts and view.may("ops", "write"):
        _draw_buttons(view, run, ())


def _draw_run(view: View, found: RunDetail) -> None:
    words, run = view.words, found.run
    title(
        view,
        words("run.heading", flow=words.name("flow", run["flow"]), key=run["business_key"]),
        state(words, "run", run["state"]),
    )
    if run["error"]:
        html(h("div", problem(words, run["error"]), cls="note bad"))
    doubts = [effect for effect in run["effects"] if effect["state"] in IN_DOUBT and run["state"] == "parked"]
    for doubt in doubts:
        with ui.element("div").classes("plain part"):
            _draw_effect(view, run, doubt)
    if not doubts and view.may("ops", "write"):
        _draw_buttons(view, run, found.steps)
    html(panel(words("run.facts"), _facts(view, run)))
    html(
        h(
            "div",
            panel(words("run.timeline"), _timeline(view, run) or h("p", words("run.no_steps"), cls="muted")),
            panel(words("run.effects"), _effects(view, run) or h("p", words("run.no_effects"), cls="muted")),
            cls="pair",
        )
    )
    if found.children:
        html(panel(words("run.children"), _children(view, found)))


def _facts(view: View, run: Mapping[str, Any]) -> Html:
    words = view.words
    parent = run["parent_id"] and link(code(run["parent_id"]), view.link(f"/runs/{run['parent_id']}"))
    trace = run["traceparent"].split("-")[1] if run["traceparent"] else None
    return facts(
        words,
        [
            ("column.id", code(run["id"])),
            ("run.version", run["version"]),
            ("run.direction", words.name("direction", run["direction"])),
            ("run.lane", run["lane"]),
            ("run.outcome", run["outcome"] and words.name("outcome", run["outcome"])),
            ("run.attempt", run["attempt"] or None),
            (
                "run.wake_at",
                (run["wake_at"] and run["state"] in ("ready", "waiting") and moment(words, run["wake_at"])) or None,
            ),
            ("run.waiting_for", ", ".join(run["waiting_for"]) or None),
            ("run.parent", parent or None),
            ("column.created", moment(words, run["created_at"])),
            ("column.updated", moment(words, run["updated_at"])),
            ("column.trace", trace and link(code(trace), view.link("/search", q=trace))),
        ],
    )


def _timeline(view: View, run: Mapping[str, Any]) -> Html | None:
    words = view.words
    if not run["history"]:
        return None
    return h(
        "ol",
        [
            h(
                "li",
                h(
                    "div",
                    h(
                        "div",
                        h("b", words.name("step", each["step"])),
                        words("run.undo") if each["direction"] == "undo" else None,
                        state(words, "try", each["outcome"]),
                        h("span", words("run.try", count=each["attempt"]), cls="muted")
                        if each["attempt"] > 1
                        else None,
                        h("span", words.span((each["ended_at"] - each["started_at"]).total_seconds()), cls="muted"),
                        moment(words, each["started_at"]),
                        cls="line",
                    ),
                    problem(words, each["error"]),
                ),
                cls=TONES.get(each["outcome"], ""),
            )
            for each in run["history"]
        ],
        cls="steps",
    )


def _effects(view: View, run: Mapping[str, Any]) -> Html | None:
    words = view.words
    if not run["effects"]:
        return None
    columns = [
        Column("effect.writer"),
        Column("column.state"),
        Column("effect.outside_id", "code"),
        Column("effect.attempts", "number"),
        Column("column.created", "time"),
    ]
    rows = [
        (
            join(h("div", f"{each['system']}.{each['writer']}"), problem(words, each["error"]) or ""),
            state(words, "effect", each["state"]),
            code(each["outside_id"]),
            words.number(each["attempts"]),
            moment(words, each["intended_at"]),
        )
        for each in run["effects"]
    ]
    return table(words, columns, rows, caption="run.effects")


def _children(view: View, found: RunDetail) -> Html:
    words = view.words
    columns = [Column("column.id", "code"), Column("column.state"), Column("runs.flow"), Column("runs.key", "code")]
    rows = [
        (
            link(code(each["id"]), view.link(f"/runs/{each['id']}")),
            state(words, "run", each["state"]),
            words.name("flow", each["flow"]),
            code(each["business_key"]),
        )
        for each in found.children
    ]
    return table(words, columns, rows, caption="run.children")


def _draw_effect(view: View, run: Mapping[str, Any], effect: Mapping[str, Any]) -> None:
    """A write in doubt: what is known of it, and the two answers that a person may give."""
    words = view.words
    html(
        join(
            h("div", h("h2", words("effect.in_doubt", system=effect["system"], writer=effect["writer"])), cls="title"),
            h("p", words("effect.explain", system=effect["system"]), cls="muted"),
        )
    )
    html(
        facts(
            words,
            [
                ("effect.key", code(effect["key"])),
                ("run.step", words.name("step", effect["step"])),
                ("effect.attempts", words.number(effect["attempts"])),
                ("effect.intended_at", moment(words, effect["intended_at"])),
                ("column.error", problem(words, effect["error"])),
            ],
        )
    )
    if effect["answer"]:
        html(document(effect["answer"]))
    if not view.may("ops", "write"):
        return

    async def landed() -> None:
        given = await ask(
            view,
            words("effect.landed_ask", system=effect["system"]),
            explain=words("effect.landed_explain"),
            fields=[Field("outside_id", "effect.outside_id", value=effect["outside_id"] or "", least=1)],
            do=words("effect.landed"),
        )
        if given is not None:
            await settle(landed=True, outside_id=given["outside_id"].strip())

    async def not_landed() -> None:
        question = words("effect.not_landed_ask", system=effect["system"])
        if (
            await ask(
                view, question, explain=words("effect.not_landed_explain"), do=words("effect.not_landed"), bad=True
            )
            is not None
        ):
            await settle(landed=False)

    async def settle(**verdict: Any) -> None:
        if await view.perform("effect.settle", run_id=run["id"], effect_id=effect["id"], **verdict) is not None:
            view.say(words("effect.settled"))
        await view.refresh()

    with ui.element("div").classes("buttons"):
        button(words("effect.landed"), landed, kind="first", mark="landed")
        button(words("effect.not_landed"), not_landed, kind="bad", mark="not-landed")


def _draw_buttons(view: View, run: Mapping[str, Any], steps: tuple[str, ...]) -> None:
    words = view.words

    async def retry(step: str | None = None) -> None:
        if await view.perform("run.retry", run_id=run["id"], step=step) is not None:
            view.say(words("run.retried"))
        await view.refresh()

    async def retry_from() -> None:
        if step := await _ask_step(view, list(steps[: run["position"] + 1])):
            await retry(step)

    async def cancel() -> None:
        if (
            await ask(
                view, words("run.cancel_ask"), explain=words("run.cancel_explain"), do=words("run.cancel"), bad=True
            )
            is None
        ):
            return
        if await view.perform("run.cancel", run_id=run["id"]) is not None:
            view.say(words("run.cancelled"))
        await view.refresh()

    with ui.element("div").classes("buttons"):
        if run["state"] == "parked":
            button(words("run.retry"), retry, kind="first", mark="retry")
            if steps and run["direction"] != "undo" and run["position"] > 0:
                button(words("run.retry_from"), retry_from, mark="retry-from")
        if run["state"] not in ("done", "undone"):
            button(words("run.cancel"), cancel, kind="bad", mark="cancel")


async def _ask_step(view: View, steps: list[str]) -> str | None:
    words = view.words
    options = {each: words.name("step", each) for each in steps}
    with view.client, ui.dialog() as dialog, ui.card():
        html(h("div", words("run.retry_from"), cls="dialog-title", role="heading", aria_level="2"))
        html(h("p", words("run.retry_from_explain"), cls="muted"))
        chosen = ui.radio(options, value=steps[-1])
        with ui.element("div").classes("buttons"):
            button(words("run.retry_from"), lambda: dialog.submit(chosen.value), kind="first")
            button(words("dialog.cancel"), lambda: dialog.submit(None))
    step = await dialog
    dialog.delete()
    return str(step) if step else None
