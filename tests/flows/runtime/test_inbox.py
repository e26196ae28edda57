"""What arrives is durable before it is answered, and once however often it is sent."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
import pytest

from canonical_model.errors import ConflictError, LimitError, NotFoundError, RecordError, RejectedError
from flows.runtime.inbox import Incoming, Received, new_message_id, read_body, receive_many
from tests.flows.desk import Desk, order, place, product


def test_the_raw_body_is_kept_as_it_came(desk: Desk) -> None:
    body = b'[ {"code" : "W1"} ]'
    received = desk.send_body(body, "locations")
    (row,) = desk.rows("SELECT body, media_type FROM message WHERE id = %s", (received.message_id,))
    assert read_body(row) == body
    assert row["media_type"] == "application/json"


def test_message_ids_sort_by_time() -> None:
    assert sorted(ids := [new_message_id() for _ in range(3)], key=lambda i: i[:16]) == ids
    assert len({new_message_id() for _ in range(1000)}) == 1000


def test_the_same_body_twice_is_one_message_with_the_same_answer(desk: Desk) -> None:
    first = desk.send("locations", place("W1"))
    second = desk.send("locations", place("W1"))
    assert (first.new, second.new) == (True, False)
    assert second.answer == first.answer
    assert second.run_id == first.run_id
    assert desk.one("SELECT count(*) FROM flow_run") == 1


def test_the_same_key_with_another_body_is_a_conflict_and_changes_nothing(desk: Desk) -> None:
    first = desk.send("locations", place("W1"), idempotency_key="k1")
    with pytest.raises(ConflictError, match=first.message_id):
        desk.send("locations", place("W2"), idempotency_key="k1")
    assert desk.one("SELECT count(*) FROM message") == 1


def test_the_same_key_of_another_stream_or_system_is_another_message(desk: Desk) -> None:
    desk.send("locations", place("W1"), idempotency_key="k1")
    assert desk.send("products", product("TEE"), idempotency_key="k1").new
    assert desk.send("products", product("TEE"), idempotency_key="k1", system="other_shop").new


def test_of_many_concurrent_duplicates_one_wins_and_the_others_see_it(desk: Desk) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: desk.send("products", product("TEE"), idempotency_key="k"), range(12)))
    assert sum(answer.new for answer in answers) == 1
    assert len({answer.message_id for answer in answers}) == 1
    assert desk.one("SELECT count(*) FROM flow_run") == 1


def test_a_document_that_names_itself_needs_no_key(desk: Desk) -> None:
    body = b"<request><outBizCode>B1</outBizCode><items></items></request>"
    assert desk.send_body(body, "stock", system="wms", media_type="application/xml").new
    assert desk.one("SELECT idempotency_key FROM message") == "B1"
    with pytest.raises(ConflictError):
        desk.send_body(body + b" ", "stock", system="wms", media_type="application/xml")


def test_changes_without_a_key_are_refused_because_the_same_change_may_rightly_come_twice(desk: Desk) -> None:
    body = orjson.dumps({"data": []})
    with pytest.raises(RejectedError, match="needs an Idempotency-Key"):
        desk.send_body(body, "stock", system="pos")
    assert desk.one("SELECT count(*) FROM message") == 0


def test_an_unknown_system_or_stream_is_named(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="no system 'drp' is connected"):
        desk.send("stock", system="drp")
    with pytest.raises(NotFoundError, match="shop has no stream 'parcels'"):
        desk.send("parcels")


def test_a_body_over_the_systems_limit_is_refused_before_it_is_stored(desk: Desk) -> None:
    with pytest.raises(LimitError, match="4194304"):
        desk.send_body(b" " * (4 * 1024 * 1024 + 1), "stores", system="pos")
    assert desk.one("SELECT count(*) FROM message") == 0


@pytest.mark.parametrize("key", ["x" * 201, "a\nb", "\x00"])
def test_a_key_that_cannot_be_stored_is_refused(desk: Desk, key: str) -> None:
    with pytest.raises(RejectedError, match="1 to 200 printable characters"):
        desk.send("products", product("TEE"), idempotency_key=key)


def test_records_of_a_personal_stream_are_stored_one_by_one_sealed(desk: Desk) -> None:
    received = desk.send("orders", order("A1", "TEE"), order("A2", "TEE"))
    assert desk.one("SELECT body FROM message WHERE id = %s", (received.message_id,)) is None
    rows = desk.rows("SELECT position, sealed FROM message_record ORDER BY position")
    assert [row["position"] for row in rows] == [0, 1]
    assert all(b"13800000000" not in row["sealed"] for row in rows)
    assert received.answer["records"] == 2


def test_nothing_that_is_stored_shows_a_personal_value(desk: Desk) -> None:
    bad = order("A1", "TEE")
    bad["receiver"]["mobile"] = ["13800000000"]
    desk.push("orders", order("A2", "NOT-KNOWN"), bad)
    for table in ("message", "message_record", "quarantine", "flow_run", "flow_step", "sales_order", "data_key"):
        stored = desk.rows(f"SELECT t::text FROM {table} t")
        assert not any("13800000000" in row["t"] or "陈一" in row["t"] for row in stored), table


def test_a_personal_body_cannot_be_guessed_from_what_tells_it_from_others(desk: Desk) -> None:
    body = orjson.dumps([order("O1")])
    first, second = desk.send_body(body, "orders"), desk.send_body(body, "orders")
    assert (first.new, second.new, second.message_id) == (True, False, first.message_id)
    (row,) = desk.rows("SELECT idempotency_key, fingerprint FROM message")
    assert sha256(body).hexdigest() not in str(row)
    assert row["idempotency_key"].startswith("keyed:")
    with pytest.raises(ConflictError):
        desk.send_body(orjson.dumps([order("O2")]), "orders", idempotency_key=row["idempotency_key"])
    open_body = orjson.dumps([place("W1")])
    received = desk.send_body(open_body, "locations")
    key = desk.rows("SELECT idempotency_key FROM message WHERE id = %s", (received.message_id,))
    assert key == [{"idempotency_key": f"sha256:{sha256(open_body).hexdigest()}"}]


def test_a_personal_document_that_cannot_be_read_is_refused_and_not_acknowledged(desk: Desk) -> None:
    with pytest.raises(RecordError, match="ends too early"):
        desk.send_body(b'[{"order_no": "A1"', "orders")
    assert desk.one("SELECT count(*) FROM message") == 0


def test_erasing_a_person_leaves_the_message_and_nothing_readable_in_it(desk: Desk) -> None:
    received = desk.send("orders", order("A1", "TEE"))
    with desk.hub.database.unit() as uow:
        assert desk.hub.vault.destroy(uow.connection, desk.hub.vault.token("13800000000")) == 1
        uow.commit()
    assert desk.apply(received) == []
    assert desk.one("SELECT count(*) FROM sales_order") == 0


def test_of_many_messages_stored_together_each_gets_its_own_answer(desk: Desk) -> None:
    known = desk.send("locations", place("W1"), idempotency_key="known")
    letters = [
        incoming("products", [product("A")], idempotency_key="a"),
        incoming("nowhere", []),
        incoming("locations", [place("W2")], idempotency_key="known"),
        incoming("products", [product("A")], idempotency_key="a"),
        incoming("products", [product("B")], idempotency_key="a"),
        incoming("orders", [order("1", "A"), order("2", "A")]),
        incoming("locations", [place("W1")], idempotency_key="known"),
    ]
    with desk.hub.database.unit() as uow:
        answers = receive_many(uow, letters)
        uow.commit()
    first, unknown, reused, twin, other, orders, again = answers
    assert isinstance(unknown, NotFoundError)
    assert isinstance(reused, ConflictError)
    assert isinstance(other, ConflictError)
    assert isinstance(first, Received)
    assert isinstance(twin, Received)
    assert isinstance(orders, Received)
    assert isinstance(again, Received)
    assert (first.new, twin.new, orders.new, again.new) == (True, False, True, False)
    assert (twin.message_id, again.message_id) == (first.message_id, known.message_id)
    assert orders.answer["records"] == 2
    assert desk.one("SELECT count(*) FROM message") == 3
    assert [result["source_id"] for result in desk.apply(orders)] == ["1", "2"]


def test_records_of_many_messages_are_sealed_each_with_its_own(desk: Desk) -> None:
    letters = [incoming("orders", [order(f"{n}-{m}", "A") for m in range(n)]) for n in range(1, 5)]
    with desk.hub.database.unit() as uow:
        answers = receive_many(uow, letters)
        uow.commit()
    for count, answer in enumerate(answers, 1):
        assert isinstance(answer, Received)
        rows = desk.rows("SELECT * FROM message_record WHERE message_id = %s ORDER BY position", (answer.message_id,))
        with desk.hub.database.unit() as uow:
            opened = [desk.hub.vault.open_json(uow.connection, row["key_id"], row["sealed"]) for row in rows]
        assert [record["order_no"] for record in opened] == [f"{count}-{m}" for m in range(count)]


def incoming(stream: str, records: list[Any], idempotency_key: str | None = None) -> Incoming:
    return Incoming(
        "shop", stream, json.dumps(records).encode(), "application/json", datetime.now(UTC), idempotency_key
    )
