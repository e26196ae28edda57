"""Systems as operations watch them; and a paused lane sends nothing, in any process, until it is resumed."""

from typing import Any

import pytest

from canonical_model.errors import AccessError, ConflictError, NotFoundError, TransientError
from canonical_model.ports import Receipt
from flows.runtime.bootstrap import Hub, build
from flows.runtime.writers import BoundWriter
from hub_api import estate_view
from hub_api.audit import verify
from tests.hub_api.conftest import Client
from tests.hub_api.documents import order, place, product
from tests.hub_api.test_stories import ME, person

PRODUCTS = "/v1/ingest/hub/products?wait=true"


def sell(hub: Hub, client: Client, *numbers: str) -> None:
    """Orders of one shirt each, allocated to a warehouse: each waits to be written to the WMS."""
    http = client("*", "channel:shop")
    identifiers = [{"scheme": "wms", "value": "W-77"}]
    http.post(PRODUCTS, json=[product(identifiers=identifiers)])
    http.post("/v1/ingest/hub/locations?wait=true", json=[place("WH01", kind="warehouse")])
    hub.database.run(
        "INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, system, message_id)"
        " SELECT s.owner, s.brand, s.id, l.id, 'sellable', 1000, 'wms', 'm' FROM sku s, location l"
    )
    hub.database.run(
        "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
        " SELECT owner, brand, 'wms', 'location', 'WH01', id, 'm' FROM location ON CONFLICT DO NOTHING"
    )
    for number in numbers:
        assert http.post("/v1/orders?wait=true", json=order(number)).json()["accepted"] == 1
    hub.runner.drain()


def work(hub: Hub) -> None:
    """Carry on whatever may be, over the WMS's lane too."""
    while hub.runner.work("wms") or hub.runner.drain():
        pass


