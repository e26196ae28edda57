"""What operations see and do: messages, quarantine, runs, stock, traces, health."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import order, place, product

PRODUCTS = "/v1/ingest/hub/products?wait=true"


@pytest.fixture
def operator(hub: Hub, client: Client) -> httpx.Client:
    """Someone who may do everything, as the shop."""
    return client("*", "channel:shop")


def quarantined(operator: httpx.Client, *bad: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a message whose records are all bad."""
    answer: dict[str, Any] = operator.post(PRODUCTS, json=list(bad)).json()
    assert answer["quarantined"] == len(bad)
    return answer


class TestMessages:
    def test_are_listed_newest_first_by_filter_and_page(self, operator: httpx.Client) -> None:
        ids = [operator.post(PRODUCTS, json=[product(code)]).json()["message_id"] for code in "ABC"]
        assert [row["id"] for row in operator.get("/v1/messages").json()["items"]] == ids[::-1]
        first = operator.get("/v1/messages?limit=2&state=applied&system=hub&stream=products").json()
        assert [row["id"] for row in first["items"]] == ids[:0:-1]
        rest = operator.get("/v1/messages", params={"limit": 2, "before": first["next"]}).json()
        assert [row["id"] for row in rest["items"]] == ids[:1]
        assert operator.get("/v1/messages?stream=locations").json()["items"] == []
        assert operator.get("/v1/messages?since=2999-01-01T00:00:00Z").json()["items"] == []
        assert operator.get("/v1/messages?since=yesterday").status_code == 422

    def test_of_people_are_shown_masked(self, hub: Hub, operator: httpx.Client) -> None:
        message_id = operator.post("/v1/orders?wait=true", json=order()).json()["message_id"]
        raw = operator.get(f"/v1/messages/{message_id}/raw")
        assert "13812345678" not in raw.text
        assert "138••••5678" in raw.text
        stored = str(hub.database.run("SELECT * FROM message, message_record"))
        assert "13812345678" not in stored

    def test_of_another_brand_do_not_exist(self, operator: httpx.Client, client: Client) -> None:
        message_id = operator.post(PRODUCTS, json=[product()]).json()["message_id"]
        sister = client("*", brand="sister")
        assert sister.get(f"/v1/messages/{message_id}").status_code == 404
        assert sister.get(f"/v1/messages/{message_id}/raw").status_code == 404


class TestQuarantine:
    def test_counts_by_cause_and_shows_a_record_whole(self, operator: httpx.Client) -> None:
        quarantined(operator, product("A", base_unit="parsec"), product("B", base_unit="cubit"))
        (cause,) = operator.get("/v1/quarantine").json()["items"]
        assert (cause["cause"], cause["records"]) == ("unit.unknown", 2)
        record = operator.get(f"/v1/quarantine/{cause['example_id']}").json()
        assert '"parsec"' in record["raw"]
        assert record["issues"][0]["code"] == "unit.unknown"
        rows = operator.get("/v1/quarantine/records?cause=unit.unknown&limit=1").json()
        assert [row["source_id"] for row in rows["items"]] == ["A"]
        assert operator.get("/v1/quarantine/999999").status_code == 404

    def test_of_people_is_masked(self, hub: Hub, operator: httpx.Client) -> None:
        operator.post("/v1/orders?wait=true", json=order(sku="UNKNOWN"))
        (cause,) = operator.get("/v1/quarantine").json()["items"]
        record = operator.get(f"/v1/quarantine/{cause['example_id']}").json()
        assert "138••••5678" in record["raw"]
        assert "13812345678" not in str(record) + str(hub.database.run("SELECT * FROM quarantine"))

    def test_a_dry_run_tells_and_changes_nothing(self, operator: httpx.Client) -> None:
        quarantined(operator, product("A", base_unit="parsec"))
        report = operator.post("/v1/quarantine/refeed", json={"cause": "unit.unknown", "dry_run": True})
        assert report.json() == {"dry_run": True, "fed": 1, "accepted": 0, "more": False}
        assert operator.get("/v1/quarantine").json()["items"][0]["records"] == 1

    def test_feeds_again_what_waited(self, hub: Hub, operator: httpx.Client) -> None:
        operator.post("/v1/orders?wait=true", json=order())
        (cause,) = operator.get("/v1/quarantine").json()["items"]
        hub.database.run("UPDATE quarantine SET missing_id = NULL")
        operator.post(PRODUCTS, json=[product()])
        hub.runner.drain()
        started = operator.post(f"/v1/quarantine/{cause['example_id']}/refeed")
        assert started.status_code == 202
        hub.runner.drain()
        assert operator.get(f"/v1/runs/{started.json()['run_id']}").json()["state"] == "done"
        assert operator.get("/v1/quarantine").json()["items"] == []
        assert len(operator.get("/v1/orders").json()["items"]) == 1

    def test_discards_one_or_by_cause_but_never_everything_by_mistake(self, operator: httpx.Client) -> None:
        quarantined(operator, *(product(code, base_unit="parsec") for code in "ABC"))
        (cause,) = operator.get("/v1/quarantine").json()["items"]
        assert operator.post("/v1/quarantine/discard", json={}).status_code == 422
        assert operator.post("/v1/quarantine/discard", json={"cuase": "x"}).status_code == 422
        one = operator.post(f"/v1/quarantine/{cause['example_id']}/discard")
        rest = operator.post("/v1/quarantine/discard", json={"cause": "unit.unknown"})
        assert (one.json(), rest.json()) == ({"discarded": 1}, {"discarded": 2})

    def test_of_another_brand_is_out_of_reach(self, operator: httpx.Client, client: Client) -> None:
        quarantined(operator, product("A", base_unit="parsec"))
        (cause,) = operator.get("/v1/quarantine").json()["items"]
        sister = client("*", brand="sister")
        assert sister.get("/v1/quarantine").json()["items"] == []
        assert sister.get(f"/v1/quarantine/{cause['example_id']}").status_code == 404
        discarded = sister.post(f"/v1/quarantine/{cause['example_id']}/discard")
        assert discarded.json() == {"discarded": 0}


