"""*Routing rules*: what is in force and was before; changing it, with what the change would do, and publishing it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from nicegui import ui

from hub_api import routing_rules
from hub_api.console import reads, rules_parts
from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import h
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.what_if_parts import draw_what_if, summary
from hub_api.console.widgets import link, moment, panel, state
from hub_api.routing_rules import Checked, RulesState

MIN_REASON: Final = 10
WHAT_IF_ORDERS: Final = 500


@page("/rules", title="rules.title", menu=45, icon="rules")
async def show_rules(view: View) -> None:
    """The rulebook in force, or the version in the address."""
    version = view.id_arg("version")

    async def load() -> RulesState:
        return await view.read(routing_rules.rules_state, version)

    await view.show(load, lambda found: _draw(view, found))


def _draw(view: View, found: RulesState) -> None:
    words = view.words
    in_force = found.version == found.latest
    title(
        view,
        words("rules.heading", version=found.version) if found.version else words("rules.title"),
        state(words, "mapping_state", "in_force") if in_force else None,
        h("span", found.published_by, " ", moment(words, found.published_at)) if found.published_at else None,
    )
    if not in_force:
        back = link(words("rules.to_latest", version=found.latest), view.link("/rules"))
        html(h("div", words("rules.not_in_force"), " ", back, cls="note warn"))
    if not found.version:
        html(h("div", words("rules.default"), cls="note"))
    if found.note:
        html(h("p", found.note, cls="muted"))
    html(panel(words("rules.summary"), rules_parts.summary(view, found.base)))
    html(rules_parts.own_rules(view, found))
    _draw_editor(view, found)
    if found.lines:
        html(panel(words("rules.since", version=found.version - 1), rules_parts.difference(found.lines)))
    html(rules_parts.history(view, found))


def _draw_editor(view: View, found: RulesState) -> None:
    """The text to be changed; what the changed one would do is shown below it."""
    words = view.words
    with ui.element("div").classes("plain part"):
        html(h("h2", words("rules.text"), " ", h("code", found.fingerprint[:12], cls="muted")))
        html(h("p", words("rules.text_advice"), cls="muted"))
        box = ui.textarea(value=found.text).props("outlined dense rows=16 spellcheck=false").classes("source")
        box.props(f'aria-label="{words("rules.text")}"').props("data-field=rules")
        buttons = ui.element("div").classes("buttons")
        place = ui.element("div").classes("part")

    async def check() -> None:
        answer = await view.perform("rules.check", text=str(box.value))
        if answer is not None:
            _show(place, lambda: html(rules_parts.checked(view, answer)))

    async def what_if() -> None:
        with waiting(asking):
            answer = await view.perform("rules.what_if", text=str(box.value), limit=WHAT_IF_ORDERS)
            names = await view.read(reads.name_places)
        if answer is not None:
            _show(place, lambda: draw_what_if(view, answer, names))

    async def publish() -> None:
        with waiting(publishing):
            checked = await view.perform("rules.check", text=str(box.value))
            if checked is None:
                return
            _show(place, lambda: html(rules_parts.checked(view, checked)))
            if checked.issues or not checked.lines:
                return
            tried = await view.perform("rules.what_if", text=str(box.value), limit=WHAT_IF_ORDERS)
        await _publish(view, str(box.value), checked, tried)

    with buttons:
        button(words("rules.check"), check, mark="check")
        asking = button(words("rules.what_if", count=words.number(WHAT_IF_ORDERS)), what_if, mark="what-if")
        if view.may("data", "write"):
            publishing = button(words("rules.publish"), publish, kind="first", mark="publish")


def _show(place: ui.element, draw: Callable[[], object]) -> None:
    place.clear()
    with place:
        draw()


@contextmanager
def waiting(pressed: ui.button) -> Iterator[None]:
    """The button turns and takes no press meanwhile."""
    pressed.props("loading")
    try:
        yield
    finally:
        pressed.props(remove="loading")


async def _publish(view: View, text: str, checked: Checked, tried: Any) -> None:
    """Ask, with what would change and what that would have done, and publish."""
    words = view.words
    told = [h("p", words("rules.publish_explain"), cls="muted")]
    if checked.changes:
        told.append(rules_parts.changes(view, checked.changes))
    if tried is not None:
        told.append(summary(words, tried))
    given = await ask(
        view,
        words("rules.publish_ask", version=checked.against + 1),
        explain=h("div", told, cls="part told"),
        fields=[Field("reason", "rules.reason", kind="text", least=MIN_REASON)],
        do=words("rules.publish"),
        wide=True,
    )
    if given is None:
        return
    version = await view.perform("rules.publish", text=text, reason=given["reason"], against=checked.against)
    if version is not None:
        view.say(words("rules.published_now", version=version))
        view.client.open("/rules")
