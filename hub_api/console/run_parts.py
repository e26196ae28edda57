"""A run as pages show it: steps and tries, outside writes, writes in doubt with their evidence, and the buttons."""

from collections.abc import Sequence
from typing import Any, Final

from nicegui import ui

from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import Html, h, join
from hub_api.console.view import View, html
from hub_api.console.widgets import (
    TONES,
    code,
    document,
    facts,
    link,
    moment,
    panel,
    problem,
    state,
)
from hub_api.stories import EffectStory, Evidence, RunStory, StepStory

IN_DOUBT: Final = ("in_doubt", "intended")
OVER: Final = ("done", "undone")
READ_BACK_TONES: Final = {"landed": "note", "absent": "note warn", "unable": "note", "away": "note bad"}


def draw_run(view: View, run: RunStory, *, alone: bool = False) -> None:
    """One run: what it waits for, what a person may do, its steps and writes. ``alone``: the page is about it.

    One that has ended is a line that opens.
    """
    words = view.words
    if run.state in OVER and not alone:
        head = h("summary", _head(view, run, alone=False))
        html(h("details", head, _history(view, run), cls="panel run", data_run=run.id))
        return
    with ui.element("div").classes("panel run").props(f'data-run="{run.id}"'):
        html(h("header", _head(view, run, alone=alone))).classes("panel-head")
        if run.error and run.state not in OVER:
            html(h("div", problem(words, run.error), cls="note bad" if run.state == "parked" else "note warn"))
        doubts = [each for each in run.effects if each.state in IN_DOUBT] if run.state == "parked" else []
        for doubt in doubts:
            with ui.element("div").classes("doubt part"):
                draw_doubt(view, doubt)
        draw_buttons(view, run, settling=bool(doubts))
        if alone:
            html(_facts(view, run))
        html(_history(view, run))


def _history(view: View, run: RunStory) -> Html:
    words = view.words
    return h(
        "div",
        h("div", h("h3", words("run.timeline")), _timeline(view, run), cls="column"),
        h("div", h("h3", words("run.effects")), _effects(view, run.effects), cls="column"),
        cls="pair",
    )


def draw_buttons(view: View, run: RunStory, *, settling: bool = False) -> None:
    """What the viewer may do with the run now."""
    words = view.words
    if not view.may("ops", "write"):
        return

    async def retry(step: str | None = None) -> None:
        if await view.perform("run.retry", run_id=run.id, step=step) is not None:
            view.say(words("run.retried"))
        await view.refresh()

    async def retry_from() -> None:
        if step := await _ask_step(view, list(run.flow_steps[: run.position + 1])):
            await retry(step)

    async def cancel() -> None:
        explain = words("run.cancel_explain")
        if await ask(view, words("run.cancel_ask"), explain=explain, do=words("run.cancel"), bad=True) is None:
            return
        if await view.perform("run.cancel", run_id=run.id) is not None:
            view.say(words("run.cancelled"))
        await view.refresh()

    offered = [
        ("retry", words("run.retry"), retry, "plain" if settling else "first"),
        ("retry-from", words("run.retry_from"), retry_from, "plain"),
        ("cancel", words("run.cancel"), cancel, "bad"),
    ]
    may_choose = bool(run.flow_steps) and run.direction != "undo" and run.position > 0 and not settling
    can = {*run.can, *(("retry-from",) if "retry" in run.can and may_choose else ())}
    with ui.element("div").classes("buttons"):
        for name, text, do, kind in offered:
            if name in can:
                button(text, do, kind=kind, mark=name)


def draw_doubt(view: View, effect: EffectStory) -> None:
    """A write in doubt: what is known of it, a fresh look over there, and the two answers that a person may give."""
    words = view.words
    html(h("h2", words("effect.doubt_heading", system=effect.system, writer=effect.writer)))
    html(h("p", words("effect.explain", system=effect.system), cls="muted"))
    html(
        facts(
            words,
            [
                ("effect.key", code(effect.key)),
                ("effect.attempts", words.number(effect.attempts)),
                ("effect.intended_at", moment(words, effect.intended_at)),
            ],
        )
    )
    place = ui.element("div").classes("part")
    found: dict[str, str] = {}

    async def look() -> None:
        evidence = await view.perform("effect.look", effect_id=effect.id)
        if evidence is not None:
            found["outside_id"] = (evidence.read_back and evidence.read_back.outside_id) or ""
            place.clear()
            with place:
                html(_evidence(view, evidence))

    async def landed() -> None:
        given = await ask(
            view,
            words("effect.landed_ask", system=effect.system),
            explain=words("effect.landed_explain"),
            fields=[
                Field(
                    "outside_id", "effect.outside_id", value=found.get("outside_id") or effect.outside_id or "", least=1
                )
            ],
            do=words("effect.landed"),
        )
        if given is not None:
            await settle(landed=True, outside_id=given["outside_id"].strip())

    async def not_landed() -> None:
        given = await ask(
            view,
            words("effect.not_landed_ask", system=effect.system),
            explain=words("effect.not_landed_explain"),
            do=words("effect.not_landed"),
            bad=True,
        )
        if given is not None:
            await settle(landed=False)

    async def settle(**verdict: Any) -> None:
        settled = await view.perform("effect.settle", run_id=effect.run_id, effect_id=effect.id, **verdict)
        if settled is not None:
            view.say(words("effect.settled"))
        await view.refresh()

    with ui.element("div").classes("buttons"):
        button(words("effect.look", system=effect.system), look, mark="look")
        if view.may("ops", "write"):
            button(words("effect.landed"), landed, kind="first", mark="landed")
            button(words("effect.not_landed"), not_landed, kind="bad", mark="not-landed")


