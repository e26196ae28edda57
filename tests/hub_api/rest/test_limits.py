"""Bodies at the door: counted, timed and refused before they can hurt."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from hub_api.rest import problems
from hub_api.rest.limits import COMMAND_BYTES, BodyLimits

BULK = 200_000


def app(deadline_s: float = 5.0, bulk_bytes: int = BULK) -> FastAPI:
    application = FastAPI()
    problems.install(application)

    @application.post("/v1/ingest/pos/sales")
    @application.post("/command")
    async def read(request: Request) -> dict[str, int]:
        return {"read": len(await request.body())}

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
        senders = [
            post(application, "/v1/ingest/pos/sales", content=chunks(first, second, pause_s=0.2)) for _ in range(30)
        ]
        crowd = await asyncio.gather(*senders)
        return [*crowd, await post(application, "/v1/ingest/pos/sales", content=first)]

    *crowd_answers, later = asyncio.run(crowd())
    statuses = {answer.status_code for answer in crowd_answers}
    assert statuses == {200, 503}
    refused = next(answer for answer in crowd_answers if answer.status_code == 503)
    assert refused.json()["code"] == "body.room"
    assert int(refused.headers["retry-after"]) > 0
    assert later.status_code == 200