@pytest.fixture
def parked_run(hub: Hub, operator: httpx.Client) -> int:
    """A fulfilment that stopped and waits for a person."""
    operator.post(PRODUCTS, json=[product()])
    operator.post("/v1/orders?wait=true", json=order())
    (row,) = hub.database.run(
        "UPDATE flow_run SET state = 'parked', position = 1, results = '{\"reserve\": {}}',"
        ' error = \'{"code": "test.stopped", "detail": "say go on"}\''
        " WHERE flow = 'one_stock.fulfil_order' RETURNING id"
    )
    return int(row["id"])


class TestRuns:
    def test_are_found_by_flow_state_key_and_error(self, operator: httpx.Client, parked_run: int) -> None:
        wanted = {"flow": "one_stock.fulfil_order", "state": "parked", "error_code": "test.stopped"}
        assert [run["id"] for run in operator.get("/v1/runs", params=wanted).json()["items"]] == [parked_run]
        assert operator.get("/v1/runs", params={**wanted, "key": "no such key"}).json()["items"] == []
        newest, *others = operator.get("/v1/runs").json()["items"]
        page = operator.get("/v1/runs?limit=1").json()
        assert page["items"] == [newest]
        assert operator.get("/v1/runs", params={"after": page["next"]}).json()["items"] == others

    def test_are_shown_with_their_history_and_outside_writes(self, operator: httpx.Client) -> None:
        operator.post(PRODUCTS, json=[product()])
        (run,) = operator.get("/v1/runs?flow=ingest.message").json()["items"]
        shown = operator.get(f"/v1/runs/{run['id']}").json()
        assert [(entry["step"], entry["outcome"]) for entry in shown["history"]] == [("apply", "done")]
        assert shown["effects"] == []

    def test_a_parked_run_is_let_go_on(self, operator: httpx.Client, parked_run: int) -> None:
        answer = operator.post(f"/v1/runs/{parked_run}/retry")
        assert (answer.status_code, answer.json()) == (202, {"run_id": parked_run, "state": "ready"})
        again = operator.post(f"/v1/runs/{parked_run}/retry")
        assert (again.status_code, again.json()["code"]) == (409, "run.not_parked")

    def test_a_parked_run_goes_on_again_from_an_earlier_step(self, operator: httpx.Client, parked_run: int) -> None:
        unknown = operator.post(f"/v1/runs/{parked_run}/retry", json={"step": "no such step"})
        assert unknown.status_code == 404
        operator.post(f"/v1/runs/{parked_run}/retry", json={"step": "reserve"})
        run = operator.get(f"/v1/runs/{parked_run}").json()
        assert (run["state"], run["position"], run["results"]) == ("ready", 0, {})

    def test_a_write_in_doubt_is_settled_by_a_person(self, hub: Hub, operator: httpx.Client, parked_run: int) -> None:
        (effect,) = hub.database.run(
            "INSERT INTO effect (owner, brand, run_id, step, system, writer, key, state)"
            " VALUES (%s, %s, %s, 'dispatch', 'wms', 'delivery_order', 'k', 'in_doubt') RETURNING id",
            (OWNER, BRAND, parked_run),
        )
        place_of_it = f"/v1/runs/{parked_run}/effects/{effect['id']}/settle"
        assert operator.post(f"/v1/runs/{parked_run}/effects/999/settle", json={"landed": False}).status_code == 404
        nameless = operator.post(place_of_it, json={"landed": True})
        assert (nameless.status_code, nameless.json()["code"]) == (409, "effect.no_outside_id")
        settled = operator.post(place_of_it, json={"landed": True, "outside_id": "WMS-1"})
        assert (settled.status_code, settled.json()["state"]) == (202, "ready")
        (shown,) = operator.get(f"/v1/runs/{parked_run}").json()["effects"]
        assert (shown["state"], shown["outside_id"]) == ("confirmed", "WMS-1")

    def test_a_run_is_asked_to_take_back_what_it_did(self, operator: httpx.Client, parked_run: int) -> None:
        assert operator.post(f"/v1/runs/{parked_run}/cancel").status_code == 202
        assert operator.get(f"/v1/runs/{parked_run}").json()["cancel_requested"]

    def test_of_another_brand_do_not_exist(self, client: Client, parked_run: int) -> None:
        sister = client("*", brand="sister")
        assert sister.get("/v1/runs").json()["items"] == []
        for method, path in (("GET", ""), ("POST", "/retry"), ("POST", "/cancel")):
            assert sister.request(method, f"/v1/runs/{parked_run}{path}").status_code == 404


