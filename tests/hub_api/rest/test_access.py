"""Every door but the few open ones wants a key, and a key that reaches far enough."""

from typing import Final

import httpx
import pytest

from flows.runtime.bootstrap import Hub
from hub_api.auth import is_scope
from hub_api.rest.app import create_app
from hub_api.roles import ROLES
from tests.hub_api.conftest import Client
from tests.hub_api.doors import Door, walk

OPEN: Final = {
    "GET /healthz",
    "GET /readyz",
    "GET /docs",
    "GET /docs/oauth2-redirect",
    "GET /openapi.json",
    "GET /soap/v1",
}
IN_THEIR_OWN_WORDS: Final = {"POST /soap/v1"}  # refuses by a SOAP fault; tests/hub_api/soap asks it
ASKED_INSIDE: Final = {"POST /v1/ingest/{system}/{stream}": "ingest:pos"}  # the system stands in the address

EVERY_ROLE: Final = "viewer operator steward finance integrator admin"
MAY: Final = {
    "DELETE /v1/points/merges/{merge_id}": "steward admin",
    "GET /metrics": EVERY_ROLE,
    "GET /v1/audit": "finance admin",
    "GET /v1/holds/{channel}/{order_no:number}": EVERY_ROLE,
    "GET /v1/mappings/{system}/{stream}": EVERY_ROLE,
    "GET /v1/members": "operator steward admin",
    "GET /v1/members/{member_id:int}": "operator steward admin",
    "GET /v1/messages": EVERY_ROLE,
    "GET /v1/messages/{message_id}": EVERY_ROLE,
    "GET /v1/messages/{message_id}/raw": EVERY_ROLE,
    "GET /v1/orders": EVERY_ROLE,
    "GET /v1/orders/by-number/{channel}/{order_no:path}": EVERY_ROLE,
    "GET /v1/orders/events": EVERY_ROLE,
    "GET /v1/orders/{order_id}": EVERY_ROLE,
    "GET /v1/orders/{order_id}/decisions": EVERY_ROLE,
    "GET /v1/points/due": EVERY_ROLE,
    "GET /v1/points/issuers": EVERY_ROLE,
    "GET /v1/points/members/{member}": EVERY_ROLE,
    "GET /v1/points/members/{member}/as-of": EVERY_ROLE,
    "GET /v1/points/members/{member}/journal": EVERY_ROLE,
    "GET /v1/points/members/{member}/lots": EVERY_ROLE,
    "GET /v1/points/members/{member}/why": EVERY_ROLE,
    "GET /v1/points/programmes": EVERY_ROLE,
    "GET /v1/points/proofs": EVERY_ROLE,
    "GET /v1/points/rules": EVERY_ROLE,
    "GET /v1/points/rules/history": EVERY_ROLE,
    "GET /v1/points/transfers": EVERY_ROLE,
    "GET /v1/points/transfers/{transfer_id}": EVERY_ROLE,
    "GET /v1/quarantine": EVERY_ROLE,
    "GET /v1/quarantine/records": EVERY_ROLE,
    "GET /v1/quarantine/{row_id:int}": EVERY_ROLE,
    "GET /v1/routing/rules": EVERY_ROLE,
    "GET /v1/routing/rules/history": EVERY_ROLE,
    "GET /v1/runs": EVERY_ROLE,
    "GET /v1/runs/{run_id}": EVERY_ROLE,
    "GET /v1/runs/{run_id}/effects/{effect_id}/evidence": EVERY_ROLE,
    "GET /v1/stock": EVERY_ROLE,
    "GET /v1/stock/availability": EVERY_ROLE,
    "GET /v1/stock/changes": EVERY_ROLE,
    "GET /v1/stock/suggestions": EVERY_ROLE,
    "GET /v1/stock/warnings": EVERY_ROLE,
    "GET /v1/stories/{kind}/{story_id:path}": EVERY_ROLE,
    "GET /v1/systems": EVERY_ROLE,
    "GET /v1/systems/{name}": EVERY_ROLE,
    "GET /v1/traces/{trace_id}": EVERY_ROLE,
    "POST /v1/holds": "admin",
    "POST /v1/holds/{channel}/{order_no:path}/extend": "admin",
    "POST /v1/holds/{channel}/{order_no:path}/release": "admin",
    "POST /v1/ingest/{system}/{stream}": "integrator admin",
    "POST /v1/mappings/{system}/{stream}/activate": "steward integrator admin",
    "POST /v1/mappings/{system}/{stream}/revisions": "steward integrator admin",
    "POST /v1/mappings/{system}/{stream}/try": "steward integrator admin",
    "POST /v1/members/find": "operator steward admin",
    "POST /v1/orders": "admin",
    "POST /v1/orders/{order_id}/cancel": "admin",
    "POST /v1/points/adjustments": "steward admin",
    "POST /v1/points/earns": "admin",
    "POST /v1/points/exchanges": "admin",
    "POST /v1/points/merges": "steward admin",
    "POST /v1/points/quotes/earn": EVERY_ROLE,
    "POST /v1/points/quotes/exchange": EVERY_ROLE,
    "POST /v1/points/quotes/spend": EVERY_ROLE,
    "POST /v1/points/refunds": "admin",
    "POST /v1/points/returns": "admin",
    "POST /v1/points/rules": "steward admin",
    "POST /v1/points/rules/check": EVERY_ROLE,
    "POST /v1/points/spends": "admin",
    "POST /v1/quarantine/discard": "operator steward admin",
    "POST /v1/quarantine/refeed": "operator steward admin",
    "POST /v1/quarantine/{row_id}/correct": "steward integrator admin",
    "POST /v1/quarantine/{row_id}/preview": "steward integrator admin",
    "POST /v1/quarantine/{row_id}/discard": "operator steward admin",
    "POST /v1/quarantine/{row_id}/refeed": "operator steward admin",
    "POST /v1/routing/rules": "steward integrator admin",
    "POST /v1/routing/rules/check": EVERY_ROLE,
    "POST /v1/routing/what-if": EVERY_ROLE,
    "POST /v1/runs/{run_id}/cancel": "operator steward admin",
    "POST /v1/runs/{run_id}/effects/{effect_id}/settle": "operator steward admin",
    "POST /v1/runs/{run_id}/retry": "operator steward admin",
    "POST /v1/search": EVERY_ROLE,
    "POST /v1/systems/{name}/pause": "operator steward admin",
    "POST /v1/systems/{name}/resume": "operator steward admin",
    "POST /v1/unmask": "steward admin",
    "PUT /v1/stock/safety": "operator steward admin",
}


