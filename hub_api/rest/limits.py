"""What a request body may be: not compressed, not over its limit, not slower than the deadline.

A limit is checked against the declared length first and against the bytes that really come. Records of senders who
show no key have a small room of their own and little time, so that strangers cannot take what the others need.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canonical_model.errors import HubError, LimitError, RejectedError, TransientError
from hub_api.rest.problems import answer

COMMAND_BYTES: Final = 64 * 1024
BODY_DEADLINE_S: Final = 60.0
BULK_PATHS: Final = ("/v1/ingest/", "/v1/orders", "/soap/")
BODIES_AT_ONCE: Final = 16
STRANGERS_DEADLINE_S: Final = 20.0
STRANGERS_BODIES_AT_ONCE: Final = 4

_BODY: Final = "yipan.body"

Worded = Callable[[HubError, Scope], Response]


class BodyLimits:
    """ASGI middleware: ``bulk_bytes`` for the paths that take records, COMMAND_BYTES for every other.

    All bodies in hand together stay within BODIES_AT_ONCE full ones; beyond that the sender is asked to come again.
    Records without a key in the header stay within STRANGERS_BODIES_AT_ONCE and STRANGERS_DEADLINE_S, until whoever
    takes them says ``let_in``. ``worded`` answers a refusal in the words of a door's own protocol, by the start of
    its path.
    """

    def __init__(
        self,
        app: ASGIApp,
        bulk_bytes: int,
        deadline_s: float = BODY_DEADLINE_S,
        worded: Mapping[str, Worded] | None = None,
    ) -> None:
        self.app = app
        self.bulk_bytes = bulk_bytes
        self.deadline_s = deadline_s
        self.worded = worded or {}
        self.room = _Room(BODIES_AT_ONCE * bulk_bytes)
        self.strangers_room = _Room(STRANGERS_BODIES_AT_ONCE * bulk_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_bulk = scope["path"].startswith(BULK_PATHS)
        max_bytes = self.bulk_bytes if is_bulk else COMMAND_BYTES
        scope[_BODY] = body = _Body(receive, send, max_bytes, self.deadline_s, self.room)
        if is_bulk and not shows_key(headers):
            body.keep_apart(self.strangers_room, STRANGERS_DEADLINE_S)
        refusal = _refusal_of_headers(headers, max_bytes)
        if refusal is None:
            try:
                await self.app(scope, body.receive, body.send)
                return
            except _RefusedError as error:
                refusal = error.refusal
            finally:
                body.give_back()
        if not body.answering:
            await self._answer(refusal, scope)(scope, receive, send)

    def _answer(self, refusal: HubError, scope: Scope) -> Response:
        for path, word in self.worded.items():
            if scope["path"].startswith(path):
                return word(refusal, scope)
        return answer(refusal)


def let_in(scope: Scope) -> None:
    """Whoever sends the body of this request is known now: the rest of it comes as if a key stood in the header."""
    body: _Body = scope[_BODY]
    body.let_in()


def drop(scope: Scope) -> None:
    """Nothing of the body is kept: what is still read of it, so that the sender hears the answer, takes no room."""
    body: _Body = scope[_BODY]
    body.drop()


def shows_key(headers: Headers) -> bool:
    """Whether there is an API key in the header, be it good or not."""
    return headers.get("authorization", "").partition(" ")[0].lower() == "bearer"


class _RefusedError(BaseException):
    """Travels past the application's own handlers up to the middleware."""

    def __init__(self, refusal: HubError) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class _Room:
    """What all bodies in hand may take together; used from the event loop only."""

    def __init__(self, free_bytes: int) -> None:
        self._free_bytes = free_bytes

    def take(self, size: int) -> None:
        if size > self._free_bytes:
            raise _RefusedError(TransientError("too many bodies at once; send this one again later", code="body.room"))
        self._free_bytes -= size

    def give_back(self, size: int) -> None:
        self._free_bytes += size


class _Body:
    """One request's body, counted and timed while it arrives."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, deadline_s: float, room: _Room) -> None:
        self.answering = False
        self.taken_bytes = 0
        self._receive, self._send = receive, send
        self._max_bytes = max_bytes
        self._room = self._large_room = room
        self._deadline: float | None = time.monotonic() + deadline_s
        self._late_deadline = self._deadline

    def keep_apart(self, room: _Room, deadline_s: float) -> None:
        """Take from another room, and no longer than that."""
        self._room = room
        self._deadline = min(self._late_deadline, time.monotonic() + deadline_s)

    def let_in(self) -> None:
        """Move what came so far into the large room, where the rest has more time."""
        if self._room is self._large_room:
            return
        self._large_room.take(self.taken_bytes)
        self.give_back()
        self._room = self._large_room
        if self._deadline is not None:
            self._deadline = self._late_deadline

    def drop(self) -> None:
        """Take no room any more."""
        self.give_back()
        self._room = _Room(self._max_bytes)

    def give_back(self) -> None:
        """Leave the room as it was before."""
        self._room.give_back(self.taken_bytes)

    async def receive(self) -> Message:
        if self._deadline is None:
            return await self._receive()
        try:
            async with asyncio.timeout(max(self._deadline - time.monotonic(), 0)):
                message = await self._receive()
        except TimeoutError:
            detail = "the body came too slowly; send smaller batches or use a faster line"
            raise _RefusedError(LimitError(detail, code="body.slow")) from None
        size = len(message.get("body", b""))
        if self.taken_bytes + size > self._max_bytes:
            raise _RefusedError(over_limit(self._max_bytes))
        self._room.take(size)
        self.taken_bytes += size
        if not message.get("more_body", False):
            self._deadline = None
        return message

    async def send(self, message: Message) -> None:
        self.answering = True
        await self._send(message)


def over_limit(max_bytes: int) -> LimitError:
    """The refusal of a body that is too long."""
    return LimitError(f"the body is over {max_bytes} bytes; send smaller batches", code="body.limit")


def _refusal_of_headers(headers: Headers, max_bytes: int) -> HubError | None:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        detail = f"Content-Encoding {encoding!r} is not taken; send the body as it is"
        return RejectedError(detail, code="body.encoding")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        return over_limit(max_bytes)
    return None
