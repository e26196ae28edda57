"""A light HTTP client for load: raw sockets, one request at a time a connection, and a note of every moment."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was answered; the moments are those of the clock, in seconds."""

    number: int
    status: int
    sent_at: float
    answered_at: float


class _Connection(asyncio.Protocol):
    """Keeps one connection open; an answer ends where its Content-Length says."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        end = self._came.find(HEAD_END)
        if end < 0:
            return
        head = self._came[:end].lower()
        start = head.index(LENGTH) + len(LENGTH)
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._came) < end + len(HEAD_END) + length:
            return
        status, self._came = int(head[9:12]), b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the hub closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def send(self, request: bytes) -> int:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


def post(path: str, key: str, body: bytes) -> bytes:
    """A whole request, ready to be sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def push(address: tuple[str, int], requests: Sequence[bytes], clients: int, per_s: float | None = None) -> list[Sent]:
    """Send every request once over ``clients`` connections, in order; what became of each.

    Each client sends its next one when its last is answered; with ``per_s`` not before it is due, and what a request
    waits for a free client counts.
    """
    return asyncio.run(_push(address, requests, clients, per_s))


async def _push(address: tuple[str, int], requests: Sequence[bytes], clients: int, per_s: float | None) -> list[Sent]:
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Connection, *address))[1] for _ in range(clients)]
    waiting, done = iter(enumerate(requests)), list[Sent]()
    started_at = time.time()
    await asyncio.gather(*(_client(each, waiting, done, started_at, per_s) for each in connections))
    for each in connections:
        each.close()
    return done


async def _client(
    connection: _Connection,
    waiting: Iterator[tuple[int, bytes]],
    done: list[Sent],
    started_at: float,
    per_s: float | None,
) -> None:
    for number, request in waiting:
        sent_at = started_at + number / per_s if per_s else time.time()
        await asyncio.sleep(max(0.0, sent_at - time.time()))
        status = await connection.send(request)
        done.append(Sent(number, status, sent_at, time.time()))
