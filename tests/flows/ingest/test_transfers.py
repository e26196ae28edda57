"""Transfers of a DRP come in: places and SKUs are looked up, waited for, and counted in base units."""

from typing import Any

import pytest

from canonical_model.store.transfers import get_transfer
from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from tests.flows.desk import Desk, codes, place, product, statuses

DRP = """
[systems.drp]
connector = "drp"
settings = { dialect = "postgresql" }
secrets = { connection = "file:SECRET" }
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secret = settings.data_dir / "secret"
    drp = DRP.replace("SECRET", str(secret))
    estate = settings.estate.read_text().replace("[[authority]]", f"{drp}[[authority]]", 1)
    settings.estate.write_text(estate)
    return settings


def bill(number: str = "DB1", at: str = "2026-03-01 12:00:00", **changes: Any) -> dict[str, Any]:
    line = {"LINE_NO": 1, "SKU_CODE": "YS-1", "UNIT": "件", "QTY": "20.000", "SHIP_QTY": None, "RECV_QTY": None}
    return {
        "TRANSFER_ID": 1,
        "BILL_NO": number,
        "FROM_CODE": "W1",
        "TO_CODE": "W2",
        "STATUS": "20",
        "SHIP_TIME": "0000-00-00 00:00:00",
        "RECV_TIME": "",
        "REMARK": None,
        "MODIFY_TIME": at,
        "LINES": [{**line, **changes.pop("line", {})}],
        **changes,
    }


def known_to_drp(code: str) -> dict[str, Any]:
    return place(code, identifiers=[{"scheme": "drp", "value": code}])


def known_to_tills(code: str, name: str) -> dict[str, Any]:
    carton = [{"unit": "CS", "numerator": 12}]
    return product(code, identifiers=[{"scheme": "pos", "value": name}], units=carton)


@pytest.fixture
def ready(desk: Desk) -> Desk:
    assert statuses(desk.push("products", known_to_tills("TEE", "YS-1"))) == ["accepted"]
    assert statuses(desk.push("locations", known_to_drp("W1"), known_to_drp("W2"))) == ["accepted"] * 2
    return desk


def send(desk: Desk, *bills: dict[str, Any]) -> list[dict[str, Any]]:
    return desk.push("transfers", *bills, system="drp")


def stored(desk: Desk, number: str = "DB1") -> dict[str, Any]:
    with desk.hub.database.unit() as uow:
        return dict(get_transfer(uow.connection, "yunshang", "yunshang", "drp", number))


def test_a_transfer_is_kept_with_our_places_and_goods(ready: Desk) -> None:
    assert statuses(send(ready, bill(line={"UNIT": "箱", "QTY": "2"}))) == ["accepted"]
    row = stored(ready)
    assert (row["status"], row["shipped_at"], row["body"]["source"]["id"]) == ("approved", None, "DB1")
    assert ready.one("SELECT code FROM location WHERE id = %s", (row["from_location_id"],)) == "W1"
    assert [(line["sku_code"], line["quantity"], line["shipped"]) for line in row["lines"]] == [("YS-1", 24, 0)]
    assert ready.one("SELECT count(*) FROM stock_movement") == 0


def test_the_newest_state_wins_in_whatever_order_states_come(ready: Desk) -> None:
    shipped: dict[str, Any] = {"SHIP_TIME": "2026-03-01 12:30:00", "STATUS": "30", "line": {"SHIP_QTY": "18.000"}}
    assert statuses(send(ready, bill(at="2026-03-01 12:30:05", **shipped))) == ["accepted"]
    assert statuses(send(ready, bill())) == ["stale"]
    assert (stored(ready)["status"], stored(ready)["lines"][0]["shipped"]) == ("shipped", 18)


def test_an_unknown_place_or_product_is_waited_for(desk: Desk) -> None:
    received = desk.send("transfers", bill(), system="drp")
    assert [codes(result) for result in desk.apply(received)] == [["location.unknown"]]
    desk.push("locations", known_to_drp("W1"), known_to_drp("W2"))
    assert [codes(result) for result in desk.results(received)] == [["sku.unknown"]]
    desk.push("products", known_to_tills("TEE", "YS-1"))
    assert statuses(desk.results(received)) == ["accepted"]
    assert stored(desk)["status"] == "approved"


def test_a_bad_transfer_keeps_no_good_one_back(ready: Desk) -> None:
    bad = bill("DB2", SHIP_TIME="2026-02-30 10:00:00", line={"UNIT": "打", "QTY": "-1"})
    uncounted = bill("DB3", line={"UNIT": "打"})
    to_itself = bill("DB4", TO_CODE="W1")
    results = send(ready, bad, bill(), uncounted, to_itself, bill("DB5", LINES=[]))
    assert statuses(results) == ["quarantined", "accepted", "quarantined", "quarantined", "quarantined"]
    assert codes(results[0]) == ["quantity.negative", "time.format"]
    assert (codes(results[2]), codes(results[3])) == (["unit.unknown"], ["transfer.value_error"])
    assert ready.one("SELECT count(*) FROM transfer") == 1


def test_the_estate_of_a_drp_loads(settings: Settings) -> None:
    with build(settings) as hub:
        assert [stream.name for stream in hub.estate.connector("drp").manifest.streams] == [
            "stores",
            "warehouses",
            "stock",
            "transfers",
        ]
