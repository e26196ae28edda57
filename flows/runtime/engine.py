"""The threads that carry runs on in this process: relay, sweeper, and dramatiq workers.

Flow lanes share ``workers`` threads. Each destination's lane has threads of its own, as many as it may have calls at
once; so a destination that struggles holds up nobody else. A worker that was woken works for a short turn and then
asks to be woken again, so that lanes take turns; a full claim wakes another worker.
"""

import logging
import threading
import time
from collections import Counter
from typing import Final, Protocol

from canonical_model.errors import HubError, TransientError
from flows.runtime import telemetry
from flows.runtime.broker import Wakes
from flows.runtime.database import Database
from flows.runtime.relay import Relay
from flows.runtime.runner import Runner
from flows.runtime.settings import Settings

TURN_S: Final = 1.0
TURN_RUNS: Final = 32

_log = logging.getLogger(__name__)


class Hub(Protocol):
    """What an engine is made of; ``bootstrap.Hub`` is one."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def runner(self) -> Runner: ...


class Engine:
    """Start it in a worker process, or in the door's own process when embedded; stop it before the hub is closed."""

    def __init__(self, hub: Hub) -> None:
        settings = hub.settings
        self._hub = hub
        self._runner = hub.runner
        self._sweep_s = settings.sweep_s
        url = settings.broker_url.get_secret_value() if settings.broker_url else None
        self._wakes = Wakes(url, self._work)
        self._relay = Relay(hub.database, self._wakes, settings.sweep_s)
        self._threads: dict[str, int] = dict.fromkeys(self._runner.catalogue.lanes, settings.workers)
        self._threads |= {lane: min(spec.concurrency, settings.workers) for lane, spec in self._runner.lanes.items()}
        self._busy: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="yipan-sweeper", daemon=True)

    def start(self) -> None:
        """Begin. A broker or a database that is away is waited for."""
        telemetry.start(self._hub.settings, self._hub.database)
        self._runner.on_backlog = self._fan_out
        self._wakes.serve(sorted(self._runner.catalogue.lanes), self._hub.settings.workers)
        for lane in self._runner.lanes:
            self._wakes.serve([lane], self._threads[lane])
        self._relay.start()
        self._sweeper.start()

    def stop(self) -> None:
        """Finish the steps that have begun, give everything else back, and end every thread."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._runner.stop()
        self._sweeper.join()
        self._relay.stop()
        self._wakes.stop()
        self._runner.on_backlog = None
        self._runner.resume()
        telemetry.flush()

    def wake(self, lane: str) -> None:
        """Ask a worker to look at ``lane``."""
        self._relay.wake(lane)

    def _work(self, lane: str) -> None:
        with self._lock:
            self._busy[lane] += 1
            self._asked[lane] = max(0, self._asked[lane] - 1)
        try:
            self._take_turn(lane)
        except TransientError as error:
            _log.warning("lane %s rests until the next sweep: %s", lane, error)
        except Exception:  # noqa: BLE001 - a worker thread outlives whatever one turn met
            _log.exception("lane %s stopped on an error of the runtime itself; the sweeper tries again", lane)
        finally:
            with self._lock:
                self._busy[lane] -= 1

    def _take_turn(self, lane: str) -> None:
        end = time.monotonic() + TURN_S
        while self._runner.work(lane, limit=TURN_RUNS) >= TURN_RUNS:
            if time.monotonic() > end:
                self._relay.wake(lane)
                return

    def _fan_out(self, lane: str) -> None:
        """Wake one more worker of ``lane``, unless all of this process are busy or asked for."""
        with self._lock:
            if self._busy[lane] + self._asked[lane] >= self._threads.get(lane, 0):
                return
            self._asked[lane] += 1
        self._relay.wake(lane)

    def _sweep(self) -> None:
        away = False
        while not self._stopping.wait(self._sweep_s):
            with self._lock:
                self._asked.clear()
            try:
                for lane in self._runner.sweep():
                    self._relay.wake(lane)
            except HubError as error:
                if not away:
                    _log.warning("the sweeper waits: %s", error)
                away = True
            except Exception:  # noqa: BLE001 - nobody else would sweep
                _log.exception("the sweeper stumbled and goes on")
            else:
                away = False
