"""Requests that come together are served together, and each hears what is its own."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from canonical_model.errors import NotFoundError, RejectedError
from flows.runtime.bootstrap import Hub
from flows.runtime.inbox import Incoming, Received
from hub_api.rest.inbox import Inbox
from hub_api.rest.together import Together


class Desk:
    """Doubles numbers; the first batch waits until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def double(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        assert self.go.wait(10)
        return [RejectedError(f"{item} is odd") if item % 2 else 2 * item for item in items]


def test_who_comes_while_one_batch_is_served_makes_the_next_one() -> None:
    desk = Desk()
    together: Together[int, int] = Together(desk.double, size=10)

    async def run() -> list[int | BaseException]:
        first = asyncio.create_task(together(0))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(together(n)) for n in range(1, 15)]
        await asyncio.sleep(0)
        rest[3].cancel()
        desk.go.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    answers = asyncio.run(run())
    assert desk.batches == [[0], [*range(1, 11)], [*range(11, 15)]]
    assert [answers[n] for n in (0, 2, 6, 14)] == [0, 4, 12, 28]
    assert isinstance(answers[3], RejectedError)
    assert isinstance(answers[4], asyncio.CancelledError)


def test_an_error_of_the_whole_batch_is_told_to_everybody_and_the_next_is_served() -> None:
    def fail_once(items: Sequence[int]) -> Sequence[int]:
        if 0 in items:
            raise NotFoundError("away")
        return items

    together: Together[int, int] = Together(fail_once, size=10)

    async def run() -> None:
        with pytest.raises(NotFoundError):
            await together(0)
        assert await together(1) == 1

    asyncio.run(run())
    asyncio.run(run())


def test_messages_are_stored_together_and_one_that_cannot_be_stored_stops_no_other(hub: Hub) -> None:
    async def run() -> list[Received | BaseException]:
        inbox = Inbox(hub)
        sent = [letter(f"W{n}", "text/nothing\0" if n == 5 else "application/json") for n in range(12)]
        return await asyncio.gather(*map(inbox.store, [*sent, letter("W1")]), return_exceptions=True)

    answers = asyncio.run(run())
    assert [isinstance(each, Received) for each in answers] == [n != 5 for n in range(13)]
    assert [each.new for each in answers if isinstance(each, Received)] == [True] * 11 + [False]
    stored = hub.database.run("SELECT count(*) AS n, count(DISTINCT xmin::text) AS times FROM message")
    assert stored[0]["n"] == 11
    assert stored[0]["times"] < 11


def letter(code: str, media_type: str = "application/json") -> Incoming:
    body = f'[{{"code": "{code}"}}]'.encode()
    return Incoming("hub", "locations", body, media_type, datetime.now(UTC), idempotency_key=code)
