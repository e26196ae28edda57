"""Workers that can be told where to die, for the crash matrix.

A ``Nursery`` is a process without threads that has imported everything; each worker is a fork of it, so that hundreds
of workers can be started and killed in a test. ``die_at`` is the number of the commit after which the worker kills
itself with SIGKILL; ``die_after_call`` the number of the outside write after which it does, with the answer in hand.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pydantic import SecretStr

from canonical_model.ports import Receipt, Record
from flows.runtime.database import Database
from flows.runtime.engine import Engine
from flows.runtime.runner import Runner
from flows.runtime.settings import Settings
from flows.testing import crash_flows
from flows.testing.destination import BooksWriter, Destination

LEASE_S: Final = 1.0
SWEEP_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Order:
    """What kind of worker to start."""

    database_url: str
    port: int
    broker_url: str | None = None
    die_at: int | None = None
    die_after_call: int | None = None


@dataclass(frozen=True)
class Parts:
    """What an engine is made of."""

    settings: Settings
    database: Database
    runner: Runner


@dataclass
class _Fate:
    """Counts towards the moment of death."""

    at: int | None
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tick(self) -> None:
        """One more; the last one kills."""
        with self.lock:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


class _FatedWriter(BooksWriter):
    def __init__(self, port: int, name: str, fate: _Fate) -> None:
        super().__init__(port, name)
        self._fate = fate

    def write(self, key: str, body: Record) -> Receipt:
        receipt = super().write(key, body)
        self._fate.tick()
        return receipt


def work(order: Order) -> None:
    """Be a worker until SIGTERM, or until the fate says."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    commits, calls = _Fate(order.die_at), _Fate(order.die_after_call)
    database = Database(order.database_url, pool_size=8, on_commit=commits.tick).open()
    runner = Runner(
        database,
        crash_flows.FLOWS,
        lambda name: _FatedWriter(order.port, name.partition(".")[2], calls),
        lanes=Destination(order.port).lanes,
        lease_s=LEASE_S,
        claim_size=4,
    )
    broker = SecretStr(order.broker_url) if order.broker_url else None
    engine = Engine(Parts(Settings(broker_url=broker, sweep_s=SWEEP_S, workers=2), database, runner))
    engine.start()
    while not stop.wait(0.2):
        pass
    engine.stop()
    runner.close()
    database.close()


class Nursery:
    """Starts workers; see the module."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, order: Order) -> int:
        """Start a worker; its process id."""
        return int(self._ask({"start": asdict(order)}))

    def kill(self, pid: int) -> None:
        """Kill a worker with SIGKILL, if it still lives."""
        self._ask({"kill": pid})

    def lives(self, pid: int) -> bool:
        """Whether the worker has not died yet."""
        return bool(int(self._ask({"lives": pid})))

    def _ask(self, command: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery until the end of the block; its workers die with it."""
    command = [sys.executable, "-m", "flows.testing.crash_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Nursery(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _fork(order: Order) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.close(0)
    os.dup2(2, 1)
    try:
        work(order)
    finally:
        os._exit(0)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _lives(pid: int) -> int:
    try:
        return int(os.waitpid(pid, os.WNOHANG) == (0, 0))
    except ChildProcessError:
        return 0


def main() -> None:
    """Obey commands from standard input, one JSON object a line, until it is closed."""
    logging.basicConfig(level=logging.CRITICAL)
    workers: list[int] = []

    def start(order: dict[str, Any]) -> int:
        workers.append(_fork(Order(**order)))
        return workers[-1]

    obey: dict[str, Callable[[Any], Any]] = {"start": start, "kill": _kill, "lives": _lives}
    for line in sys.stdin:
        ((command, argument),) = json.loads(line).items()
        sys.stdout.write(f"{obey[command](argument) or 0}\n")
        sys.stdout.flush()
    for pid in workers:
        _kill(pid)


if __name__ == "__main__":
    main()
