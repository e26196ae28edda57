"""Chromium without a head, a whole estate behind it, and people to sign in as.

Screenshots go to docs/pictures only when asked: ``pytest tests/browser --pictures docs/pictures`` (see ``picture``).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from flows.runtime import embedded
from flows.testing.databases import server_folder
from hub_api.demo.estate import DemoEstate, running_estate
from hub_api.demo.retailer import catalogue
from hub_api.demo.supply import open_sites, place_sites, send_goods
from tests.hub_api.accounts import PASSWORD, make_person
from tests.system.conftest import Shop, eventually

CHROMIUM: Final = shutil.which("chromium")
WAIT_MS: Final = 60_000
SIZE: Final = {"width": 1280, "height": 860}
ZONE: Final = "Asia/Shanghai"
PHONE: Final = {"width": 390, "height": 844}
# What a browser says when a page or socket was refused on purpose.
EXPECTED: Final = ("the server responded with a status of 4", "WebSocket connection to")

expect.set_options(timeout=WAIT_MS)

Open = Callable[..., "Desk"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--pictures FOLDER``: keep the screenshots of the documentation there."""
    parser.addoption("--pictures", default=None, help="folder for the console's screenshots (docs/pictures)")


class Desk:
    """A person at the console: one browser window."""

    def __init__(self, page: Page, url: str, pictures: Path | None) -> None:
        self.page = page
        self.url = f"{url}/console"
        self._pictures = pictures

    def go(self, path: str) -> None:
        """Open a page of the console and wait until it is alive."""
        self.page.goto(self.url + path)
        self.alive()

    def alive(self) -> None:
        """Wait until the page answers to a click."""
        self.page.locator(".shell-main").wait_for()
        self.page.wait_for_function("window.did_handshake === true")

    def sign_in(self, login: str, password: str = PASSWORD) -> None:
        """Fill in the form and send it."""
        self.page.fill("input[name=login]", login)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")

    def do(self, name: str) -> None:
        """Press the button of that action."""
        self.page.locator(f"[data-do={name}]").first.click()

    def confirm(self, **fields: str) -> None:
        """Fill in the open dialog and do what it asks about."""
        dialog = self.page.locator(".q-dialog")
        dialog.wait_for()
        for value in fields.values():
            dialog.locator("input, textarea").first.fill(value)
        dialog.locator(".first-button, .bad-button").first.click()
        dialog.wait_for(state="hidden")

    def picture(self, name: str, *, whole: bool = False) -> None:
        """Keep a screenshot for the documentation, if pictures are wanted."""
        if self._pictures is not None:
            self.page.screenshot(path=self._pictures / f"console-{name}.png", full_page=whole, animations="disabled")


@pytest.fixture(scope="session")
def program() -> str:
    """The browser's program; skipped where Debian's ``chromium`` is not installed."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; `apt-get install chromium` brings it")
    return CHROMIUM


@pytest.fixture(scope="module")
def chromium(program: str) -> Iterator[Browser]:
    """The browser. It does not outlive the module: Playwright keeps an event loop in this thread meanwhile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def estate(program: str) -> Iterator[DemoEstate]:
    """Running, with every place and all goods known and no stock anywhere; people to sign in as."""
    with server_folder() as folder, running_estate(folder, 7, faults={}) as running:
        for login, role in {"wang": "viewer", "li": "operator", "chen": "steward"}.items():
            make_person(running.hub, login, role)
        place_sites(running)
        open_sites(running)
        send_goods(running)
        last = catalogue()[-1].code
        eventually(lambda: running.hub.database.run("SELECT id FROM sku WHERE code = %s", (last,)), bool)
        yield running
        embedded.stop(folder / "postgres")


@pytest.fixture(scope="session")
def shop(estate: DemoEstate) -> Iterator[Shop]:
    """A channel, an operator of the API and a stock clerk."""
    opened = Shop(estate)
    yield opened
    opened.channel.close()
    opened.operator.close()


@pytest.fixture
def desk(chromium: Browser, estate: DemoEstate, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens windows; with a login, of somebody who has signed in. At the end no page complained about anything."""
    wanted = request.config.getoption("--pictures", default=None)
    said: list[str] = []
    contexts: list[BrowserContext] = []

    def open_desk(
        login: str | None = None,
        *,
        language: str = "en",
        theme: str = "light",
        size: Any = SIZE,
        zone: str = "Asia/Shanghai",
    ) -> Desk:
        context = chromium.new_context(viewport=size, locale="en-GB", timezone_id=zone, color_scheme="light")
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        liked = {"yipan_language": language, "yipan_theme": theme}
        context.add_cookies([{"name": name, "value": value, "url": estate.url} for name, value in liked.items()])
        page = context.new_page()
        page.on("console", lambda message: said.extend(_complaints(message)))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda asked: said.extend(_outward(asked.url, estate.url)))
        opened = Desk(page, estate.url, Path(wanted) if wanted else None)
        page.goto(f"{opened.url}/sign-in")
        if login is not None:
            opened.sign_in(login)
            opened.alive()
        return opened

    yield open_desk
    for context in contexts:
        context.close()
    assert said == []


@contextmanager
def without(simulator: Any) -> Iterator[None]:
    """The legacy system is down meanwhile."""
    simulator.stop()
    try:
        yield
    finally:
        simulator.start()


def _complaints(message: ConsoleMessage) -> list[str]:
    """What the browser holds against the page: above all, every breach of the content security policy."""
    if message.type not in ("error", "warning") or any(word in message.text for word in EXPECTED):
        return []
    return [f"{message.type}: {message.text}"]


def _outward(asked: str, ours: str) -> list[str]:
    """A request to anybody but the hub."""
    return [] if asked.startswith((ours, "data:", "blob:")) else [f"asked {asked}"]
