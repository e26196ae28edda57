"""At the door of the console, and in its hall: signing in, being refused, language, theme, a phone."""

import re

from playwright.sync_api import expect

from hub_api.demo.estate import DemoEstate
from hub_api.sign_in_guard import FREE_PER_LOGIN
from tests.browser.conftest import PHONE, Open
from tests.hub_api.accounts import PASSWORD, make_person


def test_a_stranger_is_led_to_the_form_and_then_where_they_wanted_to_go(desk: Open) -> None:
    visitor = desk()
    visitor.page.goto(f"{visitor.url}/runs?state=parked")
    expect(visitor.page).to_have_url(re.compile(r"/console/sign-in\?next="))
    visitor.picture("sign-in")
    visitor.sign_in("wang", "a wrong password")
    expect(visitor.page.get_by_role("alert")).to_contain_text("Login, password or code is wrong")
    visitor.sign_in("wang")
    expect(visitor.page).to_have_url(re.compile(r"/console/runs\?state=parked"))
    visitor.alive()


def test_who_guesses_too_often_is_locked_out(estate: DemoEstate, desk: Open) -> None:
    make_person(estate.hub, "guessed", "viewer")
    visitor = desk()
    for _ in range(FREE_PER_LOGIN):
        visitor.sign_in("guessed", "guess")
        expect(visitor.page.get_by_role("alert")).to_contain_text("is wrong")
    visitor.sign_in("guessed", PASSWORD)
    expect(visitor.page.get_by_role("alert")).to_contain_text("Too many failed attempts")


def test_a_form_sent_from_elsewhere_opens_nothing(desk: Open) -> None:
    visitor = desk()
    visitor.page.evaluate("document.querySelector('input[name=form_token]').value = 'forged'")
    visitor.sign_in("wang")
    expect(visitor.page.get_by_role("alert")).to_contain_text("This form is too old or not from this page")
    visitor.page.goto(f"{visitor.url}/runs")
    expect(visitor.page).to_have_url(re.compile("/console/sign-in"))


def test_signing_out_ends_every_open_page(desk: Open) -> None:
    here = desk("wang")
    there = here.page.context.new_page()
    there.goto(f"{here.url}/runs")
    there.wait_for_function("window.did_handshake === true")
    here.page.locator("details.person summary").click()
    here.page.get_by_role("button", name="Sign out").click()
    expect(here.page).to_have_url(re.compile("/console/sign-in"))
    expect(there).to_have_url(re.compile("/console/sign-in"))


def test_language_and_theme_are_switched_by_a_click_and_remembered(desk: Open) -> None:
    reader = desk("wang")
    reader.go("/runs")
    page = reader.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("流程运行")
    page.get_by_role("link", name="深色").click()
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    reader.go("/estate")
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    expect(page.get_by_role("heading", level=1)).to_have_text("系统概览")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("流程运行")


def test_a_keyboard_reaches_search_and_a_filter_stands_in_the_address(desk: Open) -> None:
    reader = desk("wang")
    reader.go("/runs")
    page = reader.page
    page.keyboard.press("/")
    page.keyboard.type("nothing goes by this")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/console/search\?q=nothing"))
    expect(page.locator(".empty")).to_contain_text("Nothing goes by that name")
    reader.go("/runs")
    page.locator("select[name=state]").select_option("done")
    expect(page).to_have_url(re.compile(r"/console/runs\?state=done$"))
    expect(page.locator("td .state").first).to_have_attribute("data-state", "done")


def test_on_a_phone_nothing_is_wider_than_the_screen(desk: Open) -> None:
    reader = desk("wang", size=PHONE, language="zh")
    for path in ("/inbox", "/estate", "/messages", "/quarantine", "/runs", "/search"):
        reader.go(path)
        wide = reader.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], path
    reader.go("/estate")
    reader.picture("phone")
