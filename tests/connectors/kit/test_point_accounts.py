"""The accounts of simulated points providers: what is refused, and that balances are what their movements add up to."""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit import point_accounts
from connectors.kit.books import Books
from connectors.kit.point_accounts import MAX_BALANCE, MAX_POINTS, Move, PointAccounts, Reason, RefusedError

DAY = date(2026, 11, 3)


class Provider:
    """Accounts over a file of their own."""

    def __init__(self, folder: Path, monthly_limit: int = 0) -> None:
        self.books = Books(folder / "books.db", point_accounts.SCHEMA)
        self.accounts = PointAccounts(self.books, monthly_limit=monthly_limit, programmes=["miles"])

    def move(self, points: int, account: str = "A", day: date = DAY, **more: Any) -> str:
        """``booked``, or the reason of the refusal."""
        origin = more.pop("origin", "partner")
        with self.books.transaction() as db:
            try:
                self.accounts.move(db, Move(account, points, day, **{"programme": "miles", **more}), origin)
            except RefusedError as error:
                return error.reason
        return "booked"

    def balances(self) -> dict[str, int]:
        return {row["number"]: row["balance"] for row in self.accounts.accounts("", 100)}


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    provider = Provider(tmp_path, monthly_limit=1000)
    accounts: list[dict[str, Any]] = [
        {"account": "A", "balance": 100, "surname": "Chen"},
        {"account": "C", "state": "closed"},
    ]
    provider.accounts.open(accounts, DAY)
    return provider


@pytest.mark.parametrize(
    ("given_move", "reason"),
    [
        ({"points": 1, "account": "nobody"}, Reason.UNKNOWN_ACCOUNT),
        ({"points": 1, "account": "C"}, Reason.CLOSED_ACCOUNT),
        ({"points": 1, "surname": "Li"}, Reason.WRONG_NAME),
        ({"points": 1001}, Reason.LIMIT),
        ({"points": -101}, Reason.INSUFFICIENT),
        ({"points": 0}, Reason.INVALID_POINTS),
        ({"points": MAX_POINTS + 1}, Reason.INVALID_POINTS),
        ({"points": 1, "programme": "other"}, Reason.UNKNOWN_PROGRAMME),
    ],
)
def test_a_movement_is_refused_for_its_reason_and_nothing_is_booked(
    provider: Provider, given_move: dict[str, Any], reason: Reason
) -> None:
    assert provider.move(**given_move) == reason
    assert provider.balances() == {"A": 100, "C": 0}


def test_a_name_is_compared_without_regard_to_case(provider: Provider) -> None:
    assert provider.move(1, surname="CHEN") == "booked"


def test_the_limit_is_of_a_month_and_of_one_direction(provider: Provider) -> None:
    assert provider.move(1000) == "booked"
    assert provider.move(1) == Reason.LIMIT
    assert provider.move(-1000) == "booked"
    assert provider.move(-1) == Reason.LIMIT
    assert provider.move(1000, day=date(2026, 12, 1)) == "booked"
    assert provider.move(5000, origin="member") == "booked"


def test_a_balance_has_an_end(provider: Provider) -> None:
    provider.accounts.open([{"account": "A", "balance": MAX_BALANCE}], DAY)
    assert provider.move(1, origin="member") == Reason.LIMIT


@pytest.mark.parametrize(
    "account", [{"account": ""}, {"account": 7}, {"account": "B", "state": "?"}, {"account": "B", "balance": -1}]
)
def test_an_account_that_cannot_be_is_not_opened(provider: Provider, account: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is"):
        provider.accounts.open([account], DAY)
    assert set(provider.balances()) == {"A", "C"}


MOVES = st.lists(
    st.tuples(
        st.sampled_from("ABC"), st.integers(-300, 300), st.integers(1, 28), st.sampled_from(["partner", "member"])
    )
)


@settings(max_examples=60, deadline=None)
@given(MOVES)
def test_a_balance_is_the_sum_of_its_movements_and_no_month_is_over_its_limit(
    moves: list[tuple[str, int, int, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        provider = Provider(Path(folder), monthly_limit=500)
        provider.accounts.open([{"account": name, "balance": 200} for name in "AB"], DAY)
        for account, points, day, origin in moves:
            provider.move(points, account, date(2026, 10 + day % 2, day), origin=origin)
        rows = provider.accounts.movements(0, 10_000)
        for account, balance in provider.balances().items():
            own = [row for row in rows if row["account"] == account]
            assert balance == sum(row["points"] for row in own) == own[-1]["balance"] >= 0
            assert all(row["balance"] >= 0 for row in own)
            for month in ("2026-10", "2026-11"):
                moved = [r["points"] for r in own if r["origin"] == "partner" and r["day"].startswith(month)]
                assert sum(points for points in moved if points > 0) <= 500
                assert sum(points for points in moved if points < 0) >= -500
