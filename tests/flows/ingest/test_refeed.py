"""Quarantined records are fed again: by themselves when a parent arrives, or by hand; twice changes nothing."""

import pytest

from flows.ingest.refeed import feed_open, start_refeed
from flows.runtime.quarantine import Selection, discard, list_causes, list_rows
from tests.flows.desk import Desk, count, order, place, product, statuses

MINE = Selection("yunshang", "yunshang")


def quarantined(desk: Desk) -> list[tuple[str, str, int]]:
    return [
        (row["source_id"], row["state"], row["attempts"])
        for row in desk.rows("SELECT source_id, state, attempts FROM quarantine ORDER BY source_id")
    ]


def test_a_figure_that_came_before_its_product_and_place_is_taken_when_both_are_there(desk: Desk) -> None:
    received = desk.send("stock", count("TEE", "W1", 5), count("NUT", "W1", 6))
    assert statuses(desk.apply(received)) == ["quarantined", "quarantined"]
    desk.push("products", product("TEE"), product("NUT"))
    assert desk.one("SELECT count(*) FROM stock_level") == 0
    desk.push("locations", place("W1"))
    assert desk.one("SELECT sum(on_hand) FROM stock_level") == 11
    assert {state for _, state, _ in quarantined(desk)} == {"accepted"}
    assert statuses(desk.results(received)) == ["accepted", "accepted"]
    assert desk.message(received) == {
        "state": "applied",
        "records": 2,
        "accepted": 2,
        "quarantined": 0,
        "ignored": 0,
        "error": None,
    }


def test_an_order_waits_for_its_product_and_then_starts_its_fulfilment(desk: Desk) -> None:
    desk.push("orders", order("A1", "TEE"))
    assert desk.one("SELECT missing_id FROM quarantine") == "TEE"
    desk.push("products", product("TEE"))
    assert desk.one("SELECT order_no FROM sales_order") == "A1"
    assert desk.one("SELECT count(*) FROM flow_run WHERE flow = 'one_stock.fulfil_order'") == 1


def test_a_return_waits_for_the_order_it_reverses(stocked: Desk) -> None:
    back = order("R1", "TEE", kind="return", returns_order_no="A1")
    assert statuses(stocked.push("orders", back)) == ["quarantined"]
    assert stocked.one("SELECT missing_kind FROM quarantine") == "order"
    stocked.push("orders", order("A1", "TEE"))
    stocked.work()
    assert [row["order_no"] for row in stocked.rows("SELECT order_no FROM sales_order ORDER BY id")] == ["A1", "R1"]


def test_a_parent_that_was_just_being_committed_is_seen_at_the_second_look(stocked: Desk) -> None:
    stocked.push("stock", count("NEW", "W1", 5))
    stocked.hub.database.run(
        "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
        " SELECT owner, brand, 'hub', 'sku', 'NEW', id, 'm' FROM sku WHERE code = 'TEE'"
    )
    stocked.work()
    assert stocked.one("SELECT state FROM quarantine") == "open"
    stocked.hub.database.run("UPDATE flow_run SET wake_at = now(), deadline = now() WHERE state = 'waiting'")
    stocked.hub.runner.sweep()
    stocked.work()
    assert stocked.one("SELECT state FROM quarantine") == "accepted"
    assert stocked.one("SELECT count(*) FROM flow_run WHERE flow = 'ingest.refeed' AND state <> 'done'") == 0


def test_only_what_waits_for_the_parent_that_came_is_fed_again(stocked: Desk) -> None:
    stocked.push("stock", count("NEW", "W1", 5), count("OTHER", "W1", 5), count("TEE", "W1", -5))
    stocked.push("products", product("NEW"))
    assert quarantined(stocked) == [("NEW/W1", "accepted", 1), ("OTHER/W1", "open", 1), ("TEE/W1", "open", 1)]


