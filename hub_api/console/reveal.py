"""Seeing personal values in the clear: a button that asks why; each time is audited."""

from nicegui import ui

from hub_api.console.dialogs import Field, ask, button
from hub_api.console.html import h
from hub_api.console.view import View, html
from hub_api.unmasking import MIN_REASON


def reveal_button(view: View, what: str, subject_id: str, *, records: int = 0) -> None:
    """A button that shows the personal values of one thing (see ``unmasking.reveal``) in a dialog.

    With several ``records`` it asks for the number of one, and ``subject_id`` is their message.
    """
    words = view.words
    numbered = [Field("number", "reveal.number", value="1", least=1)] if records else []

    async def reveal() -> None:
        given = await ask(
            view,
            words("reveal.ask"),
            explain=words("reveal.explain"),
            fields=[*numbered, Field("reason", "reveal.reason", kind="text", least=MIN_REASON)],
            do=words("reveal.do"),
        )
        if given is None:
            return
        subject = f"{subject_id}:{_position(given['number'])}" if numbered else subject_id
        shown = await view.perform("personal.unmask", what=what, subject_id=subject, reason=given["reason"])
        if shown is None:
            return
        with view.client, ui.dialog() as dialog, ui.card():
            html(h("div", words("reveal.title"), cls="dialog-title", role="heading", aria_level="2"))
            pairs = [h("div", h("dt", name), h("dd", str(value))) for name, value in shown.items()]
            html(h("dl", pairs, cls="facts revealed"))
            button(words("reveal.close"), lambda: dialog.submit(None))
        await dialog
        dialog.delete()

    button(words("reveal.do"), reveal, mark="reveal")


def _position(number: str) -> str:
    """The position of the record with that number, as people count them; any other text names no record."""
    return str(int(number) - 1) if number.strip().isdecimal() and number.isascii() else number
