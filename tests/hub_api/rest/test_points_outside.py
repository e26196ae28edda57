"""``/v1/points``: goods of a supplier, refunds and units of a provider, with both of them behind the hub and workers at
it: each is done or refused within the answer, and once whatever becomes of an answer on the way."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest

from flows.points.requests import start_earn
from flows.runtime.bootstrap import Hub, build
from flows.testing.databases import TEMPLATE, clone, drop
from hub_api.auth import create_key
from tests.flows.desk import make_settings
from tests.flows.points.world import BRAND, MILES, NOON, OWNER, STARS, Club, estate_text, running, sale
from tests.hub_api.conftest import served

SYSTEMS: Final = ("airline", "giftco")
LATER: Final = "2026-03-03T12:00:00+08:00"
PAUSE_S: Final = 0.02


@contextmanager
def working(hub: Hub) -> Iterator[None]:
    """A worker that looks for what is due again and again."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(PAUSE_S):
            hub.runner.drain()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def club(postgres_18: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Club]:
    """A hub with an airline and a supplier, and a worker."""
    folder = tmp_path_factory.mktemp("outside")
    name = f"yipan_outside_{os.getpid()}"
    url = clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")
    with running(folder, *SYSTEMS) as simulators:
        settings = make_settings(folder, url).model_copy(update={"wait_s": 30})
        settings.estate.write_text(estate_text(folder, simulators))
        with build(settings) as hub, working(hub):
            opened = Club(hub, simulators)
            opened.publish()
            yield opened
            opened.sound()
    drop(postgres_18, name)


@pytest.fixture(scope="module")
def caller(club: Club) -> Iterator[httpx.Client]:
    """Who may read and write the brand's points."""
    key = create_key(club.hub.database, owner=OWNER, brand=BRAND, name="test", scopes=("points:read", "points:write"))
    headers = {"Authorization": f"Bearer {key}"}
    with served(club.hub) as url, httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as opened:
        yield opened


@pytest.fixture
def holder(club: Club) -> str:
    """A member with 1,000 stars."""
    known = club.member()
    club.ask(start_earn, programme=STARS, holder=known, order_no=club.number(), happened_at=NOON, lines=sale(100_000))
    return known


def goods(club: Club, holder: str, **more: Any) -> dict[str, Any]:
    """What asks for a gift of 300 stars that the supplier has."""
    return {
        "programme": STARS,
        "holder": holder,
        "order_no": club.number("G"),
        "happened_at": LATER,
        "region_code": "330106",
        "supplier": "giftco",
        "lines": [{"line_no": 1, "sku": club.goods(), "quantity": 1, "points": 300}],
        "points": 300,
        **more,
    }


def miles(club: Club, holder: str, account: str) -> dict[str, Any]:
    """What asks for 300 stars as miles: 148 after the spread."""
    return {
        "exchange_no": club.number("X"),
        "from": STARS,
        "to": MILES,
        "holder": holder,
        "points": 300,
        "account": account,
        "happened_at": LATER,
    }


