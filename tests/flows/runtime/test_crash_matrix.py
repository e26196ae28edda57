"""Workers are killed after every commit and after every call, the broker is wiped, PostgreSQL restarted: what is in
the hub and in the destination's books in the end is what an undisturbed run leaves. Nothing lost, nothing doubled."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from canonical_model.errors import TransientError
from flows.runtime import broker, embedded, schema
from flows.runtime.database import Database
from flows.testing import brokers, crash_flows, databases
from flows.testing.crash_worker import Nursery, Order, nursery
from flows.testing.destination import Destination

REDIS_URL = "redis://127.0.0.1:6379/9"
PATIENCE_S = 60.0
MOST_COMMITS = 400
_plays = itertools.count()


class Matrix:
    """Plays the same scenario again and again, each time under another name and another blow of fate."""

    def __init__(self, database: Database, destination: Destination, nest: Nursery) -> None:
        self.database = database
        self.destination = destination
        self.nest = nest
        crash_flows.prepare(database)

    def play(self, *, together: bool = False, blow: Callable[[], None] | None = None, **order: Any) -> tuple[Any, bool]:
        """The scenario's outcome, and whether the first worker died. ``blow`` falls while the work is under way."""
        place = f"{os.getpid()}-{next(_plays)}"
        self._arm(place)
        crash_flows.start(self.database, place)
        common = {"database_url": self.database.url, "port": self.destination.port, **order}
        survivor = {name: value for name, value in common.items() if not name.startswith("die_")}
        workers = [self.nest.start(Order(**common))]
        if together:
            workers.append(self.nest.start(Order(**survivor)))
        if blow is not None:
            time.sleep(0.3)
            blow()
        died = False
        try:
            end = time.monotonic() + PATIENCE_S
            while not self._ended(place):
                assert time.monotonic() < end, f"{place} does not end: {order}"
                if not died and not self.nest.lives(workers[0]):
                    died = True
                    if not together:
                        workers.append(self.nest.start(Order(**survivor)))
                time.sleep(0.05)
        finally:
            for pid in workers:
                self.nest.kill(pid)
        return crash_flows.outcome(self.database, self.destination.documents(), place), died

    def _ended(self, place: str) -> bool:
        try:
            return crash_flows.ended(self.database, place)
        except TransientError:
            return False

    def _arm(self, place: str) -> None:
        self.destination.arm(
            (f"/once/crash.parcel:{place}:order/1.0:", "drop", 1),
            (f"/seen/crash.parcel:{place}:order/1.1:", "drop", 1),
            (f"/seen/crash.parcel:{place}:order/2.0:", "busy", 1),
            (f"/once/crash.parcel:{place}:order/2.1:", "cut", 1),
        )


@pytest.fixture(scope="module")
def nest() -> Iterator[Nursery]:
    with nursery() as made:
        yield made


@pytest.fixture(scope="module")
def matrix(postgres_18: str, books_process: Destination, nest: Nursery) -> Iterator[Matrix]:
    """One database for all scenarios; they keep apart by their names."""
    url = databases.clone(postgres_18, f"yipan_crash_{os.getpid()}", f"{databases.TEMPLATE}_{os.getpid()}")
    with Database(url, pool_size=4) as database:
        yield Matrix(database, books_process, nest)
    databases.drop(postgres_18, f"yipan_crash_{os.getpid()}")


@pytest.fixture(scope="module")
def undisturbed(matrix: Matrix) -> Any:
    """What is left when nobody dies."""
    outcome, died = matrix.play(together=True)
    assert not died
    return outcome


def test_the_undisturbed_scenario_is_what_it_claims_to_be(undisturbed: Any) -> None:
    states = [(flow, state) for flow, _, state, *_ in undisturbed["runs"]]
    assert states.count(("crash.parcel", "done")) == 2 * crash_flows.PARCELS
    assert states.count(("crash.counted", "done")) == crash_flows.BATCH
    assert states.count(("crash.refused", "undone")) == 1
    assert all(len(documents) == 1 for documents in undisturbed["books"].values())
    assert len(undisturbed["books"]) == 4 * crash_flows.PARCELS + 2
    assert undisturbed["order"] == [f":turn {n}" for n in range(3) for _ in range(2)]


