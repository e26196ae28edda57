"""Signing in and out: plain forms that work without a script, and let nobody in who should not be."""

import threading

import pytest

from canonical_model.errors import AccessError
from flows.runtime.bootstrap import Hub
from hub_api import sessions
from hub_api.console import sign_in
from hub_api.console.cookies import cookies_of
from hub_api.people import create_person
from hub_api.sign_in_guard import FREE_PER_LOGIN
from tests.hub_api.accounts import GIVEN, PASSWORD, make_person, shell, signed_in
from tests.hub_api.console.conftest import SESSION_COOKIE, Visitor, enter, form_token, full_turns, token_of


def test_who_is_not_signed_in_is_led_to_the_form_and_then_where_they_wanted_to_go(hub: Hub, visitor: Visitor) -> None:
    make_person(hub, "anna", "viewer")
    browser = visitor()
    asked = browser.get("/console/runs?state=parked")
    assert (asked.status_code, asked.headers["location"]) == (
        303,
        "/console/sign-in?next=/console/runs%3Fstate%3Dparked",
    )
    form = browser.get(asked.headers["location"])
    assert "&#x27;" not in form.headers["content-security-policy"]
    entered = enter(browser, "anna", PASSWORD, next="/console/runs?state=parked")
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/runs?state=parked")
    assert browser.get("/console/runs?state=parked").status_code == 200
    assert browser.get("/console/sign-in").headers["location"] == "/console/"


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(hub: Hub, visitor: Visitor) -> None:
    make_person(hub, "anna", "viewer")
    cookie = next(
        each for each in enter(visitor(), "anna", PASSWORD).headers.get_list("set-cookie") if SESSION_COOKIE in each
    )
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie


def test_behind_https_cookies_are_secure_and_bound_to_the_host() -> None:
    assert cookies_of("https://hub.example.com").session == "__Host-yipan_session"
    assert cookies_of("https://hub.example.com").secure
    assert not cookies_of("http://127.0.0.1:8080").secure
    assert not cookies_of(None).secure


def test_a_wrong_password_is_refused_in_the_viewers_language(hub: Hub, visitor: Visitor) -> None:
    make_person(hub, "anna", "viewer")
    refused = enter(visitor(language="en"), "anna", "not the password")
    assert refused.status_code == 401
    assert "Login, password or code is wrong" in refused.text
    assert "账号、密码或动态码不正确" in enter(visitor(language="zh-CN"), "anna", "not the password").text


def test_too_many_failures_lock_the_login_for_a_while(hub: Hub, visitor: Visitor) -> None:
    make_person(hub, "anna", "viewer")
    browser = visitor()
    for _ in range(FREE_PER_LOGIN):
        assert enter(browser, "anna", "guess").status_code == 401
    locked = enter(browser, "anna", PASSWORD)
    assert locked.status_code == 429
    assert int(locked.headers["retry-after"]) > 0
    assert SESSION_COOKIE not in browser.cookies


def test_a_crowd_is_asked_to_come_again_at_once_and_nobody_is_charged_for_it(
    hub: Hub, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_person(hub, "anna", "viewer")
    browser = visitor()
    enter(browser, "anna", PASSWORD)
    with monkeypatch.context() as crowd:
        crowd.setattr(sign_in, "PASSWORDS", full_turns())
        refused = enter(visitor(), "anna", "guess")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "Too many people sign in at this moment" in refused.text
        proof = {"form_token": sessions.csrf_token(token_of(browser))}
        unchanged = browser.post("/console/password", data={**proof, "old": PASSWORD, "new": GIVEN, "again": GIVEN})
        assert (unchanged.status_code, unchanged.headers["retry-after"]) == (503, "5")
        assert browser.get("/console/runs").status_code == 200
    assert hub.database.run("SELECT * FROM sign_in_guard WHERE failures > 0") == []
    assert enter(visitor(), "anna", PASSWORD).status_code == 303


def test_a_password_is_looked_at_in_threads_that_nothing_else_needs(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(*_: object, **__: object) -> None:
        seen.append(threading.current_thread().name)
        raise AccessError("no", code="sign_in.refused")

    monkeypatch.setattr(sessions, "sign_in", look)
    assert enter(visitor(), "anna", "guess").status_code == 401
    assert [name.rpartition("_")[0] for name in seen] == ["password"]


@pytest.mark.parametrize("token", ["", "another"])
def test_a_form_that_is_not_ours_opens_nothing(hub: Hub, visitor: Visitor, token: str) -> None:
    make_person(hub, "anna", "viewer")
    browser = visitor()
    browser.get("/console/sign-in")
    sent = browser.post("/console/sign-in", data={"form_token": token, "login": "anna", "password": PASSWORD})
    assert sent.status_code == 403
    without_cookie = visitor().post(
        "/console/sign-in", data={"form_token": token, "login": "anna", "password": PASSWORD}
    )
    assert without_cookie.status_code == 403
    assert SESSION_COOKIE not in browser.cookies


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/console/",
        "//evil.example/console/",
        "/console/../v1/runs",
        "/\\evil.example",
        "javascript:alert(1)",
        "/console/sign-in?next=/console/sign-in",
        "/v1/runs",
        "/console\\@evil.example",
        "///console/pwned",
        "////console/pwned",
        "///evil.example/console/",
        " ///console/pwned",
        "\t//console/pwned",
        "/\t/console/pwned",
        "\\/console/pwned",
        "/\\/console/pwned",
        "http:///console/pwned",
        "http://[/console/",
        "//[/console/",
        "/console/%2e%2e//evil.example",
        "/console/%73ign-in",
        "/consolestranger",
    ],
)
def test_no_link_leads_a_person_elsewhere_after_signing_in(hub: Hub, visitor: Visitor, elsewhere: str) -> None:
    make_person(hub, "anna", "viewer")
    assert enter(visitor(), "anna", PASSWORD, next=elsewhere).headers["location"] == "/console/"
    back = visitor().get("/console/preferences", params={"language": "en", "back": elsewhere})
    assert back.headers["location"] == "/console/"