class TestSystems:
    def test_are_those_of_the_callers_brand_with_their_streams_and_lanes(self, hub: Hub) -> None:
        assert [each.name for each in estate_view.systems(hub, ME)] == ["hub", "live", "pos", "sap", "shop", "wms"]
        assert [each.name for each in estate_view.systems(hub, person(brand="sister"))] == ["sister"]
        sap = estate_view.system(hub, ME, "sap")
        assert [(lane.name, lane.state, lane.concurrency) for lane in sap.lanes] == [("sap", "open", 4)]
        pulled = {stream.name: stream for stream in sap.streams}["stock"]
        assert (pulled.direction, pulled.schedule_s, pulled.overdue) == ("pull", 900, True)
        with pytest.raises(NotFoundError):
            estate_view.system(hub, ME, "sister")
        with pytest.raises(AccessError):
            estate_view.systems(hub, person("orders:read"))

    def test_count_what_came_and_what_lies_open(self, hub: Hub, client: Client) -> None:
        http = client("*")
        http.post(PRODUCTS, json=[product("A"), product("B", base_unit="parsec")])
        http.post(PRODUCTS, json=[product("C")])
        hub.database.run("UPDATE message SET applied_at = received_at + interval '3 seconds'")
        (state,) = [each for each in estate_view.systems(hub, ME) if each.name == "hub"]
        products = {stream.name: stream for stream in state.streams}["products"]
        assert (products.day.messages, products.day.accepted, products.day.quarantined) == (2, 2, 1)
        assert products.hour == products.day
        assert (products.lag_s, products.waiting, products.open_quarantine) == (3.0, 0, 1)
        assert products.last_message_at == state.last_message_at
        assert (state.open_quarantine, state.health) == (1, "well")
        assert "quarantine" in state.advice

    def test_a_message_that_waits_makes_its_stream_lag(self, hub: Hub, client: Client) -> None:
        client("*").post("/v1/ingest/hub/products", json=[product()])
        hub.database.run("UPDATE message SET received_at = received_at - interval '1 hour'")
        state = estate_view.system(hub, ME, "hub")
        stream = {each.name: each for each in state.streams}["products"]
        assert stream.waiting == 1
        assert stream.lag_s is not None
        assert stream.lag_s >= 3600
        assert (state.health, state.backlog) == ("waiting", 1)

    def test_a_pulled_stream_says_how_far_it_is_and_when_it_is_late(self, hub: Hub) -> None:
        hub.database.run(
            "INSERT INTO stream_cursor (owner, brand, system, stream, cursor, updated_at)"
            " VALUES ('owner', 'brand', 'sap', 'stock', 'page 7', clock_timestamp())"
        )
        (pulled,) = [each for each in estate_view.system(hub, ME, "sap").streams if each.name == "stock"]
        assert (pulled.cursor, pulled.overdue) == ("page 7", False)
        hub.database.run("UPDATE stream_cursor SET updated_at = clock_timestamp() - interval '2 hours'")
        state = estate_view.system(hub, ME, "sap")
        assert state.streams[-1].overdue
        assert (state.health, "pulled" in state.advice) == ("waiting", True)

    def test_a_destination_that_is_away_rests_and_says_why(
        self, hub: Hub, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> Receipt:
            raise TransientError("the WMS does not answer", code="http.away")

        monkeypatch.setattr(BoundWriter, "write", refuse)
        sell(hub, client, "A1", "A2", "A3")
        for _ in range(3):
            hub.runner.work("wms")
        wms = estate_view.system(hub, ME, "wms")
        (lane,) = wms.lanes
        assert (wms.health, lane.state, lane.failures, lane.queued) == ("resting", "resting", 3, 3)
        assert lane.last_error is not None
        assert lane.last_error["code"] == "http.away"
        assert lane.rests_until is not None
        assert "http.away" in wms.advice

    def test_writes_in_doubt_are_counted_where_they_were_sent(self, hub: Hub) -> None:
        hub.database.run(
            "INSERT INTO effect (owner, brand, run_id, step, system, writer, key, state)"
            " VALUES ('owner', 'brand', 1, 's', 'sap', 'sales_order', 'k', 'in_doubt')"
        )
        assert estate_view.system(hub, ME, "sap").in_doubt == 1
        assert estate_view.system(hub, ME, "wms").in_doubt == 0


class TestPause:
    def test_a_paused_lane_sends_nothing_in_any_process_and_a_resumed_one_drains(
        self, hub: Hub, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[str] = []

        def write(_: BoundWriter, key: str, body: Any) -> Receipt:
            sent.append(key)
            return Receipt(f"W{len(sent)}")

        monkeypatch.setattr(BoundWriter, "write", write)
        state = estate_view.pause(hub, ME, "wms")
        assert (state.state, state.paused) == ("paused", True)
        sell(hub, client, "A1", "A2")
        with build(hub.settings) as other:
            for each in (hub, other):
                work(each)
        assert sent == []
        paused = estate_view.system(hub, ME, "wms")
        assert (paused.health, paused.lanes[0].queued) == ("paused", 2)
        assert estate_view.resume(hub, ME, "wms").state == "open"
        work(hub)
        assert len(sent) == 2
        assert estate_view.system(hub, ME, "wms").lanes[0].queued == 0

    def test_resuming_ends_the_rest_after_failures(self, hub: Hub) -> None:
        hub.database.run(
            "INSERT INTO lane (name, failures, blocked_until) VALUES ('wms', 5, clock_timestamp() + interval '1 hour')"
        )
        assert estate_view.system(hub, ME, "wms").health == "resting"
        assert estate_view.resume_system(hub, ME, "wms").health == "struggling"

    def test_of_a_system_takes_all_its_lanes_and_is_audited(self, hub: Hub) -> None:
        assert estate_view.pause_system(hub, ME, "sap").health == "paused"
        assert estate_view.resume_system(hub, ME, "sap").lanes[0].state == "open"
        entries = hub.database.run("SELECT action, subject, actor FROM audit ORDER BY seq")
        assert [(row["action"], row["subject"]) for row in entries] == [
            ("lane.pause", "lane:sap"),
            ("lane.resume", "lane:sap"),
        ]
        assert verify(hub.database).broken is None

    def test_is_for_those_who_may_and_for_what_is_theirs(self, hub: Hub) -> None:
        with pytest.raises(AccessError):
            estate_view.pause(hub, person("ops:read", "ops:write"), "wms")
        with pytest.raises(NotFoundError):
            estate_view.pause(hub, person(brand="sister"), "wms")
        with pytest.raises(NotFoundError):
            estate_view.pause(hub, ME, "ingest")
        with pytest.raises(ConflictError):
            estate_view.pause_system(hub, ME, "hub")
        assert hub.database.run("SELECT 1 FROM lane") == []

    def test_refuses_a_lane_that_another_brand_writes_over_too(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BoundWriter, "lane", property(lambda _: "shared"))
        monkeypatch.setattr(estate_view, "_names", lambda *_: ["wms"])
        with pytest.raises(AccessError, match="another brand"):
            estate_view.pause(hub, ME, "shared")
