"""A worker process: carries runs on and pulls what is due, until it is told to stop."""

import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType
from typing import Final, Self

from canonical_model.errors import HubError
from flows.ingest.pull import pull_due, scheduled_systems
from flows.one_stock import chores as one_stock_chores
from flows.points import chores as points_chores
from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub, build
from flows.runtime.chores import Chores
from flows.runtime.settings import Settings

PULL_LOOK_S: Final = 5.0
GC_YOUNG_OBJECTS: Final = 50_000
SWITCH_S: Final = 0.0005
STOP_S: Final = 10.0

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


class Work:
    """Everything that goes on in the background of a process: the engine, the pulls that are due, and the chores.

    As a context manager it works while inside; leaving it finishes the steps in hand.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._engine = hub.engine()
        self._chores = Chores(hub, (*one_stock_chores.every_chore(), *points_chores.every_chore()))
        self._stopping = Event()
        self._pullers = [
            Thread(target=self._pull, args=(system,), name=f"yipan-pull-{system}", daemon=True)
            for system in scheduled_systems(hub)
        ]

    def __enter__(self) -> Self:
        _make_room_for_bulk()
        self._engine.start()
        for puller in self._pullers:
            puller.start()
        self._chores.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._chores.stop()
        self._engine.stop()
        for puller in self._pullers:
            puller.join(STOP_S)

    def _pull(self, system: str) -> None:
        """Each system has a thread, so that one that hangs delays no other."""
        while not self._stopping.wait(PULL_LOOK_S):
            try:
                reports = pull_due(self._hub, system)
            except HubError as error:
                _log.warning("%s: pulling waits: %s", system, error)
                continue
            except Exception:  # noqa: BLE001 - a connector's own mistake must not end the pulling
                _log.exception("%s: its connector broke while pulling; it is tried again", system)
                continue
            for report in reports:
                if report.error:
                    _log.warning("%s/%s stopped: %s", report.system, report.stream, report.error)


def _make_room_for_bulk() -> None:
    """Settings of the interpreter for threads that take turns at bulk work and at short waits for PostgreSQL.

    Messages are trees of thousands of small objects without a cycle: looking for cycles in them costs a tenth. A
    thread that holds database locks must not wait long for its turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)
    sys.setswitchinterval(SWITCH_S)


def run_worker(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT; the steps in hand are finished first. ``ready`` is called once it works.

    Raises ConfigurationError and TransientError at start, as ``bootstrap.build`` does.
    """
    with build(settings) as hub, traced(hub), stop_signal() as stop, Work(hub):
        ready()
        stop.wait()


@contextmanager
def traced(hub: Hub) -> Iterator[None]:
    """Spans are recorded while inside, and all are written before the database is closed."""
    telemetry.start(hub.settings, hub.database)
    try:
        yield
    finally:
        telemetry.stop()


@contextmanager
def stop_signal() -> Iterator[Event]:
    """An event that is set when the process is asked to end; the former handlers come back afterwards."""
    stop = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
