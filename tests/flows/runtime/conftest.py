"""A world for runs: an empty database, a table of what steps did, and a destination with books of its own."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from flows.runtime import runs
from flows.runtime.database import Database, Row, UnitOfWork
from flows.runtime.flow import Flow, Run, Start
from flows.runtime.runner import Runner
from flows.testing import destination as books

OWNER = "owner"
BRAND = "brand"


class World:
    """Starts flows, carries them on without waiting for clocks, and shows what came of it.

    ``database`` is what the runners use; ``look`` is the test's own view, without hooks.
    """

    def __init__(self, database: Database, look: Database, destination: books.Destination) -> None:
        self.database = database
        self.destination = destination
        self.look = look
        self._runners: list[Runner] = []
        look.run("CREATE TABLE deed (id bigint GENERATED ALWAYS AS IDENTITY, key text, what text)")

    def runner(self, *flows: Flow, **options: Any) -> Runner:
        """A runner of these flows with the destination's writers."""
        options = {"lanes": self.destination.lanes, **options}
        made = Runner(self.database, {flow.name: flow for flow in flows}, self.destination.writer, **options)
        self._runners.append(made)
        return made

    def start(self, flow: Flow | str, *keys: str, input: Mapping[str, Any] | None = None, **options: Any) -> list[int]:
        """Start runs in one transaction; their ids."""
        name = flow if isinstance(flow, str) else flow.name
        starts = [Start(name, OWNER, BRAND, key, input or {}, **options) for key in keys]
        with self.database.unit() as uow:
            started = runs.start_runs(uow, starts)
            uow.commit()
        return [each.run_id for each in started]

    def signal(self, flow: Flow, key: str, name: str, signal_key: str = "1", **payload: Any) -> bool:
        """Send a word to a run."""
        with self.database.unit() as uow:
            new = runs.signal(
                uow,
                owner=OWNER,
                brand=BRAND,
                flow=flow.name,
                key=key,
                name=name,
                signal_key=signal_key,
                payload=payload,
            )
            uow.commit()
        return new

    def finish(self, runner: Runner, rounds: int = 30) -> None:
        """Carry everything on as far as it goes; waiting times and blocks of lanes pass at once."""
        for _ in range(rounds):
            done = runner.drain()
            self.pass_time()
            if not done and not self.look.run("SELECT 1 FROM flow_run WHERE state = 'ready' LIMIT 1"):
                return

    def pass_time(self) -> None:
        """Everything that waits for a time is due now; a write in doubt was sent long ago."""
        self.look.run("UPDATE flow_run SET wake_at = clock_timestamp() WHERE state = 'ready'")
        self.look.run("UPDATE lane SET blocked_until = NULL")
        self.look.run("UPDATE effect SET intended_at = intended_at - interval '1 hour' WHERE state = 'in_doubt'")

    def time_out(self) -> None:
        """Every wait for a signal is over."""
        self.look.run(
            "UPDATE flow_run SET wake_at = clock_timestamp(), deadline = clock_timestamp()"
            " WHERE state = 'waiting' AND wake_at IS NOT NULL"
        )

    def run(self, key: str) -> Row:
        """The run of that business key."""
        (row,) = self.look.run("SELECT * FROM flow_run WHERE business_key = %s", (key,))
        return row

    def state(self, key: str) -> str:
        """Where the run of that key stands."""
        return str(self.run(key)["state"])

    def history(self, key: str) -> list[tuple[str, str]]:
        """(step, outcome) of every try, oldest first."""
        rows = self.look.run(
            "SELECT s.step, s.outcome FROM flow_step s JOIN flow_run r ON r.id = s.run_id"
            " WHERE r.business_key = %s ORDER BY s.id",
            (key,),
        )
        return [(row["step"], row["outcome"]) for row in rows]

    def effects(self, key: str) -> list[tuple[str, str]]:
        """(key, state) of every outside write of a run, oldest first."""
        rows = self.look.run(
            "SELECT e.key, e.state FROM effect e JOIN flow_run r ON r.id = e.run_id"
            " WHERE r.business_key = %s ORDER BY e.id",
            (key,),
        )
        return [(row["key"], row["state"]) for row in rows]

    def deeds(self, key: str) -> list[str]:
        """What committed steps of that run noted, oldest first."""
        return [row["what"] for row in self.look.run("SELECT what FROM deed WHERE key = %s ORDER BY id", (key,))]

    def landed(self, part: str) -> list[str]:
        """Paths of the documents in the destination's books, one for each document."""
        found = self.destination.documents()
        return sorted(path for path, documents in found.items() for _ in documents if part in path)

    def close(self) -> None:
        """End the runners' threads."""
        for each in self._runners:
            each.close()


def note(run: Run, uow: UnitOfWork, what: str) -> None:
    """Leave a trace of a step's own work."""
    uow.execute("INSERT INTO deed (key, what) VALUES (%s, %s)", (run.business_key, what))


@pytest.fixture(scope="session")
def books_process() -> Iterator[books.Destination]:
    """The destination's process, one for all tests."""
    with books.running() as destination:
        yield destination


@pytest.fixture
def destination(books_process: books.Destination) -> books.Destination:
    """The destination with empty books and no faults."""
    books_process.clear()
    return books_process


@pytest.fixture
def world(database: Database, destination: books.Destination) -> Iterator[World]:
    """A world of its own for each test."""
    look = Database(database.url, pool_size=4).open()
    made = World(database, look, destination)
    yield made
    made.close()
    look.close()
