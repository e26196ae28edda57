"""Workers are killed after every commit and after every call, the broker is wiped, PostgreSQL restarted: what is in
the hub and in the destination's books in the end is what an undisturbed run leaves. Nothing lost, nothing doubled."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from canonical_model.errors import TransientError
from flows.runtime import broker, embedded, schema
from flows.runtime.database import Database
from flows.testing import crash_flows, databases
from flows.testing.crash_worker import Nursery, Order, nursery
from flows.testing.destination import Destination

RABBITMQ_URL = "amqp://guest:guest@127.0.0.1:5672/yipan_test_e"
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


def _rabbitmq() -> str:
    """The URL of a RabbitMQ with a virtual host of our own; the test is skipped when there is none."""
    control = shutil.which("rabbitmqctl")
    if control is not None and not _answers(RABBITMQ_URL):
        vhost = RABBITMQ_URL.rpartition("/")[2]
        subprocess.run([control, "add_vhost", vhost], capture_output=True, timeout=30, check=False)
        rights = [control, "set_permissions", "-p", vhost, "guest", ".*", ".*", ".*"]
        subprocess.run(rights, capture_output=True, timeout=30, check=False)
    if not _answers(RABBITMQ_URL):
        pytest.skip(f"no RabbitMQ answers at {RABBITMQ_URL}")
    return RABBITMQ_URL


def _redis() -> str:
    if not _answers(REDIS_URL):
        pytest.skip(f"no Redis answers at {REDIS_URL}")
    return REDIS_URL


def _answers(url: str) -> bool:
    made: Any = broker.build(url)
    try:
        made.client.ping() if url.startswith("redis") else made.connection.close()
    except Exception:  # noqa: BLE001 - whatever keeps it from answering
        return False
    return True


def _wipe(url: str) -> None:
    made: Any = broker.build(url)
    if url.startswith("redis"):
        made.client.flushdb()
        return
    for lane in ("local", "books.once", "books.seen"):
        made.channel.queue_delete(f"{broker.QUEUE_PREFIX}{lane}")
    made.close()


@pytest.mark.parametrize("place", [_rabbitmq, _redis], ids=["RabbitMQ", "Redis"])
def test_a_wiped_broker_loses_nothing(matrix: Matrix, undisturbed: Any, place: Callable[[], str]) -> None:
    url = place()
    outcome, _ = matrix.play(together=True, broker_url=url, blow=lambda: _wipe(url))
    assert outcome == undisturbed


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_workers_on_rabbitmq_killed_after_any_commit_change_nothing(matrix: Matrix, undisturbed: Any) -> None:
    url = _rabbitmq()
    for die_at in range(1, MOST_COMMITS, 3):
        outcome, died = matrix.play(together=True, broker_url=url, die_at=die_at)
        assert outcome == undisturbed, f"commit {die_at}"
        if not died:
            break


@pytest.fixture
def own_server() -> Iterator[Path]:
    """The folder of an embedded PostgreSQL that this test may restart."""
    with databases.server_folder() as folder:
        yield folder / "data"
        _start(folder / "data")
        embedded.stop(folder / "data")


def _start(folder: Path) -> None:
    """In a process of its own, because the wheel remembers in memory what it has started."""
    code = f"from pathlib import Path; from flows.runtime import embedded; embedded.start(Path({str(folder)!r}))"
    end = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < end, done.stderr


def _crash(folder: Path) -> None:
    postmaster = int((folder / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGQUIT)
    while embedded.running(folder):
        time.sleep(0.05)


def test_postgresql_restarted_in_between_loses_nothing(
    own_server: Path, books_process: Destination, nest: Nursery, undisturbed: Any
) -> None:
    _start(own_server)
    url = make_conninfo(host=str(own_server), user="postgres", dbname=embedded.DATABASE)
    schema.upgrade(url)

    def restart() -> None:
        _crash(own_server)
        _start(own_server)

    with Database(url, pool_size=4) as database:
        own = Matrix(database, books_process, nest)
        outcome, _ = own.play(together=True, blow=restart)
    assert outcome == undisturbed
