"""How a simulated system pushes to the hub: from a durable queue, until the hub has acknowledged."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from connectors.kit.books import Books
from connectors.kit.faults import Fault, Faults

PUSH_TIMEOUT_S: Final = 30.0
FIRST_WAIT_S: Final = 0.1
MAX_WAIT_S: Final = 3.0
MAX_REFUSALS: Final = 5

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outgoing (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
    media_type TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', refusals INTEGER NOT NULL DEFAULT 0, answer TEXT
);
CREATE INDEX IF NOT EXISTS ix_outgoing_pending ON outgoing (id) WHERE state = 'pending';
"""


Answer = httpx.Response


@dataclass(frozen=True, slots=True)
class Push:
    """One message for the hub's stream; ``key`` is the same on every try."""

    stream: str
    key: str
    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Dress:
    """What this system adds to a push each time it is sent: headers, and query parameters such as a signature.

    ``path``: the door it goes to, where that is not the stream's own.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None


def api_key_dress(api_key: str) -> Callable[[Push], Dress]:
    """For systems that show an API key and an Idempotency-Key."""
    return lambda push: Dress({"Authorization": f"Bearer {api_key}", "Idempotency-Key": push.key})


def accepted_by_status(answer: Answer) -> bool:
    """For protocols whose status tells the truth."""
    return answer.is_success


def unavailable_by_status(answer: Answer) -> bool:
    """For protocols whose status tells whether it is worth another try."""
    return answer.status_code == 429 or answer.status_code >= 500


class HubClient:
    """Pushes queued messages in order, one at a time, the same key on every try.

    No answer, or one that is ``unavailable`` (429 or a 5xx): again, waiting longer each time, without an end. A
    refusal: again up to MAX_REFUSALS, then it is set aside as ``refused`` and the next goes on. ``hub`` None only
    queues.
    """

    def __init__(
        self,
        books: Books,
        faults: Faults,
        *,
        hub: str | None,
        system: str,
        dress: Callable[[Push], Dress],
        accepted: Callable[[Answer], bool] = accepted_by_status,
        unavailable: Callable[[Answer], bool] = unavailable_by_status,
    ) -> None:
        books.extend(_SCHEMA)
        self._books = books
        self._faults = faults
        self._hub = hub
        self._system = system
        self._dress = dress
        self._accepted = accepted
        self._unavailable = unavailable
        self._queued = asyncio.Event()

    def queue(self, transaction: sqlite3.Connection, push: Push) -> None:
        """Queue in the transaction of the fact that ``push`` tells; a key that was queued before is left alone."""
        transaction.execute(
            "INSERT INTO outgoing (stream, key, body, media_type) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (push.stream, push.key, push.body, push.media_type),
        )
        self._queued.set()

    def state(self) -> dict[str, Any]:
        """Counts by state, and the last refusals in the hub's own words."""
        counts = {"pending": 0, "acknowledged": 0, "refused": 0}
        for row in self._books.rows("SELECT state, count(*) AS n FROM outgoing GROUP BY state"):
            counts[row["state"]] = row["n"]
        refusals = self._books.rows(
            "SELECT stream, key, answer FROM outgoing WHERE answer IS NOT NULL ORDER BY id DESC LIMIT 20"
        )
        return {**counts, "refusals": refusals}

    async def run(self) -> None:
        """Push until cancelled."""
        if self._hub is None:
            return
        async with httpx.AsyncClient(base_url=self._hub, timeout=PUSH_TIMEOUT_S, trust_env=False) as client:
            wait_s = FIRST_WAIT_S
            while True:
                row = self._books.find("SELECT * FROM outgoing WHERE state = 'pending' ORDER BY id LIMIT 1")
                if row is None:
                    self._queued.clear()
                    await self._queued.wait()
                elif await self._deliver(client, row):
                    wait_s = FIRST_WAIT_S
                else:
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, MAX_WAIT_S)

    async def _deliver(self, client: httpx.AsyncClient, row: Mapping[str, Any]) -> bool:
        """Whether the queue may go on to the next message."""
        push = Push(row["stream"], row["key"], row["body"], row["media_type"])
        if self._faults.strikes(Fault.MALFORMED):
            await self._post(client, Push(push.stream, f"{push.key}~broken", _broken(push.body), push.media_type))
        answer = await self._post(client, push)
        if answer is None or self._unavailable(answer):
            return False
        if self._accepted(answer):
            self._mark(row, state="acknowledged", refusals=row["refusals"], answer=None)
            if self._faults.strikes(Fault.DUPLICATE):
                await self._post(client, push)
            return True
        refusals = row["refusals"] + 1
        given_up: bool = refusals >= MAX_REFUSALS
        self._mark(row, state="refused" if given_up else "pending", refusals=refusals, answer=answer.text[:500])
        return given_up

    async def _post(self, client: httpx.AsyncClient, push: Push) -> Answer | None:
        dress = self._dress(push)
        try:
            return await client.post(
                dress.path or f"/v1/ingest/{self._system}/{push.stream}",
                params=dress.query,
                headers={"Content-Type": push.media_type, **dress.headers},
                content=push.body,
            )
        except httpx.HTTPError:
            return None

    def _mark(self, row: Mapping[str, Any], *, state: str, refusals: int, answer: str | None) -> None:
        with self._books.transaction() as transaction:
            transaction.execute(
                "UPDATE outgoing SET state = ?, refusals = ?, answer = ? WHERE id = ?",
                (state, refusals, answer, row["id"]),
            )


def _broken(body: bytes) -> bytes:
    """What arrives when a sender stops in the middle."""
    return body[: max(len(body) * 2 // 3, 1)]
