"""SKUs and places: the newest record wins, and every name it carries leads to it."""

from datetime import datetime
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, NotFoundError
from canonical_model.store import crosswalk, locations, products
from canonical_model.store.crosswalk import CrosswalkEntry
from canonical_model.store.master import TakenName, Upserted
from tests.canonical_model.store.shelf import OWNER, at

pytestmark = pytest.mark.every_postgres

BRAND = "yunshang"


def _product(code: str = "A", seconds: float = 0, *names: tuple[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "owner": OWNER,
        "brand": BRAND,
        "source": {"system": "sap", "id": f"000{code}", "occurred_at": at(seconds), "message_id": f"m{seconds}"},
        "code": code,
        "spu": code[0],
        "name": code,
        "identifiers": [{"scheme": scheme, "value": value} for scheme, value in names],
        **changes,
    }


def _upsert(connection: Connection[DictRow], *records: dict[str, Any]) -> Upserted:
    return products.upsert_products(connection, records)


def _resolve(connection: Connection[DictRow], scheme: str, *names: str) -> dict[str, int]:
    return crosswalk.resolve(connection, owner=OWNER, brand=BRAND, kind="sku", scheme=scheme, outside_ids=names)


def _id(connection: Connection[DictRow], code: str = "A") -> int:
    return int(products.get_sku(connection, OWNER, BRAND, code)["id"])


def test_a_sku_is_found_by_every_name_it_carries(connection: Connection[DictRow]) -> None:
    done = _upsert(connection, _product("A", 0, ("ean", "6901234567892"), ("pos", "77")))
    assert (done.accepted, done.stale, done.taken) == (1, [], [])
    assert {(entry.scheme, entry.outside_id) for entry in done.linked} == {
        ("hub", "A"),
        ("sap", "000A"),
        ("gtin", "6901234567892"),
        ("pos", "77"),
    }
    for scheme, name in [("hub", "A"), ("sap", "000A"), ("gtin", "6901234567892"), ("pos", "77")]:
        assert _resolve(connection, scheme, name, "unknown") == {name: _id(connection)}


def test_only_new_names_are_reported(connection: Connection[DictRow]) -> None:
    _upsert(connection, _product("A"))
    done = _upsert(connection, _product("A", 1, ("pos", "77")))
    assert [(entry.scheme, entry.outside_id) for entry in done.linked] == [("pos", "77")]


def test_an_older_record_is_kept_out(connection: Connection[DictRow]) -> None:
    _upsert(connection, _product("A", 10, name="new"))
    done = _upsert(connection, _product("A", 9, ("pos", "77"), name="old"), _product("B"))
    assert (done.accepted, done.stale) == (1, [0])
    assert products.get_sku(connection, OWNER, BRAND, "A")["name"] == "new"
    assert _resolve(connection, "pos", "77") == {}


def test_the_same_record_again_is_accepted(connection: Connection[DictRow]) -> None:
    _upsert(connection, _product("A", 10))
    assert _upsert(connection, _product("A", 10)).accepted == 1


def test_the_latest_of_a_batch_wins_whatever_its_offset(connection: Connection[DictRow]) -> None:
    def at_offset(time: str, name: str) -> dict[str, Any]:
        source = {"system": "sap", "id": "000A", "occurred_at": time, "message_id": "m"}
        return _product("A", 0, name=name, source=source)

    done = _upsert(
        connection,
        at_offset("2026-03-08T12:00:00+08:00", "early"),
        at_offset("2026-03-08T05:00:00Z", "late"),
        at_offset("2026-03-08T12:30:00+08:00", "middle"),
    )
    assert (done.accepted, done.stale) == (1, [0, 2])
    row = products.get_sku(connection, OWNER, BRAND, "A")
    assert (row["name"], row["occurred_at"]) == ("late", datetime.fromisoformat("2026-03-08T05:00:00Z"))


def test_a_record_that_claims_another_s_name_is_left_out_and_the_rest_goes_in(connection: Connection[DictRow]) -> None:
    _upsert(connection, _product("A", 0, ("pos", "77")))
    done = _upsert(connection, _product("B", 0, ("pos", "77")), _product("C"))
    assert (done.accepted, done.taken) == (1, [TakenName(0, "pos", "77")])
    assert [row["code"] for row in products.list_skus(connection, OWNER, BRAND)] == ["A", "C"]


def test_of_two_claims_in_a_batch_the_first_wins(connection: Connection[DictRow]) -> None:
    done = _upsert(connection, _product("B", 0, ("pos", "77")), _product("C", 0, ("pos", "77")))
    assert (done.accepted, done.taken) == (1, [TakenName(1, "pos", "77")])


def test_brands_name_things_apart(connection: Connection[DictRow]) -> None:
    _upsert(connection, _product("A", 0, ("pos", "77")))
    assert _upsert(connection, _product("B", 0, ("pos", "77"), brand="other")).taken == []


def test_an_empty_batch_is_fine(connection: Connection[DictRow]) -> None:
    assert _upsert(connection) == Upserted(0)


def test_skus_are_listed_page_by_page(connection: Connection[DictRow]) -> None:
    _upsert(connection, *(_product(code) for code in "ABCDE"))
    first = products.list_skus(connection, OWNER, BRAND, limit=2)
    rest = products.list_skus(connection, OWNER, BRAND, after=first[-1]["id"])
    assert [row["code"] for row in first + rest] == list("ABCDE")
    with pytest.raises(NotFoundError, match="'Z'"):
        products.get_sku(connection, OWNER, BRAND, "Z")


def test_the_oldest_name_is_the_one_to_write_out(connection: Connection[DictRow]) -> None:
    _upsert(connection, _product("A", 0, ("wms", "first")))
    _upsert(connection, _product("A", 1, ("wms", "a-later-one")))
    names = crosswalk.outside_ids(
        connection, owner=OWNER, brand=BRAND, kind="sku", scheme="wms", inner_ids=[_id(connection), 0]
    )
    assert names == {_id(connection): "first"}


def test_linking_twice_is_linking_once_and_relinking_is_refused(connection: Connection[DictRow]) -> None:
    entry = CrosswalkEntry(OWNER, BRAND, "sku", "crm", "x", 1, "m")
    assert crosswalk.link(connection, [entry, entry]) == [entry]
    assert crosswalk.link(connection, [entry]) == []
    with pytest.raises(ConflictError, match="'x'"):
        crosswalk.link(connection, [CrosswalkEntry(OWNER, BRAND, "sku", "crm", "x", 2, "m")])
    assert crosswalk.link(connection, [CrosswalkEntry(OWNER, BRAND, "location", "crm", "x", 2, "m")])


class _Rule:
    def __init__(self, system: str, fulfilled_by: str | None) -> None:
        self.system = system
        self.fulfilled_by = fulfilled_by


def _authorities(kind: str, _code: str) -> _Rule:
    return _Rule("wms", "wms") if kind == "warehouse" else _Rule("pos", None)


def _place(code: str, kind: str, seconds: float = 0, **changes: Any) -> dict[str, Any]:
    return {**_product(code, seconds), "kind": kind, **changes}


def _stored(connection: Connection[DictRow], code: str) -> DictRow:
    row = connection.execute(
        "SELECT * FROM location WHERE owner = %s AND brand = %s AND code = %s", [OWNER, BRAND, code]
    ).fetchone()
    assert row is not None
    return row


def test_a_place_knows_who_counts_and_who_ships_there(connection: Connection[DictRow]) -> None:
    point = {"lat": 30.25, "lon": 120.17, "precision": "city"}
    places = [
        _place("W1", "warehouse", point=point, services=["ship", "return"], retail_circles=["hz"], capacity=500),
        _place("S1", "store"),
    ]
    done = locations.upsert_locations(connection, places, _authorities)
    assert done.accepted == 2
    warehouse, store = (_stored(connection, code) for code in ("W1", "S1"))
    assert (warehouse["authority"], warehouse["fulfilled_by"], warehouse["lat"]) == ("wms", "wms", 30.25)
    assert (warehouse["services"], warehouse["retail_circles"]) == (["return", "ship"], ["hz"])
    assert (store["authority"], store["fulfilled_by"], store["active"]) == ("pos", None, True)
    assert locations.get_location(connection, OWNER, BRAND, store["id"])["code"] == "S1"
    with pytest.raises(NotFoundError):
        locations.get_location(connection, OWNER, "other", store["id"])


def test_an_older_place_is_kept_out(connection: Connection[DictRow]) -> None:
    locations.upsert_locations(connection, [_place("W1", "warehouse", 10)], _authorities)
    done = locations.upsert_locations(connection, [_place("W1", "warehouse", 9, active=False)], _authorities)
    assert done.stale == [0]
    assert _stored(connection, "W1")["active"] is True
