"""Processes that do random things to one database until they are killed, one after another, by surprise."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, Final

from flows.runtime.database import Database

LONGEST_S: Final = 90


class Crew:
    """``work(url, seed, **options)`` in so many processes; every ``lives_s`` or so one is killed, and replaced."""

    def __init__(
        self, url: str, work: Callable[..., None], processes: int, *, lives_s: float = 0.3, **options: Any
    ) -> None:
        self._lives_s = lives_s
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([work.__module__])
        self._url = url
        self._work = work
        self._options = options
        self._seeds = iter(range(10**6))
        self._crew = [self._hire() for _ in range(processes)]

    def _hire(self) -> ForkServerProcess:
        process = self._context.Process(
            target=self._work, args=(self._url, next(self._seeds)), kwargs=self._options, daemon=True
        )
        process.start()
        return process

    def kill_one(self) -> None:
        victim = self._crew.pop(random.randrange(len(self._crew)))
        victim.kill()
        victim.join()
        self._crew.append(self._hire())

    def kill_all(self) -> None:
        for process in self._crew:
            process.kill()
            process.join()

    def check(self) -> None:
        assert all(process.is_alive() for process in self._crew), "one ended by itself; its traceback is above"

    def watched(self, database: Database, seconds: float, fought: Callable[[], bool]) -> Iterator[Database]:
        """While they work and die: the database, again and again, for ``seconds`` and until they have ``fought``."""
        start = time.monotonic()
        next_kill = start + 0.5
        while time.monotonic() < start + seconds or not fought():
            assert time.monotonic() < start + LONGEST_S, "the crew never came to what this test is about"
            yield database
            self.check()
            if time.monotonic() > next_kill:
                self.kill_one()
                next_kill = time.monotonic() + self._lives_s * random.uniform(0.3, 1.7)
            time.sleep(0.02)
