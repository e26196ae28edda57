"""Signing in at the company's provider, by the console's own addresses, behind https."""

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from fastapi import FastAPI

from flows.runtime.bootstrap import Hub
from hub_api import people, sessions
from hub_api.console import sign_in
from hub_api.console.guard import Guard
from tests.hub_api import provider as providers
from tests.hub_api.accounts import shell
from tests.hub_api.console.conftest import full_turns
from tests.hub_api.provider import CLIENT_ID, CLIENT_SECRET, Provider

PUBLIC_URL: Final = "https://hub.example.com"
SESSION: Final = "__Host-yipan_session"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providers.running() as one:
        yield one


@pytest.fixture
def office(hub: Hub, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub behind https whose people sign in at the provider; Li has an account without a password."""
    monkeypatch.setenv("OIDC_SECRET_OF_THE_TEST", CLIENT_SECRET)
    people.create_person(hub, shell(hub), "li", name="Li", roles=["operator"])
    settings = {
        "public_url": PUBLIC_URL,
        "oidc_issuer": provider.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": "env:OIDC_SECRET_OF_THE_TEST",
    }
    return dataclasses.replace(hub, settings=hub.settings.model_copy(update=settings))


class Browser:
    """Somebody before the forms of a hub's console."""

    def __init__(self, hub: Hub) -> None:
        self.cookies = httpx.Cookies()
        self.app = FastAPI()
        self.app.state.hub = hub
        self.app.include_router(sign_in.router)
        self.app.add_middleware(Guard, hub=hub)

    def get(self, url: str) -> httpx.Response:
        return asyncio.run(self._get(url))

    async def _get(self, url: str) -> httpx.Response:
        way = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=way, base_url=PUBLIC_URL, cookies=self.cookies) as client:
            answer = await client.get(url)
            self.cookies = client.cookies
        return answer


def at_the_provider(url: str) -> str:
    """Where the provider sends the browser back to."""
    return str(httpx.get(url, trust_env=False, timeout=30).headers["location"])


def test_whoever_the_provider_proves_goes_on_to_where_they_wanted(office: Hub) -> None:
    visitor = Browser(office)
    form = visitor.get("/console/sign-in?next=/console/runs")
    assert "/console/oidc/start?next=%2Fconsole%2Fruns" in form.text
    started = visitor.get("/console/oidc/start?next=/console/runs")
    assert started.status_code == 303
    back = visitor.get(at_the_provider(started.headers["location"]))
    assert (back.status_code, back.headers["location"]) == (303, "/console/runs")
    cookie = next(each for each in back.headers.get_list("set-cookie") if each.startswith(SESSION))
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "Domain" not in cookie
    session = sessions.get_session(office.database, visitor.cookies[SESSION])
    assert session is not None
    assert session.login == "li"


def test_only_the_browser_that_began_can_finish(office: Hub) -> None:
    started = Browser(office).get("/console/oidc/start")
    stolen = at_the_provider(started.headers["location"])
    other = Browser(office).get(stolen)
    assert other.status_code == 401
    assert SESSION not in other.cookies
    assert 'role="alert"' in other.text


def test_a_refusal_and_a_provider_that_is_away_are_said_on_the_form(office: Hub, provider: Provider) -> None:
    visitor = Browser(office)
    provider.refuses = True
    refused = visitor.get(at_the_provider(visitor.get("/console/oidc/start").headers["location"]))
    assert refused.status_code == 401
    assert 'role="alert"' in refused.text
    assert visitor.get("/console/oidc/callback?state=made-up&code=x").status_code == 401


def test_a_crowd_at_the_provider_is_asked_to_come_again_at_once(office: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Browser(office)
    back = at_the_provider(visitor.get("/console/oidc/start").headers["location"])
    with monkeypatch.context() as crowd:
        crowd.setattr(sign_in, "SIGN_ONS", full_turns())
        for address in ("/console/oidc/start", "/console/oidc/callback?state=made-up&code=x"):
            refused = Browser(office).get(address)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert visitor.get(back).headers["location"] == "/console/"


def test_nobody_is_led_elsewhere_after_signing_on(office: Hub) -> None:
    visitor = Browser(office)
    started = visitor.get("/console/oidc/start?next=https://evil.example/console/")
    assert visitor.get(at_the_provider(started.headers["location"])).headers["location"] == "/console/"


def test_without_a_provider_there_is_no_such_way(hub: Hub) -> None:
    visitor = Browser(hub)
    assert "/console/oidc/start" not in visitor.get("/console/sign-in").text
    assert visitor.get("/console/oidc/start").headers["location"] == "/console/sign-in"
    assert visitor.get("/console/oidc/callback?state=x&code=y").status_code in (401, 503)
