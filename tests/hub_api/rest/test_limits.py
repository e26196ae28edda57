"""Bodies at the door: counted, timed and refused before they can hurt."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from hub_api.rest import limits, problems
from hub_api.rest.limits import COMMAND_BYTES, BodyLimits, drop, let_in

BULK = 200_000
PATH = "/v1/ingest/pos/sales"
KEY = {"Authorization": "Bearer yk_1_2"}


def app(deadline_s: float = 5.0, bulk_bytes: int = BULK) -> FastAPI:
    application = FastAPI()
    problems.install(application)

    @application.post("/v1/ingest/pos/sales")
    @application.post("/command")
    async def read(request: Request) -> dict[str, int]:
        return {"read": len(await request.body())}

    @application.post("/soap/known")
    @application.post("/soap/refused")
    async def read_known(request: Request) -> dict[str, int]:
        size = 0
        async for chunk in request.stream():
            if size == 0:
                (let_in if request.url.path == "/soap/known" else drop)(request.scope)
            size += len(chunk)
        return {"read": size}

    application.add_middleware(BodyLimits, bulk_bytes=bulk_bytes, deadline_s=deadline_s)
    return application


async def post(application: FastAPI, path: str, **request: Any) -> httpx.Response:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        return await client.post(path, **request)


def send(path: str = "/v1/ingest/pos/sales", **request: Any) -> httpx.Response:
    return asyncio.run(post(app(), path, **request))


async def chunks(*parts: bytes, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(pause_s)
        yield part


def test_a_body_at_the_limit_passes() -> None:
    assert send(content=b"x" * BULK).json() == {"read": BULK}


def test_a_declared_length_over_the_limit_is_refused() -> None:
    answer = send(content=b"x" * (BULK + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "body.limit"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"


def test_a_body_that_grows_over_the_limit_is_refused_though_it_declared_nothing() -> None:
    answer = send(content=chunks(*[b"x" * 50_000] * 5))
    assert (answer.status_code, answer.json()["code"]) == (413, "body.limit")


def test_a_command_may_be_far_shorter_than_records() -> None:
    assert send("/command", content=b"x" * COMMAND_BYTES).status_code == 200
    assert send("/command", content=b"x" * (COMMAND_BYTES + 1)).status_code == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    answer = send(content=b"", headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "body.encoding")
    assert answer.headers["accept-encoding"] == "identity"


def test_a_body_that_trickles_is_cut_off() -> None:
    body = chunks(b"a", b"b", b"c", pause_s=0.2)
    answer = asyncio.run(post(app(deadline_s=0.3), "/v1/ingest/pos/sales", content=body))
    assert (answer.status_code, answer.json()["code"]) == (408, "body.slow")


def test_too_many_bodies_at_once_are_asked_to_come_again() -> None:
    async def crowd() -> list[httpx.Response]:
        application = app(bulk_bytes=1_000)
        first, second = b"x" * 600, b"x" * 300
        senders = [post(application, PATH, content=chunks(first, second, pause_s=0.2), headers=KEY) for _ in range(30)]
        crowd = await asyncio.gather(*senders)
        return [*crowd, await post(application, PATH, content=first, headers=KEY)]

    *crowd_answers, later = asyncio.run(crowd())
    statuses = {answer.status_code for answer in crowd_answers}
    assert statuses == {200, 503}
    refused = next(answer for answer in crowd_answers if answer.status_code == 503)
    assert refused.json()["code"] == "body.room"
    assert int(refused.headers["retry-after"]) > 0
    assert later.status_code == 200


class TestStrangers:
    """Records without a key have a small room of their own and little time."""

    @staticmethod
    async def beside(crowd: int, path: str, *requests: tuple[str, dict[str, str]]) -> tuple[list[int], set[int]]:
        """How ``requests`` are answered while a crowd has sent two thirds of its bodies, and how the crowd is."""
        application, go_on, settled = app(bulk_bytes=1_000), asyncio.Event(), asyncio.Semaphore(0)

        async def in_two() -> AsyncIterator[bytes]:
            yield b"x" * 600
            settled.release()
            await go_on.wait()
            yield b"x" * 300

        senders = [asyncio.create_task(post(application, path, content=in_two())) for _ in range(crowd)]
        for sender in senders:
            sender.add_done_callback(lambda _: settled.release())
        for _ in senders:
            await settled.acquire()
        answers = [await post(application, to, content=b"x" * 1_000, headers=headers) for to, headers in requests]
        go_on.set()
        return [answer.status_code for answer in answers], {each.status_code for each in await asyncio.gather(*senders)}

    def test_a_crowd_of_them_takes_nothing_from_those_with_a_key_or_from_commands(self) -> None:
        answers, crowd = asyncio.run(self.beside(30, PATH, (PATH, KEY), ("/command", {}), (PATH, {})))
        assert answers == [200, 200, 503]
        assert crowd == {200, 503}

    def test_who_is_known_by_the_body_makes_room_for_the_next(self) -> None:
        answers, crowd = asyncio.run(self.beside(12, "/soap/known", (PATH, {})))
        assert (answers, crowd) == ([200], {200})

    def test_what_is_read_only_to_be_dropped_takes_no_room(self) -> None:
        answers, crowd = asyncio.run(self.beside(30, "/soap/refused", (PATH, {}), (PATH, KEY)))
        assert (answers, crowd) == ([200, 200], {200})

    def test_they_are_cut_off_earlier(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "STRANGERS_DEADLINE_S", 0.1)

        async def both() -> tuple[httpx.Response, httpx.Response]:
            application, go_on = app(deadline_s=60), asyncio.Event()

            async def late() -> AsyncIterator[bytes]:
                yield b"x"
                await go_on.wait()

            known = asyncio.create_task(post(application, PATH, content=late(), headers=KEY))
            stranger = await post(application, PATH, content=late())
            go_on.set()
            return stranger, await known

        stranger, known = asyncio.run(both())
        assert (stranger.status_code, stranger.json()["code"]) == (408, "body.slow")
        assert known.status_code == 200
