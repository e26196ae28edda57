"""A desk where many ask at once and one decides for all: requests for the same goods share one transaction.

Whoever asks while nobody decides, decides; whoever asks meanwhile waits and forms the next batch, in order of arrival.
Nobody waits for others to come: alone, a request costs what it costs without a desk.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from canonical_model.errors import HubError, TransientError
from flows.runtime.database import Database, UnitOfWork

MAX_BATCH: Final = 256
MAX_WAITING: Final = 4_096

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Waiter(Generic[Asked, Answer]):
    """A request, and the thread that waits for its answer; ``called`` opens when it is answered or must decide."""

    __slots__ = ("answer", "asked", "called", "error")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.called = threading.Lock()
        self.called.acquire()

    @property
    def is_answered(self) -> bool:
        return self.answer is not None or self.error is not None


class HoldDesk(Generic[Asked, Answer]):
    """``decide`` answers requests in their order, inside one transaction; an error as an answer is raised at its asker.

    It is asked again for each request alone when it stumbles over one of several, so that nobody answers for another.
    """

    def __init__(
        self,
        database: Database,
        decide: Callable[[UnitOfWork, Sequence[Asked]], Sequence[Answer | HubError]],
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._database = database
        self._decide = decide
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._mutex = threading.Lock()
        self._waiting: deque[_Waiter[Asked, Answer]] = deque()
        self._deciding = False

    def ask(self, asked: Asked) -> Answer:
        """The answer, which is durable. TransientError: full, or PostgreSQL went away; asking again finds out."""
        waiter: _Waiter[Asked, Answer] = _Waiter(asked)
        with self._mutex:
            if len(self._waiting) >= self._max_waiting:
                raise TransientError(
                    f"{self._max_waiting} requests wait already; ask again in a moment", code="stock.busy"
                )
            self._waiting.append(waiter)
            first = not self._deciding
            self._deciding = True
        if not first:
            waiter.called.acquire()
        if not waiter.is_answered:
            self._decide_batch()
        if waiter.error is not None:
            raise waiter.error
        assert waiter.answer is not None
        return waiter.answer

    def _decide_batch(self) -> None:
        """Answer everybody who waits, then call the next to decide. The caller is the first of them.

        Those who have their answer are called first: who asks again at once is in the next batch, not the one after.
        """
        with self._mutex:
            batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
        try:
            self._settle(batch)
        finally:
            for waiter in batch:
                if not waiter.is_answered:
                    waiter.error = TransientError("whoever decided was stopped; ask again", code="stock.busy")
            for waiter in batch[1:]:
                waiter.called.release()
            with self._mutex:
                successor = self._waiting[0] if self._waiting else None
                self._deciding = successor is not None
            if successor is not None:
                successor.called.release()

    def _settle(self, batch: Sequence[_Waiter[Asked, Answer]]) -> None:
        try:
            answers = self._commit([waiter.asked for waiter in batch])
        except TransientError as error:
            for waiter in batch:
                waiter.error = TransientError(error.detail, code=error.code)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(batch) > 1:
                for waiter in batch:
                    self._settle([waiter])
            else:
                batch[0].error = error
        else:
            for waiter, answer in zip(batch, answers, strict=True):
                if isinstance(answer, HubError):
                    waiter.error = answer
                else:
                    waiter.answer = answer

    def _commit(self, asked: Sequence[Asked]) -> Sequence[Answer | HubError]:
        with self._database.unit() as uow:
            answers = self._decide(uow, asked)
            uow.commit()
            return answers
