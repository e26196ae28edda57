"""The contenders of ``benchmarks.flows``, each launched in a process of its own.

It reads ``mode count`` lines from standard input, does that many runs and answers with the count.
"""

import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString, NoReturn

from dbos import DBOS, DBOSConfig
from psycopg.conninfo import conninfo_to_dict

from flows.runtime import runs, schema, telemetry
from flows.runtime.database import Database, UnitOfWork
from flows.runtime.engine import Engine
from flows.runtime.flow import Flow, Run, Start, batch_step, step
from flows.runtime.runner import Runner
from flows.runtime.settings import Settings

Modes = Mapping[str, Callable[[int], int]]

THREADS = 8
POOL = 24
OWNER = "bench"
BULK = 1_000
POLL_S = 0.01
PATIENCE_S = 120.0
_LIVE: LiteralString = " UNION ALL ".join(
    f"(SELECT 1 FROM flow_run WHERE state = '{state}' LIMIT 1)" for state in ("ready", "running", "waiting")
)
_keys = itertools.count()


def _steps() -> tuple[Flow, Flow]:
    def one(run: Run, uow: UnitOfWork) -> int:
        return len(run.results)

    def many(batch: Sequence[Run], uow: UnitOfWork) -> list[int]:
        return [len(run.results) for run in batch]

    names = ("a", "b", "c")
    return (
        Flow("bench.single", 1, tuple(step(name=name)(one) for name in names)),
        Flow("bench.batch", 1, tuple(batch_step(name=name, size=1000)(many) for name in names)),
    )


SINGLE, BATCH = _steps()


def _starts(flow: Flow, count: int) -> list[Start]:
    return [Start(flow.name, OWNER, OWNER, str(next(_keys)), {"n": 1}) for _ in range(count)]


@dataclass(frozen=True)
class Parts:
    """What an engine is made of."""

    settings: Settings
    database: Database
    runner: Runner


class Ours:
    """Our runtime on a database of its own, with the workers of this process."""

    def __init__(self, url: str) -> None:
        schema.upgrade(url)
        self.database = Database(url, pool_size=POOL).open()
        self._runner = Runner(self.database, {flow.name: flow for flow in (SINGLE, BATCH)}, _no_writer)
        self._engine = Engine(Parts(Settings(workers=THREADS), self.database, self._runner))
        self._engine.start()

    def modes(self) -> Modes:
        """What it can be asked to do, by name."""
        return {
            "single": lambda count: one_by_one(self.one, count),
            "threads": lambda count: in_threads(self.one, count),
            "started": self.started,
            "batch": self.batch,
        }

    def one(self) -> None:
        """Start a run and carry it to its end in this thread."""
        (start,) = _starts(SINGLE, 1)
        state = self._runner.run(start)
        assert state.results == {"a": 0, "b": 1, "c": 2}, state

    def started(self, count: int) -> int:
        """Start runs one by one; the workers finish them."""
        for start in _starts(SINGLE, count):
            with self.database.unit() as uow:
                runs.start_runs(uow, [start], commit=True)
        return self._awaited(count)

    def batch(self, count: int) -> int:
        """Start runs in bulk; the workers finish them."""
        starts = _starts(BATCH, count)
        for begin in range(0, count, BULK):
            with self.database.unit() as uow:
                runs.start_runs(uow, starts[begin : begin + BULK], commit=True)
        return self._awaited(count)

    def _awaited(self, count: int) -> int:
        end = time.monotonic() + PATIENCE_S
        while self.database.run(_LIVE):
            assert time.monotonic() < end, "the runs do not end"
            time.sleep(POLL_S)
        return count

    def close(self) -> None:
        """Write the last spans and leave nothing open."""
        self._engine.stop()
        telemetry.stop()
        self._runner.close()
        self.database.close()


def _no_writer(name: str) -> NoReturn:
    raise AssertionError(f"no step writes to {name}")


@DBOS.step()
def dbos_step(done: int) -> int:
    """One step of the peer."""
    return done


@DBOS.workflow()
def dbos_workflow() -> list[int]:
    """The peer's three steps."""
    return [dbos_step(0), dbos_step(1), dbos_step(2)]


def dbos_one() -> None:
    """Run one workflow to its end in this thread."""
    assert dbos_workflow() == [0, 1, 2]


def dbos_started(count: int) -> int:
    """Start workflows one by one; the peer's own threads finish them."""
    for handle in [DBOS.start_workflow(dbos_workflow) for _ in range(count)]:
        assert handle.get_result() == [0, 1, 2]
    return count


DBOS_MODES: Modes = {
    "single": lambda count: one_by_one(dbos_one, count),
    "threads": lambda count: in_threads(dbos_one, count),
    "started": dbos_started,
}


@contextmanager
def ours_on(url: str) -> Iterator[Modes]:
    """Ours, with its workers."""
    ours = Ours(url)
    try:
        yield ours.modes()
    finally:
        ours.close()


@contextmanager
def dbos_on(url: str) -> Iterator[Modes]:
    """The peer, launched on a database of its own."""
    place = conninfo_to_dict(url)
    address = f"postgresql://{place['user']}@/{place['dbname']}?host={place['host']}"
    DBOS(config=DBOSConfig(name="bench", system_database_url=address, log_level="ERROR", sys_db_pool_size=POOL))
    DBOS.launch()
    try:
        yield DBOS_MODES
    finally:
        DBOS.destroy()


def one_by_one(one: Callable[[], None], count: int) -> int:
    """``count`` times, each after the one before."""
    for _ in range(count):
        one()
    return count


def in_threads(one: Callable[[], None], count: int) -> int:
    """``count`` times, by eight threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: one(), range(count)))
    return count


CONTENDERS = {"ours": ours_on, "dbos": dbos_on}


def main() -> None:
    """Launch the contender named on the command line on the database given there; obey until input is closed."""
    logging.disable(logging.WARNING)
    name, url = sys.argv[1:]
    with CONTENDERS[name](url) as modes:
        for line in sys.stdin:
            mode, count = line.split()
            sys.stdout.write(f"{modes[mode](int(count))}\n")
            sys.stdout.flush()
