"""Asking a person before something is done: a question, fields, and two buttons."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from hub_api.console.html import Html, h
from hub_api.console.view import View, html


@dataclass(frozen=True, slots=True)
class Field:
    """Something to fill in. ``kind``: line, text or source (a document). ``least`` is how many characters it needs."""

    name: str
    label: str
    kind: str = "line"
    value: str = ""
    least: int = 0


def button(text: str, do: Callable[[], Awaitable[Any] | Any], *, kind: str = "plain", mark: str = "") -> ui.button:
    """A button; ``kind`` is plain, first (the thing to do) or bad (hard to undo); ``mark`` names it in the page."""
    made = ui.button(text, on_click=do, color=None).classes(f"{kind}-button")
    made.props("unelevated no-caps")
    return made.props(f"data-do={mark}") if mark else made


async def ask(
    view: View,
    question: str,
    *,
    explain: str | Html = "",
    fields: Sequence[Field] = (),
    do: str,
    bad: bool = False,
    wide: bool = False,
) -> dict[str, str] | None:
    """Open a dialog; what was filled in by name, or None if the person changed their mind."""
    with (
        view.client,
        ui.dialog().props("no-backdrop-dismiss") as dialog,
        ui.card().classes("wide-card" if wide or _wide(fields) else ""),
    ):
        html(h("div", question, cls="dialog-title", role="heading", aria_level="2"))
        if explain:
            html(explain if isinstance(explain, Html) else h("p", explain, cls="muted"))
        inputs = {field.name: (_input(view, field), field) for field in fields}

        def finish() -> None:
            if all(_complete(view, box, field) for box, field in inputs.values()):
                dialog.submit({name: str(box.value or "") for name, (box, _) in inputs.items()})

        for box, field in inputs.values():
            if field.kind == "line":
                box.on("keydown.enter", finish)

        with ui.element("div").classes("buttons"):
            button(do, finish, kind="bad" if bad else "first")
            button(view.words("dialog.cancel"), lambda: dialog.submit(None))
    answer: dict[str, str] | None = await dialog
    dialog.delete()
    return answer


def _wide(fields: Sequence[Field]) -> bool:
    return any(field.kind == "source" for field in fields)


def _input(view: View, field: Field) -> ui.input | ui.textarea:
    label = view.words(field.label)
    if field.kind == "line":
        return ui.input(label, value=field.value).props("outlined dense autocomplete=off spellcheck=false")
    box = ui.textarea(label, value=field.value).props("outlined dense")
    if field.kind == "source":
        box.classes("source").props("rows=20 spellcheck=false")
    return box


def _complete(view: View, box: ui.input | ui.textarea, field: Field) -> bool:
    if len(str(box.value or "").strip()) >= field.least:
        return True
    box.error = view.words("dialog.least", count=field.least)
    return False
