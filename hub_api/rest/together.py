"""Requests that come while others are being served are served together, in the order in which they came.

One transaction then serves them all, and every one still gets its own answer, or its own refusal.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from anyio.to_thread import run_sync

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Together(Generic[Item, Answer]):
    """Calls ``do`` in a thread with all items that wait, at most ``size`` at once, one call after another.

    ``do`` returns for each item, in order, its answer, or the exception to raise to whoever brought it.
    """

    def __init__(self, do: Callable[[Sequence[Item]], Sequence[Answer | Exception]], size: int) -> None:
        self._do = do
        self._size = size
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line[Item, Answer]] = WeakKeyDictionary()

    async def __call__(self, item: Item) -> Answer:
        """What becomes of the item; raises what ``do`` returned for it, or raised."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line()
        future: asyncio.Future[Answer | Exception] = loop.create_future()
        line.waiting.append((item, future))
        if line.server is None:
            # A context of its own: the work is nobody's in particular, least of all the first one's.
            line.server = loop.create_task(self._serve(line), context=Context())
        answer = await future
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _serve(self, line: "_Line[Item, Answer]") -> None:
        try:
            while line.waiting:
                taken = [line.waiting.popleft() for _ in range(min(self._size, len(line.waiting)))]
                answers = await self._answers([item for item, _ in taken])
                for (_, future), answer in zip(taken, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
        finally:
            line.server = None

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        try:
            return await run_sync(self._do, items)
        except Exception as error:  # noqa: BLE001 - whatever it is, each of them must hear it
            return [error] * len(items)


class _Line(Generic[Item, Answer]):
    """Those who wait on one event loop, and the task that serves them, if there is one."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Item, asyncio.Future[Answer | Exception]]] = deque()
        self.server: asyncio.Task[None] | None = None
