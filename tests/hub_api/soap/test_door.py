"""Pushing by SOAP: the same inbox, the same answers, in the SOAP version of the question."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import Client
from tests.hub_api.soap.messages import (
    MEDIA_TYPES,
    NAMESPACE,
    SOAP_11,
    SOAP_12,
    envelope,
    operation,
    product,
    read,
    text,
    texts,
)

PATH = "/soap/v1"

Push = Callable[..., httpx.Response]


def post(caller: httpx.Client, body: bytes, version: str = SOAP_11, **headers: str) -> httpx.Response:
    return caller.post(PATH, content=body, headers={"Content-Type": MEDIA_TYPES[version], **headers})


@pytest.fixture
def push(client: Client) -> Push:
    """Pushes an operation as the system ``hub``."""
    caller = client("ingest:hub")

    def send(name: str, *items: dict[str, Any], version: str = SOAP_11, **more: Any) -> httpx.Response:
        return post(caller, envelope(operation(name, *items, **more), version=version), version)

    return send


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12], ids=["1.1", "1.2"])
def test_items_are_taken_and_each_gets_its_result(hub: Hub, push: Push, version: str) -> None:
    response = push("PushProducts", product("A"), product("B", baseUnit="parsec"), version=version)
    assert (response.status_code, response.headers["content-type"]) == (200, MEDIA_TYPES[version])
    answer = read(response.content)
    assert answer.tag == f"{{{NAMESPACE}}}PushProductsResponse"
    assert (text(answer, "messageId"), text(answer, "state"), text(answer, "records")) == ("m1", "applied", "2")
    assert texts(answer, "result/position") == ["1", "2"]
    assert texts(answer, "result/status") == ["accepted", "quarantined"]
    assert texts(answer, "result/sourceId") == ["A", "B"]
    assert (text(answer, "result/issue/field"), text(answer, "result/issue/code")) == ("baseUnit", "unit.unknown")
    assert "计量单位" in (text(answer, "result/issue/zh") or "")
    assert text(answer, "result/issue/en")
    (row,) = hub.database.run("SELECT name FROM sku WHERE code = 'A'")
    assert row["name"] == "速干短袖👕"
