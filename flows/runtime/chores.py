"""What is done by the clock: each room names its chores, every process that works runs them all.

A chore has a thread in each process; an advisory lock lets one of them at a time through.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Final

from canonical_model.errors import HubError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork

STOP_S: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """``do`` is done every ``every_s`` in a transaction that commits after it, and again at once while it says so."""

    name: str
    every_s: float
    do: Callable[[Hub, UnitOfWork, datetime], bool]


def companies(hub: Hub) -> list[tuple[str, str]]:
    """Owner and brand of every connected system, by name."""
    configs = [hub.estate.connector(system).config for system in hub.estate.systems]
    return sorted({(hub.estate.owner, hub.estate.brand), *((config.owner, config.brand) for config in configs)})


class Chores:
    """The threads of this process that do the chores; ``start`` and ``stop`` once each."""

    def __init__(self, hub: Hub, chores: Sequence[Chore]) -> None:
        self._hub = hub
        self._stopping = Event()
        self._threads = [
            Thread(target=self._repeat, args=(chore,), name=f"yipan-{chore.name}", daemon=True) for chore in chores
        ]

    def start(self) -> None:
        """Begin; each chore is done for the first time when its interval has passed."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is being done."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def _repeat(self, chore: Chore) -> None:
        while not self._stopping.wait(chore.every_s):
            try:
                while do_once(self._hub, chore, datetime.now(UTC)) and not self._stopping.is_set():
                    pass
            except HubError as error:
                _log.warning("%s waits: %s", chore.name, error)
            except Exception:  # noqa: BLE001 - one chore that breaks must not end, nor end the others
                _log.exception("%s broke; it is tried again", chore.name)


def do_once(hub: Hub, chore: Chore, now: datetime) -> bool:
    """Do a chore unless another process is at it; whether there is more to do at once."""
    with hub.database.unit() as uow:
        row = uow.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0)) AS mine", [f"chore.{chore.name}"]
        ).fetchone()
        if row is None or not row["mine"]:
            return False
        more = chore.do(hub, uow, now)
        uow.commit()
        return more
