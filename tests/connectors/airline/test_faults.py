"""Whatever goes wrong on the wire, the airline's books hold every granted movement once."""

from collections.abc import Iterator
from itertools import count
from typing import Final

import pytest
from hypothesis import given, settings

from connectors.airline.books import AirlineBooks
from flows.testing.live import LiveSystem, live_system
from tests.connectors.airline.conftest import SECRET, movement
from tests.connectors.providers import MONTHLY_LIMIT, OPENING, Expected, Play, plays, until_settled

FAULTS: Final = ("drop_answer", "error500", "busy", "maintenance")
NUMBERS: Final = count()


@pytest.fixture(scope="module")
def airline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    with (
        pytest.MonkeyPatch.context() as patch,
        live_system(
            "airline",
            tmp_path_factory.mktemp("airline") / "books.db",
            settings={"client_id": "yipan"},
            secrets={"client_secret": SECRET},
            simulator_settings={"client_secret": SECRET, "monthly_limit": str(MONTHLY_LIMIT), "retry_after_s": "0"},
            faults={},
        ) as live,
    ):
        patch.setattr("connectors.kit.http.READ_ATTEMPTS", 1)  # every further try is ours, without a wait
        yield live


@settings(max_examples=20, deadline=None)
@given(play=plays(FAULTS))
def test_every_granted_movement_is_in_the_books_once(airline: LiveSystem, play: Play) -> None:
    example, expected = f"e{next(NUMBERS)}", Expected()
    accounts = [f"{example}-{number}" for number in range(2)]
    airline.control("POST", "/_accounts", [{"account": account, "balance": OPENING} for account in accounts])
    with airline.faults(**play.rates):
        for number in play.order:
            wish = play.wishes[number]
            document = movement(wish.points, accounts[wish.account], reference=f"{example}:{number}")
            receipt = until_settled(airline, wish.writer, f"{example}:{number}", document)
            assert (receipt is not None) == expected.take(number, wish)
            assert receipt is None or "duplicates" not in receipt.detail
    books = AirlineBooks(airline.config)
    rows = [row for row in books.transactions() if row["accountNumber"] in accounts and row["origin"] == "PARTNER"]
    assert [
        (row["partnerReference"], row["type"].lower(), accounts.index(row["accountNumber"]), row["miles"])
        for row in rows
    ] == [
        (f"{example}:{number}", wish.writer, wish.account, wish.points)
        for number, wish in ((number, play.wishes[number]) for number in expected.booked)
    ]
    balances = {row["accountNumber"]: row["balance"] for row in books.accounts()}
    assert [balances[account] for account in accounts] == expected.balances
