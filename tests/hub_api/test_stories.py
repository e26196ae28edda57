"""One search, one story: whatever name a thing goes by, everything about it is told, masked and bounded."""

from importlib import import_module
from typing import Any

import pytest

from canonical_model.errors import AccessError, LimitError, NotFoundError
from canonical_model.ports import Receipt
from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub
from hub_api import unmasking
from hub_api.auth import Access
from hub_api.stories import search, story
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import order, place, product

PHONE = "13812345678"


def person(*scopes: str, brand: str = BRAND) -> Access:
    """Someone signed in with those scopes, all of them by default."""
    return Access("tester", "tester", OWNER, brand, frozenset(scopes or {"*"}), "user")


ME = person()


def found(hub: Hub, text: str, access: Access = ME) -> list[tuple[str, str]]:
    """Kind of each hit, and by what it was found."""
    return [(hit.kind, hit.matched) for hit in search(hub, access, text)]


@pytest.fixture
def shop(hub: Hub, client: Client, traced: None) -> dict[str, Any]:
    """A traced order of one shirt, allocated to a warehouse, its delivery order written to the WMS."""
    http = client("*", "channel:shop")
    wms = hub.estate.writer("wms.delivery_order")
    pushed = [
        ("products", product(identifiers=[named("wms", "W-77"), named("gtin", "6901234567892")])),
        ("locations", place("WH01", kind="warehouse")),
    ]
    for stream, record in pushed:
        assert http.post(f"/v1/ingest/hub/{stream}?wait=true", json=[record]).json()["accepted"] == 1
    hub.database.run(
        "INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, system, message_id)"
        " SELECT s.owner, s.brand, s.id, l.id, 'sellable', 10, 'wms', 'm' FROM sku s, location l"
    )
    hub.database.run(
        "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
        " SELECT owner, brand, 'wms', 'location', 'WH01', id, 'm' FROM location ON CONFLICT DO NOTHING"
    )
    message = http.post("/v1/orders?wait=true", json=order(), headers={"Idempotency-Key": "till-7-000123"}).json()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(wms), "write", lambda *_: Receipt("WMS-4711", {"code": "0"}))
        hub.runner.drain()
        while hub.runner.work("wms") or hub.runner.drain():
            pass
    telemetry.flush()
    (row,) = hub.database.run(
        "SELECT o.id, o.traceparent, p.parcel_no FROM sales_order o JOIN parcel p ON order_id = o.id"
    )
    hub.database.run("UPDATE parcel SET waybill = 'SF1029384756'")
    return {**row, "message_id": message["message_id"], "trace_id": row["traceparent"].split("-")[1]}


def named(scheme: str, value: str) -> dict[str, Any]:
    return {"scheme": scheme, "value": value}


