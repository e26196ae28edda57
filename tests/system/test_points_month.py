"""A small month of points through the whole estate, with faults on and the hub killed in between."""

import time
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from connectors.airline.books import AirlineBooks
from flows.runtime import embedded
from flows.testing.databases import server_folder
from hub_api.demo import legacy, points, points_books
from hub_api.demo.books import Comparison
from hub_api.demo.estate import FAULTS, DemoEstate, running_estate
from hub_api.demo.points_plan import SHOPS, MonthPlan, account_of, month_of_points

PATIENCE_S: Final = 120.0
UNDER_WAY: Final = "SELECT count(*) AS n FROM flow_run WHERE state IN ('ready', 'running', 'waiting')"


def settled(estate: DemoEstate) -> None:
    """Wait until no run has anything to do."""
    deadline = time.monotonic() + PATIENCE_S
    while estate.hub.database.run(UNDER_WAY)[0]["n"]:
        assert time.monotonic() < deadline, "there is still work to do"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def plan() -> MonthPlan:
    return month_of_points(7, members=15, weeks=2)


@pytest.fixture(scope="module")
def estate(plan: MonthPlan) -> Iterator[DemoEstate]:
    """The month has been lived."""
    systems = (*legacy.CORE, *legacy.POINTS)
    with server_folder() as folder, running_estate(folder, 7, faults=FAULTS, systems=systems) as running:
        points.publish_rules(running.hub)
        with points.PointsShops(running) as shops:
            points.open_points(running, shops, plan)
            points.live_month(running, shops, plan, advance=lambda: None, drain=lambda: settled(running))
        yield running
        embedded.stop(folder / "postgres")


def compared(estate: DemoEstate, plan: MonthPlan) -> dict[str, Comparison]:
    return {each.title: each for each in points_books.compare_points(estate, plan)}


def test_everybody_s_books_agree_to_the_point(estate: DemoEstate, plan: MonthPlan) -> None:
    found = compared(estate, plan)
    assert {title: each.differences for title, each in found.items() if each.differences} == {}
    assert all(each.compared for each in found.values())


def test_everything_that_was_planned_happened(estate: DemoEstate) -> None:
    ended = {(row["flow"], row["ended"]): row["runs"] for row in points_books.ends(estate)}
    for way in (
        ("points.earn", "earned"),
        ("points.claw_back", "taken_back"),
        ("points.spend", "spent"),
        ("points.exchange", "exchanged"),
        ("points.expire", "expired"),
    ):
        assert ended.get(way, 0), f"{way}: {ended}"
    assert not [way for way in ended if way[1] == "parked"]


def test_somebody_is_below_zero_and_something_expired(estate: DemoEstate) -> None:
    assert points_books.owing(estate)
    assert sum(row["expired"] for row in points_books.statements(estate))


def test_a_provider_that_books_other_miles_is_named(estate: DemoEstate, plan: MonthPlan) -> None:
    account = account_of(SHOPS[0], 0, "airline")
    held = _balance(estate, account)
    _set_balance(estate, account, held + 1)
    try:
        [wrong] = [each for each in compared(estate, plan).values() if each.differences]
    finally:
        _set_balance(estate, account, held)
    assert wrong.title == "miles: airline's accounts and ledger"
    assert account in wrong.differences[0]


def _balance(estate: DemoEstate, account: str) -> int:
    books = AirlineBooks(estate.hub.estate.connector("airline").config)
    [balance] = [row["balance"] for row in books.accounts() if row["accountNumber"] == account]
    return int(balance)


def _set_balance(estate: DemoEstate, account: str, balance: int) -> None:
    url = f"{estate.legacy['airline'].url}/_accounts"
    body = [{"account": account, "balance": balance}]
    httpx.post(url, json=body, timeout=30, trust_env=False).raise_for_status()
