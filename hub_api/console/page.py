"""Registering a page: ``@page(path, title=…, needs=…)`` over an async function that takes the View."""

import copy
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from nicegui import Client, ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from canonical_model.errors import HubError, NotFoundError, TransientError
from hub_api.console import shell
from hub_api.console.guard import SIGN_IN, VISIT
from hub_api.console.view import SessionEndedError, View
from hub_api.console.words import words_of

BUILD_S: Final = 60.0
Build = Callable[[View], Awaitable[None]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """A registered page. ``path`` is below ``/console``; ``menu`` is its place in the navigation, None: not there."""

    path: str
    title: str
    needs: tuple[str, str]
    menu: int | None
    icon: str
    build: Build


PAGES: Final[dict[str, Page]] = {}


def page(
    path: str, *, title: str, needs: tuple[str, str] = ("ops", "read"), menu: int | None = None, icon: str = ""
) -> Callable[[Build], Build]:
    """Register an async function as the page at ``/console`` + ``path``; ``title`` is a key of the texts."""

    def register(build: Build) -> Build:
        PAGES[path] = each = Page(path, title, needs, menu, icon, build)

        @ui.page(path, response_timeout=BUILD_S)
        async def opened(request: Request) -> Response | None:
            return await _open(each, request)

        return build

    return register


def menu() -> list[Page]:
    """The pages of the navigation, in their order."""
    return sorted((each for each in PAGES.values() if each.menu is not None), key=lambda each: each.menu or 0)


async def _open(each: Page, request: Request) -> Response | None:
    client = ui.context.client
    words = words_of(request.cookies, request.headers.get("accept-language", ""))
    view = View(request.scope[VISIT], words, request, client)
    _dress(client, view, words(each.title))
    client.on_exception(lambda: view.say(words("error.broken", number=_logged(each)), "negative"))
    try:
        async with shell.around(view, menu(), each):
            await _build(view, each)
    except SessionEndedError:
        return RedirectResponse(SIGN_IN, 303)
    return None


async def _build(view: View, each: Page) -> None:
    try:
        view.visit.access.require(*each.needs)
        await each.build(view)
    except SessionEndedError:
        raise
    except HubError as error:
        view.client.status_code = _status(error)
        _log.info("console page %s: %s", each.path, error.code)
        shell.refused(view, error)
    except Exception:  # noqa: BLE001 - whatever broke, the person is told in the console's own words
        view.client.status_code = 500
        shell.broken(view, _logged(each))


def _logged(each: Page) -> str:
    """Log the exception in hand; the number under which the log has it."""
    number = secrets.token_hex(4)
    _log.exception("console page %s: error %s", each.path, number)
    return number


def _status(error: HubError) -> int:
    """What a page that cannot be shown answers with."""
    if isinstance(error, TransientError):
        return 503
    return 404 if isinstance(error, NotFoundError) else 403


def _dress(client: Client, view: View, title: str) -> None:
    """Language, theme and title of this one page; NiceGUI keeps them on the page of all viewers."""
    own = copy.copy(client.page)
    own.language = view.words.html_language  # type: ignore[assignment]
    own.dark = {"dark": True, "light": False}.get(view.theme)
    client.page = own
    client.title = f"{title} · {view.words('shell.name')}"