def ask(caller: httpx.Client, deed: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = caller.post(f"/v1/points/{deed}?wait=true", json=body)
    return answer.status_code, answer.json()


def left(caller: httpx.Client, holder: str) -> tuple[int, int]:
    """The stars that the member can spend, and those that are kept."""
    found = caller.get(f"/v1/points/members/{holder}").raise_for_status().json()["programmes"]
    stars = next(each for each in found if each["programme"] == STARS)
    return stars["available"], stars["held"]


def test_goods_are_spent_for_and_given_back_within_the_answer(club: Club, caller: httpx.Client, holder: str) -> None:
    body = goods(club, holder)
    status, spent = ask(caller, "spends", body)
    assert (status, spent["state"], spent["outcome"], spent["error"]) == (200, "done", "spent", None)
    assert (left(caller, holder), club.at_giftco(body["order_no"])) == ((700, 0), ["ordered"])
    assert ask(caller, "spends", body) == (200, {**spent, "repeated": True})
    refund = {"order_no": body["order_no"], "refund_no": club.number("F"), "happened_at": LATER}
    status, refunded = ask(caller, "refunds", refund)
    assert (status, refunded["outcome"], refunded["points"]) == (200, "refunded", 300)
    assert (left(caller, holder), club.at_giftco(body["order_no"])) == ((1_000, 0), ["cancelled"])
    status, again = ask(caller, "refunds", refund | {"refund_no": club.number("F")})
    assert (status, again["code"]) == (409, "points.over_reversed")


def test_what_the_supplier_refuses_is_a_conflict_with_its_reason(club: Club, caller: httpx.Client, holder: str) -> None:
    body = goods(club, holder, region_code="110101")
    status, refused = ask(caller, "spends", body)
    assert (status, refused["code"]) == (409, "supplier.out_of_stock")
    assert (left(caller, holder), club.at_giftco(body["order_no"])) == ((1_000, 0), [])
    assert ask(caller, "spends", body)[1]["code"] == "supplier.out_of_stock"


def test_goods_that_were_shipped_are_not_refunded(club: Club, caller: httpx.Client, holder: str) -> None:
    body = goods(club, holder)
    assert ask(caller, "spends", body)[0] == 200
    club.tell("giftco", "/_ship")
    refund = {"order_no": body["order_no"], "refund_no": club.number("F"), "happened_at": LATER}
    status, refused = ask(caller, "refunds", refund)
    assert (status, refused["code"]) == (409, "supplier.shipped")
    assert left(caller, holder) == (700, 0)


def test_who_has_too_few_points_is_told_so_and_the_supplier_is_not_asked(club: Club, caller: httpx.Client) -> None:
    body = goods(club, club.member())
    status, refused = ask(caller, "spends", body)
    assert (status, refused["code"]) == (409, "points.insufficient")
    assert club.at_giftco(body["order_no"]) == []


def test_stars_become_miles_in_both_books(club: Club, caller: httpx.Client, holder: str) -> None:
    account = club.account()
    body = miles(club, holder, account)
    status, told = ask(caller, "exchanges", body)
    assert (status, told["outcome"], told["give"], told["get"]) == (200, "exchanged", 300, 148)
    assert ask(caller, "exchanges", body) == (200, {**told, "repeated": True})
    assert (left(caller, holder), club.at_airline(account)) == ((700, 0), [("CREDIT", 148)])
    assert account not in caller.get(f"/v1/points/members/{holder}/journal").text


def test_what_the_provider_refuses_is_a_conflict_with_its_reason(club: Club, caller: httpx.Client, holder: str) -> None:
    status, refused = ask(caller, "exchanges", miles(club, holder, "86-nobody"))
    assert (status, refused["code"]) == (409, "provider.unknown_account")
    assert left(caller, holder) == (1_000, 0)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_lost_answer_ends_once_however_often_it_is_asked_for(
    club: Club, caller: httpx.Client, holder: str, system: str
) -> None:
    account = club.account()
    body = goods(club, holder) if system == "giftco" else miles(club, holder, account)
    deed = "spends" if system == "giftco" else "exchanges"
    club.faults(system, drop_answer=1.0)
    try:
        started = caller.post(f"/v1/points/{deed}", json=body)
        assert started.status_code == 202
        run_id = started.json()["run_id"]
        club.until(run_id, lambda run: run["error"] is not None)
        assert left(caller, holder) == (700, 300)
    finally:
        club.faults(system, drop_answer=0.0)
    status, told = ask(caller, deed, body)
    assert (status, told["run_id"], told["state"], told["repeated"]) == (200, run_id, "done", True)
    booked = club.at_giftco(body["order_no"]) if system == "giftco" else club.at_airline(account)
    assert booked == (["ordered"] if system == "giftco" else [("CREDIT", 148)])
    assert left(caller, holder) == (700, 0)
