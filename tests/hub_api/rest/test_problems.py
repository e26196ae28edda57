"""Every refusal is a problem document that says what to do next."""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query

from canonical_model.errors import (
    AccessError,
    ConfigurationError,
    ConflictError,
    HubError,
    Issue,
    LimitError,
    NotFoundError,
    RecordError,
    RejectedError,
    TransientError,
    UncertainError,
)
from hub_api.rest import problems

RAISED: list[tuple[Exception, int, str]] = [
    (NotFoundError("no such order"), 404, "not-found"),
    (ConflictError("key used before"), 409, "conflict"),
    (LimitError("too many"), 413, "limit"),
    (AccessError("no key"), 401, "access"),
    (AccessError("no scope", code="access.scope"), 403, "access"),
    (RecordError([Issue("Qty", "quantity.negative", "is -1; send 0 or more")]), 422, "record"),
    (RejectedError("no"), 422, "rejected"),
    (TransientError("database away"), 503, "transient"),
    (UncertainError("no answer"), 503, "uncertain"),
    (ConfigurationError("set YIPAN_X"), 503, "configuration"),
    (HubError("odd"), 500, "internal"),
]


@pytest.fixture
def app() -> FastAPI:
    application = FastAPI()
    problems.install(application)

    @application.get("/typed")
    def typed(number: Annotated[int, Query(ge=1)]) -> int:
        return number

    @application.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret words")

    return application


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(app: FastAPI) -> Ask:
    """Asks the application, which answers also when it breaks."""

    async def answered(path: str, method: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            return await client.request(method, path)

    return lambda path, method="GET": asyncio.run(answered(path, method))


@pytest.mark.parametrize(("error", "status", "kind"), RAISED, ids=lambda value: str(value)[:40])
def test_each_error_has_its_status_and_family(app: FastAPI, ask: Ask, error: Exception, status: int, kind: str) -> None:
    @app.get("/raises")
    def raises() -> None:
        raise error

    answer = ask("/raises")
    body = answer.json()
    assert answer.status_code == body["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:yipan:problem:{kind}"
    assert body["code"]
    assert body["title"]
    assert body["detail"]
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_record_error_names_every_issue() -> None:
    error = RecordError([Issue("a", "a.missing", "send a"), Issue("b", "b.unknown", "drop b")])
    body = problems.answer(error).body
    assert b'{"field":"a","code":"a.missing","detail":"send a"}' in body
    assert b'"b.unknown"' in body


def test_the_other_sides_wish_becomes_retry_after() -> None:
    assert problems.answer(TransientError("busy", after_s=42.4)).headers["retry-after"] == "42"


def test_a_wrong_parameter_is_named(ask: Ask) -> None:
    answer = ask("/typed?number=0")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["query.number"]


def test_an_unknown_address_and_a_wrong_method_are_problems_too(ask: Ask) -> None:
    unknown, wrong = ask("/nowhere"), ask("/typed", "DELETE")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:yipan:problem:not-found")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:yipan:problem:method")
    assert wrong.headers["allow"] == "GET"


def test_an_unexpected_error_shows_an_id_and_nothing_else(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = ask("/broken")
    assert answer.status_code == 500
    assert "secret words" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert answer.json()["error_id"] in caplog.text
    assert "secret words" in caplog.text
