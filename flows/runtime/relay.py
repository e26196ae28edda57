"""Hands wake-ups to the broker: those that other transactions announce, and those this process asks for itself.

A wake-up is an outbox row and a NOTIFY that commit with the fact they announce. While the relay listens, the NOTIFY
is enough, and rows are only cleared away now and then; whatever was announced while nobody listened is read from the
rows. No transaction is open while the broker is asked, and a crash in between only doubles a wake-up. PostgreSQL and
the broker may go away and come back: the relay begins anew, with the rows.

With a shared broker one relay of all processes does this (a session lock says which); with the in-memory broker each
process relays to itself.
"""

import logging
import os
import select
import threading
import time
from typing import Final

from canonical_model.errors import TransientError
from flows.runtime import metrics
from flows.runtime.broker import Wakes
from flows.runtime.database import Database, Session

BATCH: Final = 1_000
GATHER_S: Final = 0.003
REST_S: Final = 1.0
_LEADER_LOCK: Final = 7202611220004

_log = logging.getLogger(__name__)


class Relay:
    """A thread of its own; the only one that speaks to the broker as a sender."""

    def __init__(self, database: Database, wakes: Wakes, poll_s: float) -> None:
        self._database = database
        self._wakes = wakes
        self._poll_s = poll_s
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._reader, self._writer = os.pipe()
        self._closed = False
        self._away: str | None = None
        self._thread = threading.Thread(target=self._run, name="yipan-relay", daemon=True)

    def start(self) -> None:
        """Begin relaying."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is left in the outbox stays there."""
        self._stopping.set()
        self._nudge()
        self._thread.join()
        with self._lock:
            self._closed = True
            os.close(self._reader)
            os.close(self._writer)

    def wake(self, lane: str) -> None:
        """Ask for a wake-up of ``lane``; many at once become one. Never waits."""
        with self._lock:
            if self._closed:
                return
            if not self._asked:
                self._nudge()
            self._asked.add(lane)

    def _nudge(self) -> None:
        os.write(self._writer, b"!")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._database.session() as session:
                    self._serve(session)
            except TransientError as error:
                if self._away != error.code:
                    _log.warning("wake-ups wait in the outbox: %s", error)
                self._away = error.code
            except Exception:  # noqa: BLE001 - nobody else would relay
                _log.exception("the relay stumbled and begins anew")
            self._stopping.wait(REST_S)

    def _serve(self, session: Session) -> None:
        while self._wakes.shared and not self._stopping.is_set() and not _lead(session):
            self._send(set())
            self._wait(session)
        session.run("LISTEN yipan_wake")
        self._clear(session, announce=True)
        cleared = time.monotonic()
        if self._away:
            _log.warning("wake-ups are relayed again")
            self._away = None
        while not self._stopping.is_set():
            self._wait(session)
            self._send(_heard(session))
            if time.monotonic() - cleared > self._poll_s:
                self._clear(session)
                cleared = time.monotonic()

    def _clear(self, session: Session, *, announce: bool = False) -> None:
        """Delete the rows that are there, once their lanes are woken. All announced since LISTEN were heard, or are
        heard now: a commit that made a row visible has also delivered its NOTIFY."""
        while True:
            rows = session.run("SELECT id, lane FROM outbox ORDER BY id LIMIT %s", (BATCH,))
            self._send(_heard(session) | ({row["lane"] for row in rows} if announce else set()))
            if rows:
                session.run("DELETE FROM outbox WHERE id = ANY(%s)", ([row["id"] for row in rows],))
            if len(rows) < BATCH:
                return

    def _send(self, lanes: set[str]) -> None:
        with self._lock:
            asked, self._asked = self._asked, set()
        for lane in sorted(lanes | asked):
            self._wakes.send(lane)
            metrics.WAKES.labels(lane).inc()

    def _wait(self, session: Session) -> None:
        """Until a NOTIFY, an own wake-up, or the next poll; then a moment more, so that wake-ups gather."""
        poll = select.poll()
        poll.register(session.connection.fileno(), select.POLLIN)
        poll.register(self._reader, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._poll_s * 1000)}
        if self._reader in ready:
            os.read(self._reader, 4096)
        if ready and not self._stopping.is_set():
            time.sleep(GATHER_S)


def _heard(session: Session) -> set[str]:
    return {notice.payload for notice in session.connection.notifies(timeout=0)}


def _lead(session: Session) -> bool:
    (row,) = session.run("SELECT pg_try_advisory_lock(%s) AS leading", (_LEADER_LOCK,))
    return bool(row["leading"])