def test_a_person_feeds_again_by_cause_and_attempts_are_counted(stocked: Desk) -> None:
    stocked.push("stock", count("TEE", "W1", -5), count("NEW", "W1", 5))
    with stocked.hub.database.unit() as uow:
        causes = {row["cause"]: row["records"] for row in list_causes(uow.connection, MINE)}
        assert len(causes) == 2
        assert causes["sku.unknown"] == 1
        start_refeed(
            uow, owner="yunshang", brand="yunshang", key="by hand", selection=Selection(*_mine(), cause="sku.unknown")
        )
        uow.commit()
    stocked.work()
    assert quarantined(stocked) == [("NEW/W1", "open", 2), ("TEE/W1", "open", 1)]


def test_a_dry_run_tells_what_would_happen_and_changes_nothing(desk: Desk) -> None:
    desk.push("stock", count("TEE", "W1", 5), count("NUT", "W1", 5))
    desk.hub.database.run("UPDATE quarantine SET missing_id = NULL")
    desk.push("products", product("TEE"))
    desk.push("locations", place("W1"))
    before = quarantined(desk)
    with desk.hub.database.unit() as uow:
        report = feed_open(uow, MINE, dry_run=True)
        uow.commit()
    assert (report.fed, report.accepted) == (2, 1)
    assert quarantined(desk) == before
    assert desk.one("SELECT count(*) FROM stock_level") == 0


def test_feeding_again_twice_is_harmless(stocked: Desk) -> None:
    stocked.push("stock", count("NEW", "W1", 5, kind="delta"))
    stocked.hub.database.run("UPDATE quarantine SET missing_id = NULL")
    stocked.push("products", product("NEW"))
    for _ in range(2):
        with stocked.hub.database.unit() as uow:
            feed_open(uow, MINE)
            uow.commit()
    stocked.hub.database.run("UPDATE quarantine SET state = 'open'")
    with stocked.hub.database.unit() as uow:
        feed_open(uow, MINE)
        uow.commit()
    assert stocked.one("SELECT on_hand FROM stock_level") == 5


def test_a_document_that_could_not_be_read_is_read_again_as_a_whole(
    stocked: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = stocked.send("stock", count("TEE", "W1", 5), count("TEE", "W1", -1))
    stocked.hub.database.run("UPDATE message SET media_type = 'application/pdf'")
    assert statuses(stocked.apply(received)) == ["quarantined"]
    stocked.hub.database.run("UPDATE message SET media_type = 'application/json' WHERE id = %s", (received.message_id,))
    with stocked.hub.database.unit() as uow:
        feed_open(uow, MINE)
        uow.commit()
    assert statuses(stocked.results(received)) == ["accepted", "quarantined"]
    assert stocked.message(received)["accepted"] == 1
    assert stocked.message(received)["quarantined"] == 1


def test_a_sealed_record_is_fed_again_without_ever_lying_open(desk: Desk) -> None:
    desk.push("orders", order("A1", "TEE"))
    desk.push("products", product("TEE"))
    (row,) = desk.rows("SELECT receiver_sealed, receiver_key_id, body::text FROM sales_order")
    assert "13800000000" not in row["body"]
    with desk.hub.database.unit() as uow:
        receiver = desk.hub.vault.open_json(uow.connection, row["receiver_key_id"], row["receiver_sealed"])
    assert receiver["mobile"] == "13800000000"


def test_an_erased_record_leaves_quarantine_as_erased(desk: Desk) -> None:
    desk.push("orders", order("A1", "TEE"))
    with desk.hub.database.unit() as uow:
        desk.hub.vault.destroy(uow.connection, desk.hub.vault.token("13800000000"))
        uow.commit()
    desk.push("products", product("TEE"))
    assert desk.one("SELECT state FROM quarantine") == "erased"
    assert desk.one("SELECT count(*) FROM sales_order") == 0


def test_discarded_records_stay_out(stocked: Desk) -> None:
    stocked.push("stock", count("NEW", "W1", 5))
    with stocked.hub.database.unit() as uow:
        assert discard(uow.connection, Selection(*_mine(), cause="sku.unknown")) == 1
        uow.commit()
    stocked.push("products", product("NEW"))
    assert stocked.one("SELECT count(*) FROM stock_level") == 0
    with stocked.hub.database.unit() as uow:
        assert list_rows(uow.connection, MINE) == []
        assert len(list_rows(uow.connection, MINE, state="discarded")) == 1


def _mine() -> tuple[str, str]:
    return MINE.owner, MINE.brand
