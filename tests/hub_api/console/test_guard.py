"""Nothing under /console answers without a session but the sign-in; every answer carries the security headers."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from canonical_model.errors import TransientError
from flows.runtime.bootstrap import Hub
from hub_api import sessions
from hub_api.console import app as console_app
from hub_api.console.guard import OPEN
from hub_api.console.page import PAGES
from hub_api.rest.app import create_app
from tests.hub_api.console.conftest import SESSION_COOKIE, Visitor, token_of
from tests.hub_api.doors import Door, walk


def doors(hub: Hub) -> Iterator[Door]:
    """Every door under /console."""
    assert console_app
    for door in walk(create_app(hub, console=True).routes):
        if door.template.startswith("/console"):
            yield door


def socket_url(url: str, client_id: str = "x") -> str:
    query = f"EIO=4&transport=websocket&client_id={client_id}&implicit_handshake=false"
    return url.replace("http", "ws", 1) + f"/console/_nicegui_ws/socket.io/?{query}"


def open_socket(url: str, token: str | None, origin: str | None, client_id: str = "x") -> ClientConnection:
    headers = {"Cookie": f"{SESSION_COOKIE}={token}"} if token else {}
    return connect(socket_url(url, client_id), origin=origin, additional_headers=headers, proxy=None)  # type: ignore[arg-type]


def test_every_door_but_the_sign_in_wants_a_session(hub: Hub, visitor: Visitor) -> None:
    stranger = visitor()
    found = list(doors(hub))
    assert len(found) > len(PAGES)
    for door in found:
        if door.path in OPEN or door.path.startswith("/console/_nicegui_ws"):
            continue
        answer = stranger.request(door.method, door.path)
        led_away = answer.status_code == 303 and answer.headers["location"].startswith("/console/sign-in")
        assert led_away or answer.status_code == 403, f"{door.name}: {answer.status_code}"


@pytest.mark.parametrize(
    "path",
    [
        "/console",
        "/console/",
        "/console/nothing",
        "/console/%2e%2e/console/runs",
        "/console/_nicegui/3.18.0/static/nicegui.js",
        "/console/assets/console.css",
        "/console/_nicegui_ws/socket.io/?EIO=4&transport=polling",
    ],
)
def test_assets_and_unknown_addresses_are_kept_from_strangers_too(visitor: Visitor, path: str) -> None:
    answer = visitor().get(path)
    assert answer.status_code in (303, 403)
    assert "nicegui" not in answer.text.lower()


def test_the_socket_speaks_no_polling_even_to_people_we_know(visitor: Visitor) -> None:
    assert visitor("admin").get("/console/_nicegui_ws/socket.io/?EIO=4&transport=polling").status_code == 403


def test_every_answer_carries_the_security_headers(visitor: Visitor) -> None:
    known, stranger = visitor("admin"), visitor()
    answers = [
        stranger.get("/console/sign-in"),
        stranger.get("/console/runs"),
        stranger.get("/console/assets/console.css"),
        known.get("/console/runs"),
        known.get("/console/runs/999999"),
        known.get("/console/nothing"),
        known.get("/console/assets/console.css"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy, answer.url
        assert "default-src 'none'" in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers[:-1])


def test_scripts_of_a_page_run_by_a_nonce_that_is_new_each_time(visitor: Visitor) -> None:
    browser = visitor("admin")
    nonces = set()
    for _ in range(2):
        page = browser.get("/console/runs")
        scripts = re.findall(r"<script([^>]*)>", page.text)
        nonce = re.search(r"'nonce-([^']+)'", page.headers["content-security-policy"])
        assert nonce
        assert scripts
        assert all(f'nonce="{nonce[1]}"' in script for script in scripts)
        nonces.add(nonce[1])
    assert len(nonces) == 2


def test_a_search_for_a_script_is_a_search_for_text(visitor: Visitor) -> None:
    page = visitor("admin").get("/console/search", params={"q": "</script><script>alert(1)</script>"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "</script><script" not in page.text


def test_nothing_is_fetched_from_elsewhere(visitor: Visitor) -> None:
    page = visitor("admin").get("/console/runs").text
    outward = {found for found in re.findall(r"https?://[^\s\"'<>)]+", page) if "w3.org" not in found}
    assert outward == set()


def test_the_socket_is_refused_without_a_session_and_to_other_origins(visitor: Visitor, console_url: str) -> None:
    token = token_of(visitor("admin"))
    refused: list[tuple[str | None, str | None]] = [
        (None, console_url),
        ("made up", console_url),
        (token, "https://evil.example"),
        (token, None),
        (token, "null"),
        (token, console_url.replace("http", "https", 1)),
        (token, f"{console_url}/x"),
        (token, console_url.replace("//", "//evil.example@", 1)),
        (token, "http://["),
    ]
    for shown, origin in refused:
        with pytest.raises(InvalidStatus) as answer:
            open_socket(console_url, shown, origin)
        assert answer.value.response.status_code == 403, (shown, origin)
    with open_socket(console_url, token, console_url) as line:
        assert str(line.recv(timeout=30)).startswith("0{")


def test_an_open_socket_ends_with_its_session(hub: Hub, visitor: Visitor, console_url: str) -> None:
    token = token_of(visitor("admin"))
    with open_socket(console_url, token, console_url) as line:
        line.recv(timeout=30)
        line.send("40")
        line.recv(timeout=30)
        sessions.sign_out(hub.database, token)
        ended = False
        for _ in range(100):
            try:
                line.send("3")
                line.recv(timeout=30)
            except ConnectionClosed:
                ended = True
                break
        assert ended


def test_nothing_about_anybody_is_put_into_nicegui_s_own_storage() -> None:
    folder = Path(console_app.__file__).parent
    assert [path.name for path in folder.rglob("*.py") if ".storage" in path.read_text(encoding="utf-8")] == []


def test_the_rest_doors_do_not_take_the_consoles_cookie(visitor: Visitor) -> None:
    browser = visitor("admin")
    assert browser.get("/v1/runs").status_code == 401
    assert browser.get("/healthz").status_code == 200
    assert "content-security-policy" not in browser.get("/healthz").headers


def test_while_the_database_is_away_it_says_so(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise TransientError("PostgreSQL is away; try again later", code="database.away")

    browser = visitor("viewer")
    monkeypatch.setattr("hub_api.console.guard.find_visit", away)
    answer = browser.get("/console/runs")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_an_asset_has_another_address_when_it_changes_and_may_be_kept(visitor: Visitor) -> None:
    browser = visitor("viewer")
    page = browser.get("/console/runs").text
    address = re.search(r"/console/assets/console\.css\?v=[0-9a-f]+", page)
    assert address
    sheet = browser.get(address[0])
    assert sheet.headers["content-type"].startswith("text/css")
    assert "immutable" in sheet.headers["cache-control"]
    assert sheet.headers["cache-control"].startswith("private")
    assert isinstance(browser.get("/console/assets/..%2f..%2fapp.py"), httpx.Response)
    assert browser.get("/console/assets/..%2f..%2fapp.py").status_code == 404
