"""A worker is killed after each of its commits in turn; another takes over, and both books end as if nothing was."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from flows.points.requests import start_exchange, start_spend
from tests.flows.points.fated_worker import Nest, nest
from tests.flows.points.test_spend import LATER, gift, rich
from tests.flows.points.world import GROUP, MILES, STARS, Club

MOST_COMMITS = 60


@pytest.fixture(scope="module")
def workers() -> Iterator[Nest]:
    with nest() as hatched:
        yield hatched


def killed_everywhere(club: Club, workers: Nest, start: Callable[[], int], check: Callable[[], None]) -> int:
    """Play it again and again, the worker killed one commit later each time, until one lives; how many died."""
    for deaths in count():
        assert deaths < MOST_COMMITS
        run_id = start()
        died = workers.work(club.hub, run_id, die_at=deaths + 1)
        assert club.ended(run_id)["state"] == "done"
        check()
        if not died:
            return deaths
    raise AssertionError


def test_a_spend_orders_once_and_pays_once_wherever_its_worker_dies(club: Club, workers: Nest) -> None:
    plays: list[tuple[str, str]] = []

    def start() -> int:
        holder = rich(club)
        body = gift(club, holder)
        plays.append((holder, body["order_no"]))
        return club.start(start_spend, **body)

    def check() -> None:
        holder, order_no = plays[-1]
        balance = club.balance(holder)
        assert (balance.available, balance.held) == (700, 0)
        assert club.at_giftco(order_no) == ["ordered"]

    assert killed_everywhere(club, workers, start, check) >= 6


@pytest.mark.parametrize(
    ("unit", "system", "booked"),
    [(GROUP, "finance", ("IN", 300)), pytest.param(MILES, "airline", ("CREDIT", 148), marks=pytest.mark.soak)],
)
def test_an_exchange_is_credited_once_wherever_its_worker_dies(
    club: Club, workers: Nest, unit: str, system: str, booked: tuple[str, int]
) -> None:
    plays: list[tuple[str, str]] = []

    def start() -> int:
        holder, account = rich(club), club.account(system)
        plays.append((holder, account))
        body = {"from": STARS, "to": unit, "holder": holder, "points": 300, "account": account}
        return club.start(start_exchange, **body, exchange_no=club.number("X"), happened_at=LATER)

    def check() -> None:
        holder, account = plays[-1]
        balance = club.balance(holder)
        assert (balance.available, balance.held) == (700, 0)
        assert (club.at_airline if system == "airline" else club.at_finance)(account) == [booked]

    assert killed_everywhere(club, workers, start, check) >= 4
