"""Turns at what is slow: a few at work, a few that wait, and nobody beyond."""

import asyncio
import threading

import pytest
from anyio import to_thread

from canonical_model.errors import RejectedError, TransientError
from hub_api.console.turns import Turns


def test_beyond_those_at_work_and_those_who_wait_one_is_refused_at_once() -> None:
    done, started = threading.Event(), threading.Semaphore(0)

    def work(number: int) -> int:
        started.release()
        done.wait()
        return number

    async def crowd() -> list[int]:
        turns = Turns("test", at_once=2, waiting=3)
        inside = [asyncio.create_task(turns.run(work, number)) for number in range(5)]
        try:
            await asyncio.sleep(0)
            with pytest.raises(TransientError) as refused:
                await turns.run(work, 5)
            assert (refused.value.code, refused.value.context) == ("sign_in.busy", {"after_s": 5})
            for _ in range(2):
                await to_thread.run_sync(started.acquire)
            assert to_thread.current_default_thread_limiter().borrowed_tokens == 0, "those who wait hold no thread"
            assert not started.acquire(blocking=False), "only two are at work"
        finally:
            done.set()
            results = await asyncio.gather(*inside)
        assert await turns.run(work, 6) == 6
        return results

    assert asyncio.run(crowd()) == [0, 1, 2, 3, 4]


def test_a_turn_is_given_back_whatever_comes_of_it() -> None:
    def refuse() -> None:
        raise RejectedError("no")

    async def one_after_the_other() -> None:
        turns = Turns("test", at_once=1, waiting=0)
        for _ in range(3):
            with pytest.raises(RejectedError):
                await turns.run(refuse)

    asyncio.run(one_after_the_other())