def doors(hub: Hub) -> list[Door]:
    """Every door of the application, documented or not, that asks for a key in the words of REST."""
    found = sorted(walk(create_app(hub).routes))
    return [door for door in found if door.name not in OPEN | IN_THEIR_OWN_WORDS]


def knock(caller: httpx.Client, door: Door) -> httpx.Response:
    return caller.request(door.method, door.path, json={} if door.method == "POST" else None)


def test_the_table_names_every_door_and_no_other(hub: Hub) -> None:
    assert {door.name for door in doors(hub)} == set(MAY)
    assert {door.name for door in walk(create_app(hub).routes)} >= OPEN | IN_THEIR_OWN_WORDS


def test_every_door_declares_the_scope_it_asks_for(hub: Hub) -> None:
    for door in doors(hub):
        scope = door.scope or ASKED_INSIDE.get(door.name)
        assert scope is not None, f"{door.name} declares no need; take one of dependencies.py"
        assert is_scope(scope), door.name


def test_every_door_but_the_open_ones_wants_a_key(hub: Hub, client: Client) -> None:
    nobody = client()
    for door in doors(hub):
        answer = knock(nobody, door)
        assert answer.status_code == 401, door.name
        assert answer.json()["type"] == "urn:yipan:problem:access"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_open_ones_answer_everybody(client: Client) -> None:
    for name in OPEN:
        assert client().get(name.removeprefix("GET ")).status_code == 200, name
    assert client().get("/openapi.json").json()["info"]["title"] == "Yipan Hub"


def test_a_door_that_refuses_in_its_own_words_refuses_too(client: Client) -> None:
    for name in IN_THEIR_OWN_WORDS:
        assert client().post(name.removeprefix("POST "), content=b"").status_code >= 400, name


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_what_the_table_says_and_nothing_else(hub: Hub, client: Client, role: str) -> None:
    caller = client(*ROLES[role])
    for door in doors(hub):
        answer = knock(caller, door)
        if role in MAY[door.name].split():
            assert answer.status_code != 401, door.name
            assert answer.status_code < 500, door.name
            assert "access.scope" not in answer.text, door.name
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "access.scope"), door.name


def test_a_key_of_little_scope_opens_nothing_else(hub: Hub, client: Client) -> None:
    little = client("ingest:nothing", "audit:read")
    for door in doors(hub):
        answer = knock(little, door)
        if door.name == "GET /v1/audit":
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "access.scope"), door.name


def test_the_audit_log_of_one_brand_is_closed_to_another(client: Client) -> None:
    own, other = client("audit:read"), client("audit:read", brand="sister")
    assert [row["action"] for row in own.get("/v1/audit").json()["items"]] == ["key.create"]
    (entry,) = other.get("/v1/audit", params={"action": "key.create", "limit": 1}).json()["items"]
    assert entry["detail"]["scopes"] == ["audit:read"]
    assert other.get("/v1/audit", params={"before": entry["seq"]}).json() == {"items": [], "next": None}


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
