"""Every page answers every role, with little or nothing to show, and never with a broken page."""

import re
from typing import Final

import httpx
import pytest

from flows.runtime.bootstrap import Hub
from hub_api.console.page import PAGES
from hub_api.roles import ROLES
from tests.hub_api.console.conftest import SESSION_COOKIE, Visitor, begin
from tests.hub_api.documents import product

PARTS: Final = {"{kind}": "order", "{system}": "pos", "{stream}": "sales", "{message_id}": "msg_unknown"}
EMPTY: Final = {
    "/audit",
    "/search",
    "/stock",
    "/points",
    "/points/member",
    "/rules",
    "/inbox",
    "/estate",
    "/messages",
    "/quarantine",
    "/runs",
    "/mappings/{system}/{stream}",
}


def address(path: str) -> str:
    return "/console" + re.sub(r"{\w+}", lambda part: PARTS.get(part[0], "1"), path.replace(":path}", "}"))


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_page_opens_for_every_role_and_says_when_there_is_nothing(visitor: Visitor, role: str) -> None:
    browser = visitor(role)
    for path, found in PAGES.items():
        page = browser.get(address(path))
        may = ":".join(found.needs) in ROLES[role] or "*" in ROLES[role]
        assert page.status_code == (403 if not may else 200 if path in EMPTY else 404), path
        assert "shell-navigation" in page.text, path


@pytest.mark.parametrize("wrong", ["/runs/x", f"/runs/{10**30}", "/quarantine/-1", "/orders/%00", "/runs/1'"])
def test_an_address_that_names_nothing_is_said_to(visitor: Visitor, wrong: str) -> None:
    page = visitor("viewer").get(f"/console{wrong}")
    assert page.status_code == 404
    assert "This cannot be shown" in page.text


@pytest.mark.parametrize(
    "odd",
    ["runs?after=x", "runs?state=%27%3B--", "messages?before=%F0%9F%8D%9C", "quarantine?system=a&stream=b&cause=c"],
)
def test_odd_filters_break_nothing(visitor: Visitor, odd: str) -> None:
    assert visitor("viewer").get(f"/console/{odd}").status_code in (200, 404)


def test_an_address_that_no_page_has_is_answered_within_the_shell(visitor: Visitor) -> None:
    page = visitor("viewer").get("/console/no/such/page")
    assert page.status_code == 404
    assert "There is no such page" in page.text
    assert "shell-navigation" in page.text


def test_a_page_that_breaks_says_so_and_tells_nothing(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    browser = visitor("viewer")
    monkeypatch.setattr("hub_api.console.reads.count_runs", break_down)
    page = browser.get("/console/runs")
    assert page.status_code == 500
    assert "Something unexpected happened" in page.text
    assert "a secret of the inside" not in page.text
    assert "a secret of the inside" in caplog.text


def test_a_page_shows_the_persons_language_and_theme(visitor: Visitor) -> None:
    browser = visitor("viewer")
    assert 'lang="en-US"' in browser.get("/console/runs").text
    browser.get("/console/preferences", params={"language": "zh", "theme": "dark", "back": "/console/runs"})
    page = browser.get("/console/runs").text
    assert 'lang="zh-CN"' in page
    assert "流程运行" in page
    assert "const dark = True" in page
    browser.get("/console/preferences", params={"language": "xx", "theme": "<script>"})
    assert 'lang="zh-CN"' in browser.get("/console/runs").text


def test_buttons_that_the_role_may_not_press_are_not_there(hub: Hub, visitor: Visitor) -> None:
    hub.database.run(
        "INSERT INTO flow_run (owner, brand, flow, version, business_key, state, error) VALUES"
        " (%s, %s, 'one_stock.ship_parcel', 1, 'P1', 'parked', '{\"code\": \"x\", \"detail\": \"look\"}')",
        (hub.estate.owner, hub.estate.brand),
    )
    assert "retry" in _buttons(visitor("operator").get("/console/inbox"))
    assert _buttons(visitor("viewer").get("/console/inbox")) == set()


@pytest.mark.parametrize("code", ["A/B?1#2", "A%2FB", "/A//B/", "中文/1&2", "../runs"])
def test_a_story_opens_from_search_whatever_its_code(hub: Hub, visitor: Visitor, code: str) -> None:
    hub.database.run(
        "INSERT INTO sku (owner, brand, code, spu, name, status, system, source_id, message_id, occurred_at)"
        " VALUES (%s, %s, %s, 'S', 'the cap of the story', 'active', 'hub', 'S', 'm', now())",
        (hub.estate.owner, hub.estate.brand, code),
    )
    browser = visitor("viewer")
    found = browser.get("/console/search", params={"q": code})
    (link,) = set(re.findall(r"/console/story/sku/[^\"\\&]+", found.text))
    page = browser.get(link)
    assert page.status_code == 200
    assert "the cap of the story" in page.text


def test_another_brands_things_do_not_exist(hub: Hub, visitor: Visitor) -> None:
    (run,) = hub.database.run(
        "INSERT INTO flow_run (owner, brand, flow, version, business_key, state) VALUES"
        " (%s, 'sister', 'one_stock.ship_parcel', 1, 'P1', 'parked') RETURNING id",
        (hub.estate.owner,),
    )
    browser = visitor("admin")
    assert browser.get(f"/console/runs/{run['id']}").status_code == 404
    assert "P1" not in browser.get("/console/runs").text
    assert "P1" not in browser.get("/console/inbox").text


def test_what_a_system_sent_is_shown_as_text(hub: Hub, visitor: Visitor, console_url: str) -> None:
    """Markup in a pushed record reaches the page escaped, twice: by our builder and by NiceGUI's template."""
    from hub_api.auth import create_key

    key = create_key(hub.database, owner=hub.estate.owner, brand=hub.estate.brand, name="t", scopes=["*"])
    pushed = httpx.post(
        f"{console_url}/v1/ingest/hub/products?wait=true",
        json=[{**product(), "name": "<img src=x onerror=alert(1)>", "extensions": {"k": "</script>"}}],
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    page = visitor("viewer").get(f"/console/messages/{pushed.json()['message_id']}").text
    assert "onerror=alert" in page
    assert "<img" not in page
    assert "&lt;img src=x" not in page.replace("&amp;lt;", "")
    assert '</script>"' not in page


def test_opening_pages_changes_nothing(hub: Hub, visitor: Visitor) -> None:
    browser = visitor("admin")
    browser.cookies.set(SESSION_COOKIE, begin(hub, "reader", "admin"))
    before = _written(hub)
    for path in PAGES:
        browser.get(address(path))
    assert _written(hub) == before


def _written(hub: Hub) -> dict[str, int]:
    """How many rows each table has, but for the marks that a session was used."""
    tables = hub.database.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    names = [row["tablename"] for row in tables]
    return {name: hub.database.run(f'SELECT count(*) AS n FROM "{name}"')[0]["n"] for name in names}


def _buttons(page: httpx.Response) -> set[str]:
    assert page.status_code == 200
    return set(re.findall(r'"data-do": ?"([a-z-]+)"', page.text))