def test_a_form_with_more_fields_than_any_of_ours_is_refused(visitor: Visitor) -> None:
    form = {f"field{number}": "" for number in range(21)}
    for address in ("/console/sign-in", "/console/sign-out"):
        refused = visitor("viewer").post(address, data=form)
        assert (refused.status_code, refused.json()["code"]) == (413, "form.fields")
    assert visitor().post("/console/sign-in", data=form).status_code == 413


def test_what_a_person_typed_comes_back_as_text_never_as_html(visitor: Visitor) -> None:
    refused = enter(visitor(), '"><script>alert(1)</script>', "x", next='/console/"><script>')
    assert "<script>alert" not in refused.text


def test_signing_out_ends_the_session_and_needs_its_own_form(hub: Hub, visitor: Visitor) -> None:
    browser = visitor("viewer")
    token = token_of(browser)
    assert browser.post("/console/sign-out", data={"form_token": "forged"}).status_code == 403
    assert sessions.get_session(hub.database, token) is not None
    left = browser.post("/console/sign-out", data={"form_token": sessions.csrf_token(token)})
    assert (left.status_code, left.headers["location"]) == (303, "/console/sign-in")
    assert sessions.get_session(hub.database, token) is None
    browser.cookies.set(SESSION_COOKIE, token)
    assert browser.get("/console/runs").status_code == 303


def test_a_person_with_two_brands_chooses_one(hub: Hub, visitor: Visitor) -> None:
    make_person(hub, "anna", "viewer")
    hub.database.run(
        "INSERT INTO person_role (owner, login, brand, role) VALUES (%s, 'anna', 'sister', 'viewer')",
        (hub.estate.owner,),
    )
    browser = visitor()
    enter(browser, "anna", PASSWORD)
    proof = {"form_token": sessions.csrf_token(token_of(browser))}
    assert browser.post("/console/brand", data={"brand": "sister"}).status_code == 403
    assert browser.post("/console/brand", data={"brand": "sister", **proof}).status_code == 303
    session = sessions.get_session(hub.database, token_of(browser))
    assert session is not None
    assert session.brand == "sister"
    assert browser.post("/console/brand", data={"brand": "a stranger's", **proof}).status_code == 403


def test_a_password_that_must_be_changed_is_changed_before_anything_else(hub: Hub, visitor: Visitor) -> None:
    create_person(hub, shell(hub), "anna", name="Anna", roles=["operator"], password=GIVEN)
    browser = visitor()
    enter(browser, "anna", GIVEN)
    before = token_of(browser)
    assert browser.get("/console/runs").headers["location"] == "/console/password"
    form = {"form_token": form_token(browser.get("/console/password")), "old": GIVEN}
    differing = browser.post("/console/password", data={**form, "new": PASSWORD, "again": PASSWORD + "!"})
    assert differing.status_code == 422
    weak = browser.post("/console/password", data={**form, "new": "short", "again": "short"})
    assert weak.status_code == 422
    changed = browser.post("/console/password", data={**form, "new": PASSWORD, "again": PASSWORD})
    assert changed.status_code == 303
    assert browser.get("/console/runs").status_code == 200
    assert sessions.get_session(hub.database, before) is None


def test_a_session_that_was_ended_elsewhere_opens_nothing_here(hub: Hub, visitor: Visitor) -> None:
    browser = visitor("viewer")
    assert browser.get("/console/runs").status_code == 200
    sessions.sign_out(hub.database, token_of(browser))
    assert browser.get("/console/runs").status_code == 303


def test_a_made_up_or_overlong_token_is_nobody(hub: Hub, visitor: Visitor) -> None:
    make_person(hub, "anna", "viewer")
    browser = visitor()
    for token in ("x", "x" * 10_000, signed_in(hub, "anna").token[:-1]):
        browser.cookies.set(SESSION_COOKIE, token)
        assert browser.get("/console/runs").status_code == 303
