from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from canonical_model.errors import TransientError
from canonical_model.ports import Connector
from connectors.kit.registry import connect
from mappings.engine import MapContext, load_mapping

from .conftest import Sap

CONTEXT = MapContext("yunshang", "yunshang", "sap", "Asia/Shanghai", "m-1", datetime.now(UTC))


def shelf(number: int, **changes: Any) -> dict[str, Any]:
    row = {"material": f"1000{number:04}", "plant": "1010", "storage_location": "0001", "quantity": f"{number}"}
    return {**row, **changes}


def all_records(connector: Connector, cursor: str | None = None) -> list[dict[str, Any]]:
    return [dict(record) for page in connector.readers["stock"].pages(cursor) for record in page.records]


def figures(records: list[dict[str, Any]]) -> dict[str, str]:
    return {record["Material"]: record["MatlWrhsStkQtyInMatlBaseUnit"] for record in records}


def test_a_list_of_many_pages_is_read_whole(sap: Sap, connector: Connector) -> None:
    sap.control("PUT", "/_stock", [shelf(number) for number in range(1, 11)])
    pages = list(connector.readers["stock"].pages(None))
    assert len(pages) == 4
    assert [page.cursor is None for page in pages] == [False, False, False, True]
    assert figures(all_records(connector)) == {f"1000{number:04}": f"{number}.000" for number in range(1, 11)}


def test_nothing_in_stock_is_one_empty_page(sap: Sap, connector: Connector) -> None:
    (page,) = connector.readers["stock"].pages(None)
    assert (page.records, page.cursor) == ([], None)


def test_batches_of_a_shelf_are_one_figure_also_across_pages(sap: Sap, connector: Connector) -> None:
    batches = [shelf(1, batch=f"B{number}", quantity="0.1") for number in range(10)]
    sap.control("PUT", "/_stock", [*batches, shelf(2)])
    assert figures(all_records(connector)) == {"10000001": "1.000", "10000002": "2.000"}


def test_only_own_goods_with_a_clear_quality_are_read(sap: Sap, connector: Connector) -> None:
    rows = [shelf(1, stock_type=code, quantity=code) for code in ("01", "02", "03", "06", "07")]
    sap.control("PUT", "/_stock", [*rows, shelf(1, special_stock="K", quantity="500")])
    facts = [load_mapping("sap", "stock_in").map(record, CONTEXT) for record in all_records(connector)]
    assert {(fact["quality"], fact["quantity"]) for fact in facts} == {
        ("sellable", 1),
        ("in_transit", 6),
        ("defective", 7),
    }
    assert {(fact["sku"], fact["location"]) for fact in facts} == {("000000000010000001", "1010/0001")}


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_pull_goes_on_where_it_stopped(sap: Sap, connector: Connector, stop_after: int) -> None:
    batches = [shelf(1, batch=f"B{number}") for number in range(7)]
    sap.control("PUT", "/_stock", [*batches, *(shelf(number) for number in range(2, 6))])
    read: list[dict[str, Any]] = []
    for number, page in enumerate(connector.readers["stock"].pages(None), start=1):
        read += [dict(record) for record in page.records]
        if number == stop_after:
            break
    again = connect(sap.config())
    assert figures(read + all_records(again, page.cursor)) == figures(all_records(again))


def test_a_piece_that_is_too_large_for_a_message_comes_in_pages(
    sap: Sap, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.sap.streams.MAX_RECORDS", 2)
    sap.control("PUT", "/_stock", [shelf(number) for number in range(1, 9)])
    pages = list(connector.readers["stock"].pages(None))
    assert max(len(page.records) for page in pages) == 2
    assert figures([dict(record) for page in pages for record in page.records]) == figures(all_records(connector))
    assert all(page.cursor for page in pages[:-1])
    resumed = [dict(record) for page in pages[:1] for record in page.records] + all_records(connector, pages[0].cursor)
    assert len(figures(resumed)) == 8


def test_a_cursor_that_sap_forgot_starts_the_list_again(sap: Sap, connector: Connector) -> None:
    sap.control("PUT", "/_stock", [shelf(number) for number in range(1, 6)])
    forgotten = orjson.dumps({"query": {"$skiptoken": "gone"}, "open_shelf": shelf(9)}).decode()
    assert len(all_records(connector, forgotten)) == 5


def test_the_figure_is_never_dated_later_than_the_count(sap: Sap, connector: Connector) -> None:
    sap.control("PUT", "/_stock", [shelf(1)])
    before = datetime.now(UTC)
    (record,) = all_records(connector)
    assert before <= datetime.fromisoformat(record["AsOf"]) <= datetime.now(UTC)


def test_each_count_has_a_name_of_its_own(sap: Sap, connector: Connector) -> None:
    sap.control("PUT", "/_stock", [shelf(1)])
    mapping = load_mapping("sap", "stock_in")
    ids = {mapping.map(record, CONTEXT)["source"]["id"] for _ in range(2) for record in all_records(connector)}
    assert len(ids) == 2


def test_a_busy_sap_is_asked_again(sap: Sap, connector: Connector) -> None:
    sap.control("PUT", "/_stock", [shelf(number) for number in range(1, 4)])
    sap.faults(error500=1.0)
    with pytest.raises(TransientError):
        all_records(connector)
    sap.faults(error500=0.0)
    assert len(all_records(connector)) == 3
