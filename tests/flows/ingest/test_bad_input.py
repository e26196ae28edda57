"""Bad input gets a clear answer, loses nothing, and never stops the good records beside it."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flows.desk import Desk, codes, count, order, place, product, statuses

XML = "application/xml"


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b'[{"id": "1"', "application/json", "document.truncated"),
        (b"[{]", "application/json", "document.syntax"),
        (b'["\xff\xfe"]', "application/json", "document.encoding"),
        (b'["a\x00b"]', "application/json", "document.nul"),
        (b"", "application/json", "document.empty"),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", "document.depth"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "application/json", "document.depth"),
        (b'"just text"', "application/json", "document.records"),
        (b'{"id": 1}\n{"id": ', "application/x-ndjson", "document.truncated"),
        (b"a,b\n1,2,3\n", "text/csv", "document.columns"),
        (b"a,a\n1,2\n", "text/csv", "document.header"),
        ("名称\n上衣\n".encode("gbk"), "text/csv", "document.encoding"),
        (b"<a><b></a>", XML, "document.syntax"),
        (b"<a><b>", XML, "document.truncated"),
        (b"<!DOCTYPE a><a/>", XML, "document.dtd"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', XML, "document.dtd"),
        (b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>', XML, "document.dtd"),
        (b"<a>" * 10_000 + b"</a>" * 10_000, XML, "document.depth"),
        (b"%PDF-1.7", "application/pdf", "document.media_type"),
    ],
)
def test_a_document_that_cannot_be_read_is_kept_whole_and_explained(
    shared: Desk, request: pytest.FixtureRequest, body: bytes, media_type: str, code: str
) -> None:
    received = shared.send_body(body, "stock", media_type=media_type, idempotency_key=ascii(request.node.name)[:200])
    (result,) = shared.apply(received)
    assert (result["position"], result["status"]) == (-1, "quarantined")
    assert codes(result) == [code]
    message = shared.message(received)
    assert (message["state"], message["quarantined"]) == ("unreadable", 1)
    assert message["error"]["code"] == code


def test_more_records_than_the_limit_are_kept_whole(shared: Desk) -> None:
    received = shared.send_body(b"[" + b"{}," * 10_000 + b"{}]", "stock", idempotency_key="k")
    (result,) = shared.apply(received)
    assert result["issues"][0]["detail"].startswith("the message has 10001 records, the limit is 10000")


@pytest.mark.parametrize(
    "quantity", [-1, 1.5, "1.5", 10**29, "9" * 30, 10**12 + 1, None, "many", True, [], {}, "", float(2**70)]
)
def test_a_quantity_that_is_no_count_is_refused(shared: Desk, quantity: Any) -> None:
    results = shared.push("stock", count("NUT", "W1", quantity), count("TEE", "W1", 5))
    assert statuses(results) == ["quarantined", "accepted"]
    assert results[0]["issues"][0]["field"] in {"", "quantity"}


@pytest.mark.parametrize(
    "record",
    [
        1,
        None,
        [],
        {},
        count("TEE", "W1", 1, as_of="2026-03-01 12:00"),
        count("TEE", "W1", 1, as_of="2026-02-30T12:00:00Z"),
        count("TEE", "W1", 1, kind="guess"),
        count("TEE", "W1", 1, quality="nice"),
        count("TEE", "W1", 1, sequence=-1),
        count("TEE", "W1", 1, sequence=2**63),
        count("T" * 121, "W1", 1),
        count("  ", "W1", 1),
        count("TE\x00E", "W1", 1),
        count("TEE", "W1", 1, **{"un\x00known": 1}),
        count("TEE", "W1", 1, unknown=1),
    ],
)
def test_a_bad_record_never_stops_the_good_ones_beside_it(shared: Desk, record: Any) -> None:
    received = shared.send("stock", count("NUT", "W1", 3), record, count("TEE", "W1", 7))
    results = shared.apply(received)
    assert statuses(results) == ["accepted", "quarantined", "accepted"]
    assert results[1]["issues"]
    assert shared.one("SELECT sum(on_hand) FROM stock_level WHERE message_id = %s", (received.message_id,)) == 10


def test_every_issue_of_a_record_is_told_at_once(stocked: Desk) -> None:
    (result,) = stocked.push("stock", {**count("TEE", "W1", "x"), "as_of": 7, "kind": "guess"})
    assert {issue["field"] for issue in result["issues"]} == {"quantity", "as_of", "kind"}


def test_a_product_with_a_wrong_check_digit_or_an_unknown_unit_is_refused(desk: Desk) -> None:
    results = desk.push(
        "products",
        product("A", identifiers=[{"scheme": "gtin", "value": "6901234567890"}]),
        product("B", base_unit="parsec"),
        product("C", identifiers=[{"scheme": "gtin", "value": "6901234567892"}]),
    )
    assert statuses(results) == ["quarantined", "quarantined", "accepted"]
    assert "not a valid GTIN" in results[0]["issues"][0]["detail"]
    assert codes(results[1]) == ["unit.unknown"]


def test_a_gtin_that_names_another_product_is_refused_alone(desk: Desk) -> None:
    gtin = [{"scheme": "gtin", "value": "6901234567892"}]
    desk.push("products", product("A", identifiers=gtin))
    results = desk.push("products", product("B"), product("C", identifiers=gtin), product("D"))
    assert statuses(results) == ["accepted", "quarantined", "accepted"]
    assert codes(results[1]) == ["crosswalk.taken"]


@pytest.mark.parametrize("extensions", [{"a": "\x00"}, {"\x00": 1}])
def test_what_postgresql_cannot_store_is_refused_alone(desk: Desk, extensions: dict[str, Any]) -> None:
    bad = product("BAD", extensions=extensions)
    results = desk.push("products", *map(product, "ABC"), bad, *map(product, "DEF"))
    assert statuses(results) == ["accepted"] * 3 + ["quarantined"] + ["accepted"] * 3
    assert codes(results[3]) == ["record.unstorable"]


def test_an_older_state_of_a_product_or_a_figure_is_ignored(stocked: Desk) -> None:
    stocked.push("stock", count("TEE", "W1", 5))
    (stale,) = stocked.push("stock", count("TEE", "W1", 9, as_of="2026-03-01T11:00:00+08:00"))
    assert stale["status"] == "stale"
    assert stocked.one("SELECT on_hand FROM stock_level") == 5


def test_a_system_without_authority_is_kept_as_an_observation(stocked: Desk) -> None:
    stocked.push("stock", count("TEE", "W1", 5))
    assert statuses(stocked.push("stock", count("TEE", "W1", 99), system="other_shop")) == ["accepted"]
    assert stocked.one("SELECT on_hand FROM stock_level") == 5
    assert stocked.one("SELECT quantity FROM stock_observation") == 99


def test_a_place_that_nobody_is_the_authority_of_is_refused(desk: Desk) -> None:
    (result,) = desk.push("locations", place("V1", kind="supplier"))
    assert codes(result) == ["authority.missing"]


def test_an_order_in_a_unit_its_product_does_not_have_is_refused(stocked: Desk) -> None:
    bad = order("A1", "NUT")
    bad["lines"][0]["unit"] = "KGM"
    (result,) = stocked.push("orders", bad)
    assert codes(result) == ["unit.unknown"]
    assert result["issues"][0]["field"] == "lines.0.unit"


def test_an_order_that_does_not_add_up_is_refused(stocked: Desk) -> None:
    (result,) = stocked.push("orders", order("A1", "TEE", goods_minor=1))
    assert result["status"] == "quarantined"
    assert "lines add up to 1000" in result["issues"][0]["detail"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(count("TEE", "W1", 1))), JSON, max_size=4), st.lists(JSON, max_size=2))
def test_whatever_is_sent_every_record_is_accounted_for(
    shared: Desk, changed: dict[str, Any], others: list[Any]
) -> None:
    records = [{**count("TEE", "W1", 1), **changed}, *others, count("NUT", "W1", 2)]
    received = shared.send("stock", *records, idempotency_key=f"k{hash(orjson.dumps(records))}")
    results = shared.apply(received)
    message = shared.message(received)
    assert [result["position"] for result in results] == list(range(len(records)))
    assert message["records"] == len(records)
    assert message["accepted"] + message["quarantined"] + message["ignored"] == len(records)
    assert message["quarantined"] == statuses(results).count("quarantined")
