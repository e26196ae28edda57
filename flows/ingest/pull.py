"""Pulled streams: each page becomes a message, and the cursor moves in the same transaction.

A crash between two pages costs nothing: the next pull goes on after the last page that was stored. One process
at a time pulls a stream, under a lease that every page renews; no transaction is open while the source is asked.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import orjson

from canonical_model.errors import ConflictError, HubError, LimitError, RejectedError
from canonical_model.ports import Page, SystemConfig
from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Database
from flows.runtime.inbox import Incoming, receive

MAX_PAGES: Final = 10_000
LEASE_S: Final = 300.0
RETRY_S: Final = 60.0
MEDIA_TYPE: Final = "application/json"


@dataclass(slots=True)
class PullReport:
    """What one pull brought. ``messages``: ids of the new ones, in order. ``error``: why it stopped early."""

    system: str
    stream: str
    pages: int = 0
    records: int = 0
    messages: list[str] = field(default_factory=list)
    error: HubError | None = None


def pull(hub: Hub, system: str, stream: str) -> PullReport:
    """Read the stream to its end, now. Pages stored before an error stay stored, and the report says so.

    Raises NotFoundError (system or stream), RejectedError (the stream is pushed), ConflictError (another process
    is pulling it).
    """
    spec = hub.estate.stream(system, stream)
    if spec.direction != "pull":
        raise RejectedError(
            f"{system}/{stream} is pushed by the system; there is nothing to pull", code="stream.pushed"
        )
    connector = hub.estate.connector(system)
    turn = _Turn(hub.database, connector.config, stream)
    report = PullReport(system, stream)
    with telemetry.span(f"pull {system}/{stream}", attributes={"yipan.system": system, "yipan.stream": stream}):
        try:
            for page in connector.readers[stream].pages(turn.cursor):
                turn.store(page, report)
        except HubError as error:
            report.error = error
    turn.end(wait_s=RETRY_S if report.error else None)
    return report


def scheduled_systems(hub: Hub) -> list[str]:
    """The connected systems with a stream that is pulled by schedule."""
    return [
        system
        for system in hub.estate.systems
        if any(spec.schedule_s is not None for spec in hub.estate.connector(system).manifest.streams)
    ]


def pull_due(hub: Hub, system: str) -> list[PullReport]:
    """Pull each stream of ``system`` whose schedule says so; what another process pulls is passed over."""
    connector = hub.estate.connector(system)
    reports = []
    for spec in connector.manifest.streams:
        if spec.schedule_s is not None and _is_due(hub.database, connector.config, spec.name, spec.schedule_s):
            with suppress(ConflictError):
                reports.append(pull(hub, system, spec.name))
    return reports


class _Turn:
    """The right to pull one stream, under a lease. ``cursor``: where to go on. ConflictError if it is taken."""

    def __init__(self, database: Database, config: SystemConfig, stream: str) -> None:
        self._database = database
        self._config = config
        self._stream = stream
        self._key = (config.owner, config.brand, config.name, stream)
        claimed = database.run(
            "INSERT INTO stream_cursor AS c (owner, brand, system, stream, updated_at, pulling_until)"
            " VALUES (%s, %s, %s, %s, 'epoch', clock_timestamp() + make_interval(secs => %s))"
            " ON CONFLICT (owner, brand, system, stream) DO UPDATE SET pulling_until = excluded.pulling_until"
            " WHERE c.pulling_until IS NULL OR c.pulling_until < clock_timestamp() RETURNING cursor, pulling_until",
            (*self._key, LEASE_S),
        )
        if not claimed:
            raise self._taken()
        self.cursor: str | None = claimed[0]["cursor"]
        self._until: datetime = claimed[0]["pulling_until"]

    def store(self, page: Page, report: PullReport) -> None:
        """The page as a message, and the cursor behind it, in one transaction that also renews the lease."""
        if report.pages == MAX_PAGES:
            raise LimitError(f"{self._config.name}/{self._stream} has over {MAX_PAGES} pages; ask for larger ones")
        with self._database.unit() as uow:
            if page.records:
                report.messages.append(receive(uow, self._incoming(page)).message_id)
            moved = uow.execute(
                "UPDATE stream_cursor SET cursor = %s, updated_at = clock_timestamp(),"
                " pulling_until = clock_timestamp() + make_interval(secs => %s)"
                " WHERE (owner, brand, system, stream) = (%s, %s, %s, %s) AND pulling_until = %s"
                " RETURNING cursor, pulling_until",
                (page.cursor, LEASE_S, *self._key, self._until),
            ).fetchone()
            if moved is None:
                raise self._taken()
            uow.commit()
        self.cursor, self._until = moved["cursor"], moved["pulling_until"]
        report.pages += 1
        report.records += len(page.records)

    def end(self, *, wait_s: float | None) -> None:
        """Give the turn back: the stream was read to its end, or (with ``wait_s``) nobody takes it for so long."""
        self._database.run(
            "UPDATE stream_cursor SET pulling_until = clock_timestamp() + make_interval(secs => %s)"
            " WHERE (owner, brand, system, stream) = (%s, %s, %s, %s) AND pulling_until = %s",
            (wait_s, *self._key, self._until),
        )

    def _incoming(self, page: Page) -> Incoming:
        """The page under a key of its own: the same page of the same turn is the same message."""
        body = orjson.dumps(list(page.records))
        place = f"{self.cursor}\n{self._until.isoformat()}\n".encode()
        return Incoming(
            system=self._config.name,
            stream=self._stream,
            body=body,
            media_type=MEDIA_TYPE,
            received_at=datetime.now(UTC),
            idempotency_key=f"pull:{sha256(place + body).hexdigest()}",
            traceparent=telemetry.current_traceparent(),
        )

    def _taken(self) -> ConflictError:
        return ConflictError(
            f"another process is pulling {self._config.name}/{self._stream}, or failed to a moment ago; wait",
            code="pull.taken",
        )


def _is_due(database: Database, config: SystemConfig, stream: str, schedule_s: float) -> bool:
    """Never pulled, stopped in the middle, or last page longer ago than the schedule; and nobody is at it."""
    rows = database.run(
        "SELECT CASE WHEN pulling_until IS NULL THEN updated_at < clock_timestamp() - make_interval(secs => %s)"
        " ELSE pulling_until < clock_timestamp() END AS due"
        " FROM stream_cursor WHERE (owner, brand, system, stream) = (%s, %s, %s, %s)",
        (schedule_s, config.owner, config.brand, config.name, stream),
    )
    return bool(rows[0]["due"]) if rows else True
