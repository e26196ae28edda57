"""What a script sees of the desk: search, stories, systems, corrections, evidence, unmasking."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from canonical_model.ports import Receipt
from flows.runtime.bootstrap import Hub
from flows.runtime.writers import BoundWriter
from mappings.engine import read_table
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import order, product

PRODUCTS = "/v1/ingest/hub/products?wait=true"
MAPPING = "/v1/mappings/hub/products"
WHY = "the new supplier names its units in another way"
TABLE = read_table("hub", "product_in").replace(
    'from = "base_unit"', "from = \"(base_unit == 'cubit' && 'EA') || base_unit\""
)


@pytest.fixture
def desk(hub: Hub, client: Client) -> httpx.Client:
    """Someone who may do everything."""
    return client("*")


def test_an_order_is_found_and_its_story_told(desk: httpx.Client, client: Client) -> None:
    desk.post(PRODUCTS, json=[product()])
    client("*", "channel:shop").post("/v1/orders?wait=true", json=order())
    (hit,) = desk.post("/v1/search", json={"text": "M1001"}).json()["items"]
    assert (hit["kind"], hit["matched"], hit["exact"]) == ("order", "order_no", True)
    told = desk.get(f"/v1/stories/order/{hit['id']}").json()
    assert told["summary"]["order_no"] == "M1001"
    assert told["messages"][0]["records"][0]["canonical"]["order_no"] == "M1001"
    assert [run["flow"] for run in told["runs"]] == ["one_stock.fulfil_order"]
    assert "13812345678" not in str(told)


def test_a_phone_is_asked_for_in_a_body_never_in_an_address(desk: httpx.Client) -> None:
    assert desk.get("/v1/search", params={"text": "13812345678"}).status_code == 405
    assert desk.post("/v1/search", json={"text": "13812345678"}).json() == {"items": []}


@pytest.mark.parametrize("number", ["2026/0001", "M 1", "中文/1"])
def test_an_order_is_read_by_any_number(desk: httpx.Client, client: Client, number: str) -> None:
    desk.post(PRODUCTS, json=[product()])
    shop = client("*", "channel:shop")
    assert shop.post("/v1/orders?wait=true", json=order(number)).json()["accepted"] == 1
    for written in (quote(number), quote(number, safe="")):
        assert shop.get(f"/v1/orders/by-number/shop/{written}").json()["order_no"] == number
    assert shop.get("/v1/orders/by-number/shop/2026/0002").status_code == 404


def test_a_row_that_is_not_there_is_not_fed_again(desk: httpx.Client) -> None:
    assert desk.post("/v1/quarantine/999999/refeed").status_code == 404
    assert desk.post("/v1/quarantine/999999/refeed?dry_run=true").status_code == 404


@pytest.mark.parametrize("code", ["A/B 1", "A%2FB", "..", "中文"])
def test_a_sku_is_told_by_any_code(desk: httpx.Client, code: str) -> None:
    answer = desk.post(PRODUCTS, json=[product(code)]).json()
    told = desk.get(f"/v1/stories/sku/{quote(code, safe='')}")
    expected = 200 if answer["accepted"] and code != ".." else 404
    assert told.status_code == expected


def test_systems_are_listed_paused_and_resumed(desk: httpx.Client) -> None:
    assert "wms" in [row["name"] for row in desk.get("/v1/systems").json()["items"]]
    assert desk.post("/v1/systems/wms/pause").json()["health"] == "paused"
    assert desk.get("/v1/systems/wms").json()["lanes"][0]["paused"] is True
    assert desk.post("/v1/systems/wms/resume").json()["health"] == "well"
    assert desk.post("/v1/systems/hub/pause").status_code == 409
    assert desk.get("/v1/systems/nobody").status_code == 404


def test_a_record_is_previewed_and_corrected(hub: Hub, desk: httpx.Client) -> None:
    desk.post(PRODUCTS, json=[product(base_unit="parsec")])
    (row,) = hub.database.run("SELECT id FROM quarantine")
    good = {"record": product()}
    assert desk.post(f"/v1/quarantine/{row['id']}/preview", json={}).json()["accepted"] is False
    assert desk.post(f"/v1/quarantine/{row['id']}/preview", json=good).json()["accepted"] is True
    assert desk.post(f"/v1/quarantine/{row['id']}/correct", json={}).status_code == 422
    done = desk.post(f"/v1/quarantine/{row['id']}/correct", json=good)
    assert done.status_code == 202
    hub.runner.drain()
    assert desk.get(f"/v1/runs/{done.json()['run_id']}").json()["state"] == "done"
    assert desk.post(f"/v1/quarantine/{row['id']}/correct", json=good).status_code == 409


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ("1" + "0" * 30, ""),
        (r'{"name": "\ud800"}', "name"),
        (r'{"name": {"\ud800": 1}}', "name"),
        (r'{"\ud800": "\ud800"}', '"?"'),
        ('{"units": [{"unit": "CS"}, {"numerator": 1' + "0" * 30 + "}]}", "units[1].numerator"),
        ('{"name": ' + "[" * 300 + "]" * 300 + "}", None),
    ],
    ids=lambda record: str(record)[:20],
)
def test_a_record_that_nothing_can_store_is_refused_by_field(
    hub: Hub, desk: httpx.Client, record: str, field: str | None
) -> None:
    desk.post(PRODUCTS, json=[product(base_unit="parsec")])
    (row,) = hub.database.run("SELECT id FROM quarantine")
    for way in ("preview", "correct"):
        body, headers = f'{{"record": {record}}}', {"Content-Type": "application/json"}
        answer = desk.post(f"/v1/quarantine/{row['id']}/{way}", content=body, headers=headers)
        assert answer.status_code == 422
        errors = answer.json()["errors"]
        assert field is None or [each["code"] for each in errors] == ["value.unstorable"] * len(errors)
        assert field is None or field in [each["field"] for each in errors]


def test_a_mapping_is_tried_put_in_force_and_taken_back(hub: Hub, desk: httpx.Client) -> None:
    desk.post(PRODUCTS, json=[product("A", base_unit="cubit")])
    trial = desk.post(f"{MAPPING}/try", json={"text": TABLE}).json()
    assert (trial["usable"], trial["open_rows"], trial["passing"]) == (True, 1, 1)
    made = desk.post(f"{MAPPING}/revisions", json={"text": TABLE, "reason": WHY})
    assert (made.status_code, made.json()["number"]) == (201, 1)
    assert desk.post(PRODUCTS, json=[product("B", base_unit="cubit")]).json()["accepted"] == 1
    assert desk.get(MAPPING).json()["active"] == 1
    back = desk.post(f"{MAPPING}/activate", json={"number": None, "reason": WHY})
    assert back.json()["active"] is None
    assert desk.post(PRODUCTS, json=[product("C", base_unit="cubit")]).json()["accepted"] == 0
    wrong = desk.post(f"{MAPPING}/revisions", json={"text": "version =", "reason": WHY})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "mapping.invalid")
    assert desk.post(f"{MAPPING}/activate", json={"number": 9, "reason": WHY}).status_code == 404


def test_evidence_about_a_write_is_shown(hub: Hub, desk: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    (effect,) = hub.database.run(
        "INSERT INTO effect (owner, brand, run_id, step, system, writer, key, state)"
        " VALUES (%s, %s, 7, 'dispatch', 'wms', 'delivery_order', 'k', 'in_doubt') RETURNING id",
        (OWNER, BRAND),
    )
    monkeypatch.setattr(BoundWriter, "find", lambda *_: Receipt("WMS-1"))
    place = f"effects/{effect['id']}/evidence"
    shown = desk.get(f"/v1/runs/7/{place}").json()
    assert (shown["read_back"]["answer"], shown["read_back"]["outside_id"]) == ("landed", "WMS-1")
    assert desk.get(f"/v1/runs/7/{place}?ask=false").json()["read_back"] is None
    assert desk.get(f"/v1/runs/8/{place}").status_code == 404


def test_personal_values_are_shown_for_a_reason(desk: httpx.Client, client: Client) -> None:
    desk.post(PRODUCTS, json=[product()])
    client("*", "channel:shop").post("/v1/orders?wait=true", json=order())
    (hit,) = desk.post("/v1/search", json={"text": "M1001"}).json()["items"]
    asked = {"what": "order", "id": hit["id"], "reason": "the courier cannot read the label"}
    assert desk.post("/v1/unmask", json=asked).json()["receiver.mobile"] == "13812345678"
    assert desk.post("/v1/unmask", json={**asked, "reason": "why not"}).status_code == 422


NEEDS: list[tuple[str, str, str, Any]] = [
    ("POST", "/v1/search", "ops:read", {"text": "M1001"}),
    ("GET", "/v1/stories/sku/A", "ops:read", None),
    ("GET", "/v1/runs/1/effects/1/evidence", "ops:read", None),
    ("GET", "/v1/systems", "ops:read", None),
    ("GET", "/v1/systems/wms", "ops:read", None),
    ("POST", "/v1/systems/wms/pause", "estate:write", None),
    ("POST", "/v1/systems/wms/resume", "estate:write", None),
    ("GET", MAPPING, "ops:read", None),
    ("POST", f"{MAPPING}/try", "data:write", {"text": "x"}),
    ("POST", f"{MAPPING}/revisions", "data:write", {"text": "x", "reason": WHY}),
    ("POST", f"{MAPPING}/activate", "data:write", {"number": None, "reason": WHY}),
    ("POST", "/v1/quarantine/1/preview", "data:write", {}),
    ("POST", "/v1/quarantine/1/correct", "data:write", {"record": {}}),
    ("POST", "/v1/unmask", "data:unmask", {"what": "order", "id": "1", "reason": WHY}),
]


@pytest.mark.parametrize(("method", "path", "scope", "body"), NEEDS, ids=[f"{m} {p}" for m, p, _, _ in NEEDS])
def test_each_asks_for_its_scope(client: Client, method: str, path: str, scope: str, body: Any) -> None:
    everything = {"ops:read", "ops:write", "orders:read", "stock:read", "estate:write", "data:write", "data:unmask"}
    assert client().request(method, path, json=body).status_code == 401
    refused = client(*(everything - {scope})).request(method, path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "access.scope")
    assert client(scope, "ops:read").request(method, path, json=body).status_code not in (401, 403, 500)
