"""A finance company with a few customers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.finance.books import FinanceBooks
from flows.testing.live import LiveSystem, live_system

SECRET: Final = "keep-this-to-yourself"
CUSTOMER: Final = "6225880001"
CLOSED: Final = "6225880009"


@pytest.fixture
def finance(tmp_path: Path) -> Iterator[LiveSystem]:
    with live_system(
        "finance",
        tmp_path / "books.db",
        settings={"app_id": "yunshang"},
        secrets={"app_secret": SECRET},
        simulator_settings={"app_id": "yunshang", "app_secret": SECRET, "monthly_limit": "5000"},
        faults={},
    ) as live:
        customers = [{"account": CUSTOMER, "balance": 1000}, {"account": CLOSED, "balance": 1000, "state": "closed"}]
        live.control("POST", "/_accounts", customers)
        yield live


def movement(points: Any = 100, account: str = CUSTOMER, **changes: Any) -> dict[str, Any]:
    """A canonical movement of group points."""
    return {
        "reference": "X-20261103-0007",
        "account": account,
        "points": points,
        "happened_at": "2026-11-03T09:30:00+08:00",
        "programme": "group",
        **changes,
    }


def booked(live: LiveSystem) -> list[tuple[str, str, int]]:
    """What partners wrote: (direction, account, points)."""
    rows = FinanceBooks(live.config).movements()
    return [(row["direction"], row["accountNo"], row["points"]) for row in rows if row["source"] == "PARTNER"]


def balance(live: LiveSystem, account: str = CUSTOMER) -> int:
    """What an account holds."""
    return int(next(row["balance"] for row in FinanceBooks(live.config).accounts() if row["accountNo"] == account))
