"""*Why did this order ship from there?* Every routing decision about an order, and what other rules would have done."""

from typing import Any

from nicegui import ui

from hub_api import decisions, routing_rules
from hub_api.console import decision_parts
from hub_api.console.dialogs import button
from hub_api.console.html import Html, h
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import empty, link, state
from hub_api.decisions import OrderDecisions, Tried
from hub_api.routing_rules import RulesState


@page("/orders/{order_id}/decisions", title="decision.title")
async def show_decisions(view: View) -> None:
    """The last round, or the one in the address."""
    order_id, asked = view.need_id("order_id"), view.id_arg("round")

    async def load() -> OrderDecisions:
        return await view.read(decisions.order_decisions, order_id)

    await view.show(load, lambda found: _draw(view, found, asked))
    await _draw_other_rules(view, order_id, asked)


def _draw(view: View, found: OrderDecisions, asked: int | None) -> None:
    words = view.words
    order = link(f"{found.channel} {found.order_no}", view.link(f"/orders/{found.order_id}"))
    title(view, words("decision.heading", order=found.order_no), state(words, "word", found.status), order)
    told = _round(found, asked)
    if told is None:
        html(empty(words("decision.none"), words("decision.none_advice")))
        return
    if len(found.rounds) > 1:
        html(_tabs(view, found, told["round"]))
    html(decision_parts.answer(view, told))
    if passed_by := decision_parts.nearer(view, told):
        html(passed_by)
    decision_parts.draw_summary(view, found, told)
    html(h("h2", words("decision.by_line")))
    html(decision_parts.lines(view, told))


def _round(found: OrderDecisions, asked: int | None) -> Any:
    return next((each for each in reversed(found.rounds) if asked in (None, each["round"])), None)


def _tabs(view: View, found: OrderDecisions, here: int) -> Html:
    words = view.words
    path = f"/orders/{found.order_id}/decisions"
    shown = [
        h(
            "a",
            words("decision.round", number=each["round"], cause=words.name("cause", each["cause"])),
            href=view.link(path, round=each["round"]),
            aria_current="page" if each["round"] == here else None,
        )
        for each in found.rounds
    ]
    return h("nav", shown, cls="tabs", aria_label=words("decision.rounds"))


async def _draw_other_rules(view: View, order_id: int, asked: int | None) -> None:
    """Other rules on the same problem: a published version by the address, or a text that was changed."""
    words = view.words
    found = await view.read(decisions.order_decisions, order_id)
    if not found.rounds:
        return
    rules: RulesState = await view.read(routing_rules.rules_state, None)
    html(h("h2", words("decision.what_if")))
    path = f"/orders/{order_id}/decisions"
    versions = [(str(each.version), f"v{each.version} · {each.note}") for each in rules.history]
    versions.append(("0", words("rules.builtin")))
    html(decision_parts.version_form(view, path, versions, round=asked))
    version = view.id_arg("rules")
    if version is not None:

        async def load() -> Tried:
            return await view.read(decisions.try_version, order_id, version or 0, round_no=asked)

        await view.show(load, lambda answer: _draw_tried(view, answer))
    _draw_editor(view, order_id, asked, rules.text)


def _draw_tried(view: View, answer: Tried) -> None:
    html(decision_parts.tried(view, answer))


def _draw_editor(view: View, order_id: int, asked: int | None, text: str) -> None:
    words = view.words
    with ui.element("details").classes("panel"):
        with ui.element("summary"):
            html(h("h2", words("decision.own_text")))
        with ui.element("div").classes("part"):
            html(h("p", words("decision.own_text_advice"), cls="muted"))
            box = ui.textarea(value=text).props("outlined dense rows=14 spellcheck=false").classes("source")
            box.props(f'aria-label="{words("decision.own_text")}"').props("data-field=rules")
            buttons = ui.element("div").classes("buttons")
            place = ui.element("div").classes("part")

    async def attempt() -> None:
        answer = await view.perform("order.try_rules", order_id=order_id, text=str(box.value), round_no=asked)
        place.clear()
        if answer is not None:
            with place:
                html(decision_parts.tried(view, answer))

    with buttons:
        button(words("mapping.try"), attempt, kind="first", mark="try-rules")