class TestStock:
    def test_shows_what_is_there_and_what_may_be_promised(
        self, hub: Hub, operator: httpx.Client, client: Client
    ) -> None:
        operator.post(PRODUCTS, json=[product()])
        operator.post("/v1/ingest/hub/locations?wait=true", json=[place()])
        hub.database.run(
            "INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, held, safety, system,"
            " message_id) SELECT s.owner, s.brand, s.id, l.id, 'sellable', 10, 3, 2, 'pos', 'm' FROM sku s, location l"
        )
        desk = client("*")
        (level,) = desk.get("/v1/stock?sku=TEE-RED-M&location=HZ01&quality=sellable").json()["items"]
        assert (level["on_hand"], level["held"], level["safety"], level["atp"]) == (10, 3, 2, 5)
        assert desk.get("/v1/stock?sku=OTHER").json() == {"items": [], "next": None}
        assert desk.get("/v1/stock?quality=imaginary").status_code == 422


@pytest.mark.usefixtures("traced")
class TestTraces:
    def test_one_trace_leads_from_the_push_to_the_step(self, operator: httpx.Client, client: Client) -> None:
        message_id = operator.post(PRODUCTS, json=[product()]).json()["message_id"]
        trace_id = operator.get(f"/v1/messages/{message_id}").json()["traceparent"].split("-")[1]
        telemetry.flush()
        spans = operator.get(f"/v1/traces/{trace_id}").json()["spans"]
        names = [span["name"] for span in spans]
        assert "POST /v1/ingest/{system}/{stream}" in names
        assert any("apply" in name for name in names)
        ids = {span["span_id"] for span in spans}
        assert [span["name"] for span in spans if span["parent_id"] not in ids] == names[:1]
        assert client("*", brand="sister").get(f"/v1/traces/{trace_id}").status_code == 404

    def test_an_unknown_trace_is_said(self, operator: httpx.Client) -> None:
        assert operator.get(f"/v1/traces/{'0' * 32}").status_code == 404
        assert operator.get("/v1/traces/not-a-trace").status_code == 422


class TestHealth:
    def test_a_hub_whose_parts_answer_is_ready(self, operator: httpx.Client) -> None:
        assert operator.get("/healthz").json() == {"status": "ok"}
        answer = operator.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")

    def test_a_relay_that_lags_is_named(self, hub: Hub, operator: httpx.Client) -> None:
        hub.database.run(
            "INSERT INTO outbox (lane, created_at) VALUES ('local', clock_timestamp() - interval '1 hour')"
        )
        answer = operator.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "yipan worker" in answer.json()["checks"]["relay"]

    def test_metrics_tell_of_requests_and_of_records(self, operator: httpx.Client) -> None:
        quarantined(operator, product("A", base_unit="parsec"))
        operator.get("/no/such/path")
        text = operator.get("/metrics").text
        quarantine = 'yipan_quarantined_records{cause="unit.unknown",stream="products",system="hub"} 1.0'
        assert quarantine in text
        assert 'route="/v1/ingest/{system}/{stream}",status="200"' in text
        assert "/no/such/path" not in text
        assert len(text.splitlines()) == len(set(text.splitlines()))
