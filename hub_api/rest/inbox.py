"""The inbox as the doors use it: keys looked up, messages stored and runs carried on, together where they can be."""

from collections.abc import Sequence
from typing import Final

from anyio.to_thread import run_sync

from canonical_model.errors import AccessError, TransientError
from flows.runtime.bootstrap import Hub
from flows.runtime.inbox import SMALL_BYTES, Incoming, Received, receive_many
from hub_api.auth import Access, authenticate_many
from hub_api.rest.together import Together

AT_ONCE: Final = 200


class Inbox:
    """What the doors of one application share. What is large, or stands alone, waits for nobody."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.authenticate: Together[str, Access] = Together(self._know_all, AT_ONCE)
        self._store: Together[Incoming, Received] = Together(self._store_all, AT_ONCE)
        self._carry: Together[int, bool] = Together(self._carry_all, AT_ONCE)

    async def store(self, incoming: Incoming) -> Received:
        """Store a message; it is durable when this returns. Raises what ``inbox.receive`` raises."""
        if len(incoming.body) <= SMALL_BYTES:
            return await self._store(incoming)
        (answer,) = await run_sync(self._store_all, [incoming])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def carry_on(self, received: Received) -> None:
        """Carry a message's run on, unless somebody else does already."""
        if received.together:
            await self._carry(received.run_id)
        else:
            await run_sync(self.hub.runner.run_now, received.run_id, abandon_on_cancel=True)

    def _know_all(self, keys: Sequence[str]) -> Sequence[Access | AccessError]:
        return authenticate_many(self.hub.database, keys)

    def _store_all(self, incoming: Sequence[Incoming]) -> Sequence[Received | Exception]:
        """All in one transaction; if that fails on one of them, halve until it stands alone."""
        try:
            with self.hub.database.unit() as uow:
                answers = receive_many(uow, incoming)
                uow.commit()
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - PostgreSQL may refuse a value of any of them
            if len(incoming) == 1:
                return [error]
            half = len(incoming) // 2
            return [*self._store_all(incoming[:half]), *self._store_all(incoming[half:])]
        return answers

    def _carry_all(self, run_ids: Sequence[int]) -> Sequence[bool]:
        self.hub.runner.run_many(run_ids)
        return [True] * len(run_ids)
