"""*Routing rules*: what is in force and was before; changing it, with what the change would do, and publishing it."""

from nicegui import ui

from hub_api import routing_rules
from hub_api.console import rules_parts
from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import Html, h, join
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.view import View, html
from hub_api.console.widgets import code, document, link, moment, panel, state
from hub_api.routing_rules import RulesState

MIN_REASON = 10


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
    if view.may("data", "write"):
        _draw_editor(view, found)
    else:
        html(panel(words("rules.text"), document(found.text), beside=code(found.fingerprint[:12])))
    if found.lines:
        html(panel(words("rules.since", version=found.version - 1), rules_parts.difference(found.lines)))
    html(rules_parts.history(view, found))


def _draw_editor(view: View, found: RulesState) -> None:
    words = view.words
    with ui.element("div").classes("plain part"):
        html(h("h2", words("rules.text"), " ", h("code", found.fingerprint[:12], cls="muted")))
        box = ui.textarea(value=found.text).props("outlined dense rows=16 spellcheck=false").classes("source")
        box.props(f'aria-label="{words("rules.text")}"').props("data-field=rules")
        buttons = ui.element("div").classes("buttons")
        place = ui.element("div").classes("part")

    async def check() -> None:
        place.clear()
        answer = await view.perform("rules.check", text=str(box.value))
        if answer is not None:
            with place:
                html(rules_parts.checked(view, answer))

    async def publish() -> None:
        await _publish(view, str(box.value), place)

    with buttons:
        button(words("rules.check"), check, mark="check")
        button(words("rules.publish"), publish, kind="first", mark="publish")


async def _publish(view: View, text: str, place: ui.element) -> None:
    """Check first; ask only about what can be published and changes something."""
    words = view.words
    answer = await view.perform("rules.check", text=text)
    if answer is None:
        return
    place.clear()
    with place:
        html(rules_parts.checked(view, answer))
    if answer.issues or not answer.lines:
        return
    given = await ask(
        view,
        words("rules.publish_ask", version=answer.against + 1),
        explain=_told(view, rules_parts.changes(view, answer.changes) if answer.changes else Html("")),
        fields=[Field("reason", "rules.reason", kind="text", least=MIN_REASON)],
        do=words("rules.publish"),
    )
    if given is None:
        return
    version = await view.perform("rules.publish", text=text, reason=given["reason"], against=answer.against)
    if version is not None:
        view.say(words("rules.published_now", version=version))
        view.client.open(view.link("/rules").removeprefix("/console"))


def _told(view: View, changes: Html) -> Html:
    return join(h("p", view.words("rules.publish_explain"), cls="muted"), changes)
