"""An airline with a few members."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.airline.books import AirlineBooks
from flows.testing.live import LiveSystem, live_system

SECRET: Final = "keep-this-to-yourself"
MEMBER: Final = "86012345678"
CLOSED: Final = "86000000009"


@pytest.fixture
def airline(tmp_path: Path) -> Iterator[LiveSystem]:
    with live_system(
        "airline",
        tmp_path / "books.db",
        settings={"client_id": "yunshang"},
        secrets={"client_secret": SECRET},
        simulator_settings={"client_id": "yunshang", "client_secret": SECRET, "monthly_limit": "5000"},
        faults={},
    ) as live:
        members = [
            {"account": MEMBER, "balance": 1000, "surname": "CHEN"},
            {"account": CLOSED, "balance": 1000, "state": "closed"},
        ]
        live.control("POST", "/_accounts", members)
        yield live


def movement(points: Any = 100, account: str = MEMBER, **changes: Any) -> dict[str, Any]:
    """A canonical movement of miles."""
    return {
        "reference": "X-20261103-0007",
        "account": account,
        "points": points,
        "happened_at": "2026-11-03T09:30:00+08:00",
        "programme": "skymiles",
        **changes,
    }


def booked(live: LiveSystem) -> list[tuple[str, str, int]]:
    """What partners wrote: (type, account, miles)."""
    rows = AirlineBooks(live.config).transactions()
    return [(row["type"], row["accountNumber"], row["miles"]) for row in rows if row["origin"] == "PARTNER"]


def balance(live: LiveSystem, account: str = MEMBER) -> int:
    """What an account holds."""
    return int(next(r["balance"] for r in AirlineBooks(live.config).accounts() if r["accountNumber"] == account))
