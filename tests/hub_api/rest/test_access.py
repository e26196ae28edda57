"""Every door but the few open ones wants a key, and a key that reaches far enough."""

import re
from collections.abc import Iterator

import httpx
import pytest

from flows.runtime.bootstrap import Hub
from hub_api.rest.app import create_app
from tests.hub_api.conftest import Client

OPEN = {"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
PARTS = {
    "{system}": "pos",
    "{stream}": "sales",
    "{channel}": "shop",
    "{order_no}": "M1",
    "{message_id}": "msg_1",
    "{trace_id}": "0" * 32,
    "{row_id}": "1",
    "{run_id}": "1",
    "{effect_id}": "1",
    "{order_id}": "1",
    "{member_id}": "1",
}


def doors(hub: Hub) -> Iterator[tuple[str, str]]:
    """Method and path of every operation that the application documents, and of those that it does not."""
    for template, operations in create_app(hub).openapi()["paths"].items():
        path = re.sub(r"{\w+}", lambda part: PARTS[part[0]], template)
        for method in operations:
            yield method.upper(), path


def test_every_door_but_the_open_ones_wants_a_key(hub: Hub, client: Client) -> None:
    nobody = client()
    for method, path in doors(hub):
        answer = nobody.request(method, path)
        if path in OPEN:
            assert answer.status_code == 200, path
        else:
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.json()["type"] == "urn:yipan:problem:access"
            assert answer.headers["www-authenticate"] == "Bearer"


def test_every_door_but_the_open_ones_wants_a_scope_that_reaches(hub: Hub, client: Client) -> None:
    little = client("ingest:nothing")
    for method, path in doors(hub):
        if path not in OPEN:
            answer = little.request(method, path, json={} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (403, "access.scope"), f"{method} {path}"


def test_the_documents_are_open_and_nothing_else_is_hidden_from_them(hub: Hub, client: Client) -> None:
    documented = {path for _, path in doors(hub)}
    hidden = {getattr(route, "path", "") for route in create_app(hub).routes} - documented
    assert {path for path in hidden if path and "{" not in path} <= OPEN | {""} | documented
    assert client().get("/docs").status_code == 200
    assert client().get("/openapi.json").json()["info"]["title"] == "Yipan Hub"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic eWs6", "Bearer yk_a_b", "Bearer \x7f", "yk_a_b"])
def test_a_header_that_is_no_key_is_no_key(client: Client, header: str) -> None:
    answer = client().get("/v1/stock", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_key_of_another_brand_cannot_push_into_this_one(client: Client) -> None:
    answer = client("ingest:*", brand="other").post("/v1/ingest/pos/sales", json=[])
    assert (answer.status_code, answer.json()["code"]) == (403, "access.brand")


def test_unknown_names_are_told_apart_from_forbidden_ones(client: Client) -> None:
    caller = client("ingest:*")
    unknown_system = caller.post("/v1/ingest/nowhere/sales", json=[])
    unknown_stream = caller.post("/v1/ingest/pos/nothing", json=[])
    assert (unknown_system.status_code, unknown_system.json()["code"]) == (404, "system.unknown")
    assert (unknown_stream.status_code, unknown_stream.json()["code"]) == (404, "stream.unknown")
    assert httpx.URL(str(unknown_stream.url)).path.endswith("nothing")
