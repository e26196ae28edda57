"""Small messages of one stream of orders are applied together; what becomes of each is what would alone."""

from typing import Any

from flows.runtime.inbox import TOGETHER, Received
from tests.flows.desk import Desk, codes, order, product, statuses


def carried(desk: Desk, messages: list[Received]) -> list[list[dict[str, Any]]]:
    """What became of the records of each message, once all were carried on at once."""
    desk.hub.runner.run_many([message.run_id for message in messages])
    return [desk.results(message) for message in messages]


def applied_at(desk: Desk, flow: str) -> int:
    """In how many transactions that flow's first step was done."""
    times: int = desk.one(
        "SELECT count(DISTINCT s.ended_at) FROM flow_step s JOIN flow_run r ON r.id = s.run_id WHERE r.flow = %s",
        (flow,),
    )
    return times


def test_many_orders_become_rows_in_one_transaction_each_in_its_own_trace(stocked: Desk) -> None:
    before = applied_at(stocked, "ingest.message")
    traces = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 11)]
    messages = [stocked.send("orders", order(f"A{n}", "TEE"), traceparent=trace) for n, trace in enumerate(traces)]
    assert all(statuses(results) == ["accepted"] for results in carried(stocked, messages))
    assert applied_at(stocked, "ingest.message") == before + 1
    rows = stocked.rows("SELECT traceparent, message_id FROM sales_order ORDER BY order_no")
    assert [row["traceparent"] for row in rows] == traces
    assert [row["message_id"] for row in rows] == [message.message_id for message in messages]
    starts = stocked.rows("SELECT traceparent FROM flow_run WHERE flow = 'one_stock.fulfil_order' ORDER BY id")
    assert [row["traceparent"] for row in starts] == traces


def test_orders_that_came_after_their_goods_find_them_though_only_orders_are_applied_together(desk: Desk) -> None:
    goods = desk.send("products", product("TEE"))
    messages = [desk.send("orders", order(f"A{n}", "TEE")) for n in range(3)]
    carried(desk, [goods, *messages])
    assert not desk.rows("SELECT cause, source_id FROM quarantine")
    assert applied_at(desk, "ingest.message") == 2


def test_what_is_wrong_with_one_message_is_told_of_it_alone(stocked: Desk) -> None:
    stocked.push("orders", order("KNOWN", "TEE"))
    sent = [
        [order("A1", "TEE"), order("A2", "NEW")],
        [{"order_no": "A3"}, order("A4", "TEE")],
        [order("KNOWN", "TEE", seller="other"), order("KNOWN", "TEE")],
        [order("A1", "TEE", seller="other"), order("A5", "TEE", kind="return", returns_order_no="A4")],
    ]
    messages = [stocked.send("orders", *records) for records in sent]
    first, second, third, fourth = carried(stocked, messages)
    assert statuses(first) == ["accepted", "quarantined"]
    assert codes(first[1]) == ["sku.unknown"]
    assert statuses(second) == ["quarantined", "accepted"]
    assert statuses(third) == ["quarantined", "duplicate"]
    assert codes(third[0]) == ["order.conflict"]
    assert statuses(fourth) == ["quarantined", "accepted"]
    counts = stocked.rows("SELECT records, accepted, quarantined, ignored FROM message WHERE stream = 'orders'"
                          " ORDER BY received_at OFFSET 1")  # fmt: skip
    assert [tuple(row.values()) for row in counts] == [(2, 1, 1, 0), (2, 1, 1, 0), (2, 0, 1, 1), (2, 1, 1, 0)]
    stocked.push("products", product("NEW"))
    assert statuses(stocked.results(messages[0])) == ["accepted", "accepted"]


def test_a_message_that_breaks_the_batch_is_alone_with_that(stocked: Desk) -> None:
    messages = [stocked.send("orders", order(f"A{n}", "TEE")) for n in range(7)]
    stocked.rows("UPDATE flow_run SET input = input || '{\"message_id\": \"gone\"}' WHERE id = %s RETURNING id",
                 (messages[3].run_id,))  # fmt: skip
    stocked.hub.runner.run_many([message.run_id for message in messages])
    states = stocked.rows("SELECT state FROM message WHERE stream = 'orders' ORDER BY received_at")
    assert [row["state"] for row in states] == ["applied"] * 3 + ["received"] + ["applied"] * 3
    assert stocked.one("SELECT count(*) FROM sales_order") == 6


def test_an_erased_record_is_left_out_of_a_batch(stocked: Desk) -> None:
    messages = [stocked.send("orders", order(f"A{n}", "TEE")) for n in range(3)]
    (row,) = stocked.rows("SELECT key_id FROM message_record WHERE message_id = %s", (messages[1].message_id,))
    with stocked.hub.database.unit() as uow:
        stocked.hub.vault.destroy_keys(uow.connection, [row["key_id"]])
        uow.commit()
    assert [statuses(results) for results in carried(stocked, messages)] == [["accepted"], [], ["accepted"]]


def test_only_small_messages_of_orders_have_company(stocked: Desk) -> None:
    many = [order(f"B{n}", "TEE") for n in range(100)]
    runs = [stocked.send("orders", order("A", "TEE")), stocked.send("orders", *many), stocked.send("products")]
    told = [stocked.rows("SELECT input FROM flow_run WHERE id = %s", (each.run_id,))[0]["input"] for each in runs]
    assert [TOGETHER in words for words in told] == [True, False, False]
    assert [each.together for each in runs] == [True, False, False]