def _evidence(view: View, evidence: Evidence) -> Html:
    words = view.words
    back = evidence.read_back
    said = None
    if back is not None:
        said = h(
            "div",
            h("b", words(f"read_back.{back.answer}", system=evidence.effect.system)),
            " ",
            words("read_back.number", number=back.outside_id) if back.outside_id else None,
            h("p", words(f"read_back.then_{back.answer}")),
            h("p", back.words, cls="before") if back.answer in ("away", "unable") and back.words else None,
            h("p", moment(words, back.asked_at), cls="muted"),
            cls=READ_BACK_TONES[back.answer],
            data_answer=back.answer,
        )
    details = back is not None and back.detail
    return h(
        "div",
        said,
        panel(words("read_back.detail"), document(back.detail)) if back is not None and details else None,
        h("details", h("summary", words("read_back.sent")), document(evidence.sent)) if evidence.sent else None,
        cls="part",
    )


def _head(view: View, run: RunStory, *, alone: bool) -> Html:
    words = view.words
    name = words("run.heading", flow=words.name("flow", run.flow), key=run.business_key)
    heading = h("h2", words("run.now") if alone else link(name, view.link(f"/runs/{run.id}")))
    return join(heading, h("div", _where(view, run), state(words, "run", run.state), cls="beside"))


def _where(view: View, run: RunStory) -> Html | None:
    """At which step it stands, and until when it waits."""
    words = view.words
    if run.state in OVER:
        return h("span", words.name("outcome", run.outcome), cls="muted") if run.outcome not in (None, "done") else None
    step = run.flow_steps[run.position] if run.position < len(run.flow_steps) else None
    waited = [words.name("signal", each) for each in run.waiting_for]
    waits = words("run.waits_for", what=", ".join(waited)) if waited else None
    again = run.wake_at if run.state == "ready" and run.error else None
    return h(
        "span",
        words("run.at_step", step=words.name("step", step)) if step else None,
        " ",
        waits,
        [words("run.again_at"), " ", moment(words, again)] if again else None,
        cls="muted",
    )


def _facts(view: View, run: RunStory) -> Html:
    words = view.words
    return facts(
        words,
        [
            ("column.id", code(run.id)),
            ("run.version", run.version),
            ("run.direction", words.name("direction", run.direction)),
            ("run.lane", run.lane),
            ("run.outcome", words.name("outcome", run.outcome) if run.outcome else None),
            ("run.attempt", run.attempt or None),
            ("run.wake_at", moment(words, run.wake_at) if run.state in ("ready", "waiting") and run.wake_at else None),
            ("run.parent", link(code(run.parent_id), view.link(f"/runs/{run.parent_id}")) if run.parent_id else None),
            ("column.created", moment(words, run.created_at)),
            ("column.updated", moment(words, run.updated_at)),
        ],
    )


def _timeline(view: View, run: RunStory) -> Html:
    words = view.words
    if not run.steps and run.state in OVER:
        return h("p", words("run.no_steps"), cls="muted")
    ahead = []
    if run.state not in OVER and run.direction != "undo":
        ahead = [
            h("li", h("div", h("div", h("span", words.name("step", name), cls="muted"), cls="line")))
            for name in run.flow_steps[run.position :]
        ]
    return h("ol", [_try(view, each) for each in run.steps], ahead, cls="steps")


def _try(view: View, each: StepStory) -> Html:
    words = view.words
    line = h(
        "div",
        h("b", words.name("step", each.step), title=each.step),
        words("run.undo") if each.direction == "undo" else None,
        state(words, "try", each.outcome),
        h("span", words("run.try", count=each.attempt), cls="muted") if each.attempt > 1 else None,
        h("span", words.span((each.ended_at - each.started_at).total_seconds()), cls="muted"),
        moment(words, each.started_at),
        cls="line",
    )
    return h("li", h("div", line, problem(words, each.error)), cls=TONES.get(each.outcome, ""))


def _effects(view: View, effects: Sequence[EffectStory]) -> Html:
    words = view.words
    if not effects:
        return h("p", words("run.no_effects"), cls="muted")
    return h("ol", [_effect(view, each) for each in effects], cls="steps")


def _effect(view: View, each: EffectStory) -> Html:
    words = view.words
    line = h(
        "div",
        h("b", f"{each.system}.{each.writer}", title=each.key),
        state(words, "effect", each.state),
        code(each.outside_id) if each.outside_id else None,
        h("span", words("run.try", count=each.attempts), cls="muted") if each.attempts > 1 else None,
        moment(words, each.intended_at),
        cls="line",
    )
    return h("li", h("div", line, problem(words, each.error)), cls=TONES.get(each.state, ""))


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