class TestSearch:
    def test_finds_an_order_by_every_number_it_goes_by(self, hub: Hub, shop: dict[str, Any]) -> None:
        assert found(hub, "M1001") == [("order", "order_no")]
        assert ("order", "order_id") in found(hub, str(shop["id"]))
        assert ("order", "parcel_no") in found(hub, shop["parcel_no"])
        assert found(hub, "SF1029384756") == [("order", "waybill")]
        assert found(hub, "WMS-4711") == [("order", "document"), ("run", "document")]
        assert found(hub, " M10 ") == [("order", "order_no")]
        (hit,) = search(hub, ME, "M10")
        assert (hit.exact, hit.id, hit.url.endswith(f"/order/{shop['id']}")) == (False, str(shop["id"]), True)

    def test_finds_goods_by_code_and_by_what_others_call_them(self, hub: Hub, shop: dict[str, Any]) -> None:
        assert found(hub, "TEE-RED-M") == [("sku", "sku")]
        assert found(hub, "W-77") == [("sku", "wms")]
        assert found(hub, "6901234567892") == [("sku", "gtin")]
        assert found(hub, "06901234567892") == [("sku", "gtin")]

    def test_finds_messages_runs_writes_and_traces(self, hub: Hub, shop: dict[str, Any]) -> None:
        (effect,) = hub.database.run("SELECT key, run_id FROM effect")
        assert ("message", "message_id") in found(hub, shop["message_id"])
        assert found(hub, "till-7-000123") == [("message", "idempotency_key")]
        assert found(hub, effect["key"]) == [("run", "effect_key")]
        assert ("run", "run_id") in found(hub, f"#{effect['run_id']}")
        assert found(hub, shop["trace_id"]) == [("trace", "trace_id")]
        assert found(hub, f"00-{shop['trace_id']}-{'0' * 15}1-01") == [("trace", "trace_id")]

    def test_finds_a_person_by_phone_however_it_is_written(self, hub: Hub, shop: dict[str, Any]) -> None:
        for written in (PHONE, "+86 138-1234-5678", " 138 1234 5678 "):
            assert ("order", "phone") in found(hub, written)
            assert ("message", "phone") in found(hub, written)
        assert found(hub, "13812345679") == []
        assert PHONE not in str(search(hub, ME, PHONE))

    def test_finds_nobody_by_phone_for_those_who_may_not_see_members(self, hub: Hub, shop: dict[str, Any]) -> None:
        viewer = person("ops:read", "orders:read", "stock:read")
        assert found(hub, PHONE, viewer) == []
        assert ("order", "phone") in found(hub, PHONE, person("ops:read", "members:read"))

    def test_finds_people_so_often_an_hour_and_the_log_says_so_without_the_number(
        self, hub: Hub, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_module("hub_api.stories.search"), "MOST_PEOPLE_AN_HOUR", 2)
        for _ in range(2):
            assert found(hub, "13812345679") == []
            assert ("order", "phone") in found(hub, PHONE)
        for number in (PHONE, "13812345679"):
            with pytest.raises(LimitError) as refused:
                found(hub, number)
            assert refused.value.code == "search.rate"
        assert found(hub, "M1001") == [("order", "order_no")]
        entries = hub.database.run("SELECT actor, action, subject, detail FROM audit WHERE action = 'search.phone'")
        assert [(entry["actor"], entry["subject"]) for entry in entries] == [("user:tester", "search")] * 2
        assert PHONE not in str(entries) + str(hub.database.run("SELECT * FROM unmasking"))
        unmasking.reveal(hub, ME, "order", str(hub.database.run("SELECT id FROM sales_order")[0]["id"]), "he calls us")

    def test_finds_only_what_is_the_callers(self, hub: Hub, shop: dict[str, Any]) -> None:
        names = ["M1001", "TEE-RED-M", PHONE, shop["message_id"], shop["trace_id"], "SF1029384756", "WMS-4711"]
        sister, other_channel = person(brand="sister"), person("*", "channel:live")
        for name in names:
            assert found(hub, name, sister) == []
            assert [kind for kind, _ in found(hub, name, other_channel)] in ([], ["sku"])
        with pytest.raises(AccessError):
            search(hub, person("orders:read"), "M1001")

    @pytest.mark.parametrize("text", ["", "  ", "%", "_", "M1\x00", "x" * 500, "'; --", "0", "9" * 60, "\ud800"])
    def test_answers_odd_questions_with_nothing(self, hub: Hub, text: str) -> None:
        assert search(hub, ME, text) == []


