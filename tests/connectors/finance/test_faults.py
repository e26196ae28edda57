"""Whatever goes wrong on the wire, the finance company's books hold every granted movement once."""

from collections.abc import Iterator
from itertools import count
from typing import Final

import pytest
from hypothesis import given, settings

from canonical_model.ports import Receipt
from connectors.finance.books import FinanceBooks
from flows.testing.live import LiveSystem, live_system
from tests.connectors.finance.conftest import SECRET, movement
from tests.connectors.providers import MONTHLY_LIMIT, OPENING, Expected, Play, plays, until_settled

FAULTS: Final = ("drop_answer", "error500", "busy", "overloaded", "processing", "forged")
NUMBERS: Final = count()
WRITERS: Final = {"IN": "credit", "OUT": "debit"}


@pytest.fixture(scope="module")
def finance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    with (
        pytest.MonkeyPatch.context() as patch,
        live_system(
            "finance",
            tmp_path_factory.mktemp("finance") / "books.db",
            settings={"app_id": "yipan"},
            secrets={"app_secret": SECRET},
            simulator_settings={"app_secret": SECRET, "monthly_limit": str(MONTHLY_LIMIT), "retry_after_s": "0"},
            faults={},
        ) as live,
    ):
        patch.setattr("connectors.kit.http.READ_ATTEMPTS", 1)  # every further try is ours, without a wait
        yield live


@settings(max_examples=20, deadline=None)
@given(play=plays(FAULTS))
def test_every_granted_movement_is_in_the_books_once(finance: LiveSystem, play: Play) -> None:
    example, expected = f"e{next(NUMBERS)}", Expected()
    accounts = [f"{example}-{number}" for number in range(2)]
    finance.control("POST", "/_accounts", [{"account": account, "balance": OPENING} for account in accounts])
    receipts: dict[int, Receipt] = {}
    with finance.faults(**play.rates):
        for number in play.order:
            wish = play.wishes[number]
            document = movement(wish.points, accounts[wish.account], reference=f"{example}:{number}")
            receipt = until_settled(finance, wish.writer, f"{example}:{number}", document)
            assert (receipt is not None) == expected.take(number, wish)
            assert receipt is None or receipts.setdefault(number, receipt) == receipt
    books = FinanceBooks(finance.config)
    rows = [row for row in books.movements() if row["accountNo"] in accounts and row["source"] == "PARTNER"]
    assert [
        (row["requestNo"], WRITERS[row["direction"]], accounts.index(row["accountNo"]), row["points"]) for row in rows
    ] == [
        (f"{example}:{number}", wish.writer, wish.account, wish.points)
        for number, wish in ((number, play.wishes[number]) for number in expected.booked)
    ]
    balances = {row["accountNo"]: row["balance"] for row in books.accounts()}
    assert [balances[account] for account in accounts] == expected.balances
