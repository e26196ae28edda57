"""What is around every page: the header with search, language, theme and the viewer's menu; the navigation."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from nicegui import ui

from canonical_model.errors import HubError, TransientError
from hub_api.console import assets, reads
from hub_api.console.html import Html, h, join
from hub_api.console.icons import icon
from hub_api.console.view import THEMES, View, html, reason
from hub_api.console.widgets import empty
from hub_api.console.words import LANGUAGES

if TYPE_CHECKING:
    from hub_api.console.page import Page

ATTENTION_S: Final = 10.0


@asynccontextmanager
async def around(view: View, pages: "Sequence[Page]", here: "Page") -> AsyncIterator[None]:
    """The shell of a page; what is built inside is its content."""
    ui.add_head_html(assets.head(view.theme))
    ui.on("yipan_seen", lambda event: view.seen(visible=bool(event.args)))
    with ui.element("div").classes("shell"):
        html(_header(view)).classes("shell-header")
        with ui.element("div").classes("shell-navigation"):

            async def load() -> dict[str, int]:
                try:
                    return await view.read(reads.attention)
                except TransientError:
                    return {}

            await view.show(load, lambda found: _draw_navigation(view, pages, here, found), every_s=ATTENTION_S)
        with ui.element("div").classes("shell-main").props('id="main" tabindex="-1"'):
            yield


def title(view: View, text: str, *beside: Any) -> None:
    """The heading of a page, and what stands beside it."""
    html(h("div", h("h1", text), h("div", beside, cls="beside"), cls="title")).classes("wide")


def refused(view: View, error: HubError) -> None:
    """What a page shows when it may not, or cannot, show what was asked for."""
    html(empty(view.words("error.title"), reason(view.words, error)))


def broken(view: View, number: str) -> None:
    """What a page shows when something unexpected happened; ``number`` finds it in the hub's log."""
    html(empty(view.words("error.title"), view.words("error.broken", number=number)))


def preference(view: View, name: str, value: str) -> str:
    """The address that remembers a preference and comes back here."""
    return "/console/preferences?" + urlencode({name: value, "back": view.address})


def _header(view: View) -> Html:
    words = view.words
    access = view.visit.access
    search = h(
        "form",
        icon("search"),
        h(
            "input",
            type="search",
            name="q",
            value=view.arg("q") if view.request.url.path.endswith("/search") else None,
            placeholder=words("shell.search_hint"),
            aria_label=words("shell.search"),
            autocomplete="off",
            spellcheck="false",
            maxlength=200,
        ),
        h("kbd", "/", aria_hidden="true"),
        action="/console/search",
        method="get",
        role="search",
        cls="shell-search",
    )
    languages = [
        h(
            "a",
            words(f"language.{each}"),
            href=preference(view, "language", each),
            aria_current="true" if each == words.language else None,
            lang=each,
        )
        for each in LANGUAGES
    ]
    themes = [
        h(
            "a",
            words(f"theme.{each}"),
            href=preference(view, "theme", each),
            aria_current="true" if each == view.theme else None,
        )
        for each in THEMES
    ]
    return join(
        h("a", words("shell.skip"), href="#main", cls="skip"),
        h("a", h("b", words("shell.mark")), h("span", words("shell.name")), href="/console/", cls="mark"),
        h("span", access.brand, cls="brand", title=words("shell.brand")),
        search,
        h("div", languages, cls="switch", role="group", aria_label=words("shell.language")),
        h("div", themes, cls="switch themes", role="group", aria_label=words("shell.theme")),
        _person(view),
    )


def _person(view: View) -> Html:
    words, visit = view.words, view.visit
    token = h("input", type="hidden", name="form_token", value=visit.form_token)
    brands = [
        h(
            "form",
            token,
            h("input", type="hidden", name="brand", value=brand),
            h("button", words("shell.use_brand", brand=brand), type="submit"),
            method="post",
            action="/console/brand",
        )
        for brand in visit.session.brands
        if brand != visit.access.brand
    ]
    leave = h("button", words("shell.sign_out"), type="submit")
    return h(
        "details",
        h("summary", icon("person"), h("span", visit.session.login), aria_label=words("shell.person")),
        h(
            "div",
            h("p", visit.session.name),
            h("p", ", ".join(words.name("role", role) for role in visit.session.roles), cls="muted"),
            h("p", words("shell.zone", zone=words.zone), cls="muted"),
            h("a", words("shell.password"), href="/console/password"),
            brands,
            h("form", token, leave, method="post", action="/console/sign-out"),
            cls="sheet",
        ),
        cls="person",
    )


def _draw_navigation(view: View, pages: "Sequence[Page]", here: "Page", waiting: Mapping[str, int]) -> None:
    html(_navigation(view, pages, here, waiting))


def _navigation(view: View, pages: "Sequence[Page]", here: "Page", waiting: Mapping[str, int]) -> Html:
    links = [
        h(
            "a",
            icon(each.icon),
            h("span", view.words(each.title)),
            _badge(view, waiting.get(each.path, 0)),
            href=view.link(each.path),
            aria_current="page" if each.path == here.path or here.path.startswith(each.path + "/") else None,
        )
        for each in pages
        if view.may(*each.needs)
    ]
    return h("nav", links, aria_label=view.words("shell.navigation"))


def _badge(view: View, count: int) -> Html | None:
    """How many things wait; counted so far only."""
    if not count:
        return None
    more = "+" if count >= reads.MOST_COUNTED else ""
    return h("span", view.words.number(count) + more, cls="badge", title=view.words("shell.waiting"))
