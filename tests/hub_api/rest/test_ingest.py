"""Pushing: stored before answered, the same answer to the same message, a clear word for everything else."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
from lxml import etree

from connectors.wms.sign import signed_query
from flows.runtime.bootstrap import Hub
from flows.testing import hostile
from tests.hub_api.conftest import WMS_SECRET, Client
from tests.hub_api.documents import order, place, product

PRODUCTS = "/v1/ingest/hub/products"
JSON = {"Content-Type": "application/json"}


def codes(answer: httpx.Response) -> list[list[str]]:
    """The issue codes of each record."""
    return [[issue["code"] for issue in result["issues"]] for result in answer.json()["results"]]


def statuses(answer: httpx.Response) -> list[str]:
    return [result["status"] for result in answer.json()["results"]]


def as_csv(records: Iterable[dict[str, Any]]) -> bytes:
    rows = list(records)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def test_records_are_stored_before_the_answer_and_applied_later(hub: Hub, client: Client) -> None:
    caller = client("ingest:hub", "ops:read")
    answer = caller.post(PRODUCTS, json=[product("A"), product("B")])
    assert answer.status_code == 202, answer.text
    message_id = answer.json()["message_id"]
    assert answer.status_code == 202
    assert answer.json()["state"] == "received"
    assert answer.headers["location"] == f"/v1/messages/{message_id}"
    hub.runner.drain()
    message = caller.get(answer.headers["location"]).json()
    assert (message["state"], message["records"], message["accepted"]) == ("applied", 2, 2)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", orjson.dumps([product("A"), product("B")])),
        ("application/json; charset=utf-8", orjson.dumps([product("A"), product("B")])),
        ("application/x-ndjson", orjson.dumps(product("A")) + b"\n" + orjson.dumps(product("B")) + b"\n"),
        ("text/csv", as_csv([product("A"), product("B")])),
    ],
    ids=["json", "json with a charset", "ndjson", "csv"],
)
def test_json_ndjson_and_csv_say_the_same(client: Client, media_type: str, body: bytes) -> None:
    answer = client("ingest:hub").post(
        PRODUCTS, params={"wait": True}, content=body, headers={"Content-Type": media_type}
    )
    assert (answer.status_code, statuses(answer)) == (200, ["accepted", "accepted"])


def test_one_object_is_one_record(client: Client) -> None:
    assert statuses(client("ingest:hub").post(PRODUCTS, params={"wait": True}, json=product())) == ["accepted"]


def test_a_bad_record_is_explained_in_full_and_stops_no_other(client: Client) -> None:
    bad = product("B", base_unit="parsec", shelf_life_days=-1, kind="unheard-of")
    answer = client("ingest:hub").post(PRODUCTS, params={"wait": True}, json=[product("A"), bad, product("C")])
    assert answer.status_code == 200
    assert statuses(answer) == ["accepted", "quarantined", "accepted"]
    assert len(codes(answer)[1]) >= 2
    assert answer.json()["quarantined"] == 1


def test_the_same_key_and_body_get_the_same_answer(client: Client) -> None:
    caller = client("ingest:hub")
    first = caller.post(PRODUCTS, json=[product()], headers={"Idempotency-Key": "k1"})
    again = caller.post(PRODUCTS, json=[product()], headers={"Idempotency-Key": "k1"})
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


def test_the_same_key_with_another_body_is_a_conflict(client: Client) -> None:
    caller = client("ingest:hub")
    caller.post(PRODUCTS, json=[product("A")], headers={"Idempotency-Key": "k1"})
    answer = caller.post(PRODUCTS, json=[product("B")], headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "message.key_reused")


def test_without_a_key_the_same_body_is_the_same_message(client: Client) -> None:
    caller = client("ingest:hub")
    first, again = (caller.post(PRODUCTS, json=[product()]) for _ in range(2))
    assert first.json()["message_id"] == again.json()["message_id"]


def test_a_change_without_a_number_is_refused_because_it_may_rightly_come_twice(client: Client) -> None:
    answer = client("ingest:pos").post("/v1/ingest/pos/stock", json={"data": [{"changeNo": "1", "changeQty": -1}]})
    assert (answer.status_code, answer.json()["code"]) == (422, "message.key_missing")


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_idempotency_key_has_limits(client: Client, key: str) -> None:
    answer = client("ingest:pos").post("/v1/ingest/pos/stock", json={"data": []}, headers={"Idempotency-Key": key})
    assert answer.status_code == 422


@pytest.mark.parametrize("name", hostile.BODIES)
def test_a_hostile_document_is_kept_and_explained(client: Client, name: str) -> None:
    media_type, body = hostile.BODIES[name]
    caller = client("ingest:hub", "ops:read")
    answer = caller.post(PRODUCTS, params={"wait": True}, content=body, headers={"Content-Type": media_type})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:yipan:problem:record"), name
    assert problem["code"].startswith("document.")
    assert problem["errors"][0]["detail"]
    raw = caller.get(f"/v1/messages/{problem['message_id']}/raw")
    assert raw.content == body


@pytest.mark.parametrize("name", hostile.BODIES)
def test_a_hostile_personal_document_is_refused_and_nothing_of_it_is_kept(hub: Hub, client: Client, name: str) -> None:
    media_type, body = hostile.BODIES[name]
    answer = client("ingest:shop").post("/v1/ingest/shop/orders", content=body, headers={"Content-Type": media_type})
    assert answer.status_code in (415, 422), name
    assert answer.json()["code"].startswith("document.")
    assert hub.database.run("SELECT * FROM message") == []


@pytest.mark.parametrize(
    "quantity", [-1, 0, 1.5, "1.5", "many", None, True, 10**30, "9" * 30, [], {}], ids=lambda value: str(value)[:12]
)
def test_a_quantity_that_is_none_is_refused(client: Client, quantity: Any) -> None:
    body = orjson.dumps([order(line={"quantity": 7})]).replace(b'"quantity":7', b'"quantity":' + _json(quantity))
    answer = client("ingest:shop").post("/v1/ingest/shop/orders?wait=true", content=body, headers=JSON)
    if answer.status_code == 200:
        assert statuses(answer) == ["quarantined"]
    else:
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:yipan:problem:record")


def _json(value: Any) -> bytes:
    return str(value).encode() if isinstance(value, int) and not isinstance(value, bool) else orjson.dumps(value)


def test_a_bad_gtin_and_an_unknown_unit_are_refused(client: Client) -> None:
    bad = product(identifiers=[{"scheme": "gtin", "value": "6901234567890"}], base_unit="秒差距")
    answer = client("ingest:hub").post(PRODUCTS, params={"wait": True}, json=[bad])
    assert statuses(answer) == ["quarantined"]


def test_a_nul_character_inside_a_value_is_refused(client: Client) -> None:
    body = orjson.dumps([product(name="a\x00b")])
    answer = client("ingest:hub").post(PRODUCTS, params={"wait": True}, content=body, headers=JSON)
    assert statuses(answer) == ["quarantined"]


def test_an_order_for_an_unknown_sku_waits_for_it(hub: Hub, client: Client) -> None:
    caller = client("*", "channel:shop")
    answer = caller.post("/v1/orders?wait=true", json=order())
    assert statuses(answer) == ["quarantined"]
    caller.post(PRODUCTS, params={"wait": True}, json=[product()])
    hub.runner.drain()
    assert statuses(caller.post("/v1/orders?wait=true", json=order())) == ["accepted"]
    assert len(caller.get("/v1/orders").json()["items"]) == 1


def test_places_come_in_too(client: Client) -> None:
    answer = client("ingest:hub").post("/v1/ingest/hub/locations?wait=true", json=[place()])
    assert statuses(answer) == ["accepted"]


@pytest.mark.usefixtures("traced")
def test_the_trace_of_the_sender_is_continued(hub: Hub, client: Client) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    header = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    answer = client("ingest:hub").post(PRODUCTS, json=[product()], headers=header)
    (row,) = hub.database.run("SELECT traceparent FROM message WHERE id = %s", (answer.json()["message_id"],))
    assert row["traceparent"].split("-")[1] == trace_id


class TestSignedPushes:
    """The WMS proves itself by signature and is answered in Qimen's words, refusals included."""

    body = (
        b"<request><outBizCode>B1</outBizCode><warehouseCode>W1</warehouseCode>"
        b"<checkTime>2026-11-03 09:30:00</checkTime><items><item><itemCode>A</itemCode>"
        b"<inventoryType>ZP</inventoryType><quantity>5</quantity></item></items></request>"
    )

    def push(self, client: Client, body: bytes, *, secret: str = WMS_SECRET, stream: str = "stock") -> httpx.Response:
        now = datetime.now(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M:%S")
        query = signed_query(secret, "inventory.report", body, app_key="owner", customer_id="owner", timestamp=now)
        headers = {"Content-Type": "text/xml"}
        return client().post(f"/v1/ingest/wms/{stream}", params=query, content=body, headers=headers)

    def word(self, answer: httpx.Response, name: str) -> str | None:
        assert answer.headers["content-type"].startswith("text/xml")
        return etree.fromstring(answer.content).findtext(name)

    def test_a_signed_push_needs_no_key(self, hub: Hub, client: Client) -> None:
        answer = self.push(client, self.body)
        assert (answer.status_code, self.word(answer, "flag")) == (200, "success")
        (row,) = hub.database.run("SELECT system, stream, idempotency_key FROM message")
        assert row == {"system": "wms", "stream": "stock", "idempotency_key": "B1"}

    def test_a_wrong_signature_is_refused_in_the_protocols_words(self, hub: Hub, client: Client) -> None:
        answer = self.push(client, self.body, secret="guess")
        assert (answer.status_code, self.word(answer, "flag")) == (200, "failure")
        assert self.word(answer, "code") == "signature.wrong"
        assert hub.database.run("SELECT * FROM message") == []

    def test_an_unsigned_push_is_refused_even_with_a_key(self, client: Client) -> None:
        answer = client("*").post("/v1/ingest/wms/stock", content=self.body)
        assert self.word(answer, "flag") == "failure"

    def test_the_same_number_with_another_body_is_refused(self, client: Client) -> None:
        self.push(client, self.body)
        answer = self.push(client, self.body.replace(b">5<", b">6<"))
        assert (answer.status_code, self.word(answer, "code")) == (200, "message.key_reused")