@pytest.mark.parametrize("die_at", [3, 12, 25, 40])
def test_a_worker_killed_after_a_commit_changes_nothing(matrix: Matrix, undisturbed: Any, die_at: int) -> None:
    outcome, died = matrix.play(die_at=die_at)
    assert died
    assert outcome == undisturbed


def test_a_worker_killed_with_the_answer_in_hand_changes_nothing(matrix: Matrix, undisturbed: Any) -> None:
    outcome, died = matrix.play(die_after_call=2)
    assert died
    assert outcome == undisturbed


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("together", [False, True], ids=["then another", "two at once"])
def test_a_worker_killed_after_any_commit_changes_nothing(matrix: Matrix, undisturbed: Any, together: bool) -> None:
    for die_at in range(1, MOST_COMMITS):
        outcome, died = matrix.play(together=together, die_at=die_at)
        assert outcome == undisturbed, f"commit {die_at}"
        if not died:
            break
    assert die_at > 40


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_worker_killed_after_any_call_changes_nothing(matrix: Matrix, undisturbed: Any) -> None:
    for call in range(1, 100):
        outcome, died = matrix.play(die_after_call=call)
        assert outcome == undisturbed, f"call {call}"
        if not died:
            break
    assert call > 4 * crash_flows.PARCELS


@pytest.fixture(scope="module")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ with a virtual host of our own; the test is skipped when there is none."""
    with brokers.rabbitmq(f"yipan_runtime_{os.getpid()}") as url:
        yield url


@pytest.fixture
def redis_url() -> str:
    """A Redis database that the hub's own defaults do not use; the test is skipped when none answers."""
    made: Any = broker.build(REDIS_URL)
    try:
        made.client.ping()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from answering
        pytest.skip(f"no Redis answers at {REDIS_URL}: {error}")
    return REDIS_URL


def _wipe(url: str) -> None:
    if url.startswith("redis"):
        made: Any = broker.build(url)
        made.client.flushdb()
    else:
        brokers.delete_queues(url, ("local", "books.once", "books.seen"))


@pytest.mark.parametrize("place", ["rabbitmq_url", "redis_url"], ids=["RabbitMQ", "Redis"])
def test_a_wiped_broker_loses_nothing(
    matrix: Matrix, undisturbed: Any, place: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(place)
    outcome, _ = matrix.play(together=True, broker_url=url, blow=lambda: _wipe(url))
    assert outcome == undisturbed


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_workers_on_rabbitmq_killed_after_any_commit_change_nothing(
    matrix: Matrix, undisturbed: Any, rabbitmq_url: str
) -> None:
    for die_at in range(1, MOST_COMMITS, 3):
        outcome, died = matrix.play(together=True, broker_url=rabbitmq_url, die_at=die_at)
        assert outcome == undisturbed, f"commit {die_at}"
        if not died:
            break


@pytest.fixture
def own_server() -> Iterator[Path]:
    """The folder of an embedded PostgreSQL that this test may restart."""
    with databases.server_folder() as folder:
        yield folder / "data"
        databases.start_again(folder / "data")
        embedded.stop(folder / "data")


def test_postgresql_restarted_in_between_loses_nothing(
    own_server: Path, books_process: Destination, nest: Nursery, undisturbed: Any
) -> None:
    databases.start_again(own_server)
    url = make_conninfo(host=str(own_server), user="postgres", dbname=embedded.DATABASE)
    schema.upgrade(url)

    def restart() -> None:
        databases.crash(own_server)
        databases.start_again(own_server)

    with Database(url, pool_size=4) as database:
        own = Matrix(database, books_process, nest)
        outcome, _ = own.play(together=True, blow=restart)
    assert outcome == undisturbed