class TestStory:
    def test_of_an_order_tells_it_from_push_to_write_back(self, hub: Hub, shop: dict[str, Any]) -> None:
        told = story(hub, ME, "order", str(shop["id"]))
        assert (told.kind, told.title) == ("order", "shop M1001")
        (message,) = told.messages
        (record,) = message.records
        assert record.status == "accepted"
        assert record.canonical is not None
        assert record.canonical["order_no"] == "M1001"
        assert "138••••5678" in str(record.canonical) + str(record.raw)
        assert [hit.kind for hit in record.became] == ["order"]
        flows = [run.flow for run in told.runs]
        assert flows[:2] == ["one_stock.fulfil_order", "one_stock.ship_parcel"]
        (effect,) = [effect for run in told.runs for effect in run.effects]
        assert (effect.state, effect.outside_id) == ("confirmed", "WMS-4711")
        assert [hold["sku"] for hold in told.holds] == ["TEE-RED-M"]
        assert "allocated" in [event["kind"] for event in told.events]
        (fall,) = told.waterfalls
        assert fall.bars[0].depth == 0
        assert {bar.depth for bar in fall.bars} > {0, 1}
        assert any("wms.delivery_order" in bar.name for bar in fall.bars)
        assert all(bar.offset_ms >= 0 for bar in fall.bars)

    def test_never_shows_a_personal_value(self, hub: Hub, shop: dict[str, Any]) -> None:
        ids = {"order": shop["id"], "message": shop["message_id"], "trace": shop["trace_id"], "sku": "TEE-RED-M"}
        told = [str(story(hub, ME, kind, str(key))) for kind, key in ids.items()]
        told += [str(story(hub, ME, "run", str(row["id"]))) for row in hub.database.run("SELECT id FROM flow_run")]
        for secret in (PHONE, "陈小一", "文三路"):
            assert not [text for text in told if secret in text]

    def test_of_a_message_shows_what_each_record_became(self, hub: Hub, client: Client) -> None:
        http = client("*")
        records = [product("A"), product("B", base_unit="parsec")]
        sent = http.post("/v1/ingest/hub/products?wait=true", json=records).json()
        told = story(hub, ME, "message", sent["message_id"])
        good, bad = told.messages[0].records
        assert (good.status, [hit.id for hit in good.became]) == ("accepted", ["A"])
        assert (bad.status, bad.canonical, bad.issues[0]["code"]) == ("quarantined", None, "unit.unknown")
        assert bad.quarantine_id == hub.database.run("SELECT id FROM quarantine")[0]["id"]
        assert told.runs[0].flow == "ingest.message"
        assert told.messages[0].mapping_version

    def test_of_a_message_that_cannot_be_read_says_so(self, hub: Hub, client: Client) -> None:
        answer = client("*").post(
            "/v1/ingest/hub/products?wait=true", content=b'[{"code": ', headers={"Content-Type": "application/json"}
        )
        told = story(hub, ME, "message", answer.json()["message_id"])
        (record,) = told.messages[0].records
        assert (record.position, record.status) == (-1, "quarantined")

    def test_of_a_run_says_what_a_person_may_do(self, hub: Hub, shop: dict[str, Any]) -> None:
        (row,) = hub.database.run("SELECT id FROM flow_run WHERE flow = 'one_stock.ship_parcel'")
        told = story(hub, ME, "run", str(row["id"]))
        assert told.runs[0].flow_steps[:1] == ("open_parcel",)
        assert told.runs[0].can == ("cancel",)
        hub.database.run("UPDATE flow_run SET state = 'parked'")
        assert story(hub, ME, "run", str(row["id"])).runs[0].can == ("retry", "cancel")
        hub.database.run("UPDATE effect SET state = 'in_doubt'")
        assert story(hub, ME, "run", str(row["id"])).runs[0].can == ("settle",)

    def test_of_a_sku_sets_observations_beside_the_authority(self, hub: Hub, shop: dict[str, Any]) -> None:
        hub.database.run(
            "INSERT INTO stock_observation (owner, brand, system, sku_id, location_id, quality, figure, quantity,"
            " as_of, message_id) SELECT owner, brand, 'sap', sku_id, location_id, quality, 'on_hand', 12, now(), 'm'"
            " FROM stock_level"
        )
        told = story(hub, ME, "sku", "TEE-RED-M")
        (level,), (seen,), (hold,) = told.levels, told.observations, told.holds
        assert (level["on_hand"], level["held"], level["atp"]) == (10, 1, 9)
        assert (seen["system"], seen["quantity"], seen["authority"], seen["difference"]) == ("sap", 12, "wms", 2)
        assert hold["order_no"] == "M1001"
        assert told.summary["totals"]["atp"] == 9

    def test_of_a_trace_leads_to_its_messages_runs_and_order(self, hub: Hub, shop: dict[str, Any]) -> None:
        told = story(hub, ME, "trace", shop["trace_id"])
        assert {hit.kind for hit in told.related} == {"message", "order"}
        assert told.runs

    def test_of_what_is_not_the_callers_does_not_exist(self, hub: Hub, shop: dict[str, Any]) -> None:
        (run,) = hub.database.run("SELECT min(id) AS id FROM flow_run")
        ids = [("order", shop["id"]), ("message", shop["message_id"]), ("run", run["id"]), ("sku", "TEE-RED-M")]
        for kind, key in [*ids, ("trace", shop["trace_id"])]:
            with pytest.raises(NotFoundError):
                story(hub, person(brand="sister"), kind, str(key))
        with pytest.raises(NotFoundError):
            story(hub, person("*", "channel:live"), "order", str(shop["id"]))
        with pytest.raises(NotFoundError):
            story(hub, person("*", "channel:shop"), "message", shop["message_id"])

    @pytest.mark.parametrize("kind", ["order", "message", "run", "sku", "trace", "member", "nonsense"])
    @pytest.mark.parametrize("key", ["", "0", "-1", "x", "1e9", "9" * 30])
    def test_of_nothing_is_not_found(self, hub: Hub, kind: str, key: str) -> None:
        with pytest.raises(NotFoundError):
            story(hub, ME, kind, key)
