"""The console in this process: a server over the shared hub, and people signed in at it."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import pytest
import uvicorn

from flows.runtime.bootstrap import Hub
from hub_api import server, sessions
from hub_api.console.turns import Turns
from hub_api.people import create_person
from hub_api.rest.app import create_app
from tests.hub_api.accounts import shell

SESSION_COOKIE: Final = "yipan_session"
Visitor = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def console_url(open_hub: Hub) -> Iterator[str]:
    """Where the hub answers with its console."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            create_app(open_hub, console=True), log_config=None, http="h11", ws=server.SOCKETS, server_header=False
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@pytest.fixture
def visitor(hub: Hub, console_url: str) -> Iterator[Visitor]:
    """Makes browsers; with roles, of a person who has them and has signed in."""
    opened: list[httpx.Client] = []

    def open_browser(*roles: str, language: str = "en") -> httpx.Client:
        browser = httpx.Client(base_url=console_url, timeout=60, trust_env=False, headers={"Accept-Language": language})
        opened.append(browser)
        if roles:
            browser.cookies.set(SESSION_COOKIE, begin(hub, f"{'-'.join(roles)}-{len(opened)}", *roles))
        return browser

    yield open_browser
    for each in opened:
        each.close()


def begin(hub: Hub, login: str, *roles: str) -> str:
    """The token of a new session of a new person, who never needed a password."""
    create_person(hub, shell(hub), login, name=f"Name of {login}", roles=roles)
    with hub.database.unit() as uow:
        session = sessions.begin(uow, hub, login)
        uow.commit()
    return session.token


def form_token(page: httpx.Response) -> str:
    """The token that a page's form carries."""
    found = re.search(r'name="form_token" value="([^"]+)"', page.text) or re.search(
        r'name=\\"form_token\\" value=\\"([^"\\]+)', page.text.replace("&lt;", "<")
    )
    assert found, page.text[:500]
    return found[1]


def enter(
    browser: httpx.Client, login: str, password: str, *, forwarded: str | None = None, **more: str
) -> httpx.Response:
    """Fill in the sign-in form and send it; ``forwarded``: the address that a proxy says it is from."""
    token = form_token(browser.get("/console/sign-in"))
    form = {"form_token": token, "login": login, "password": password, **more}
    headers = {"X-Forwarded-For": forwarded} if forwarded else None
    return browser.post("/console/sign-in", data=form, headers=headers)


def full_turns() -> Turns:
    """Turns of which every one is taken, the waiting ones too."""
    turns = Turns("full", at_once=1, waiting=1)
    turns._inside = turns.room
    return turns


def token_of(browser: httpx.Client) -> str:
    """The session token that the browser holds."""
    return browser.cookies[SESSION_COOKIE]
