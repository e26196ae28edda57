"""A channel is shown what its rules let it sell, less what is kept from it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from canonical_model.store import products
from canonical_model.store.atp import find_goods
from flows.one_stock.published import Published, published
from flows.one_stock.rulebooks import publish_rulebook
from flows.runtime.database import Database, UnitOfWork
from tests.canonical_model.store.shelf import OWNER, Shelf, snapshot
from tests.canonical_model.store.test_atp import add_places

BRAND = "yunshang"
NOW = datetime(2026, 3, 8, 17, 0, tzinfo=UTC)  # already the ninth where the places are
RULES = """
parcel_cost = 8.0
per_km = 0.006
max_parcels = 4
published_safety = 2
minimum_remaining_days = 10

[channels.live.filters]
kinds = ["store"]
[channels.shop]
published_safety = 5
minimum_remaining_days = 0
[channels.shop.filters]
not_places = ["W2"]
"""


@pytest.fixture
def unit(database: Database) -> Iterator[UnitOfWork]:
    with database.unit() as uow:
        shelf = Shelf(uow.connection)
        add_places(shelf, {"code": "S1", "kind": "store", "region_code": "330106"})
        products.upsert_products(uow.connection, [{**shelf.product("B"), "batch_managed": True}])
        shelf.apply(snapshot(10), snapshot(6, place="W2"), snapshot(4, place="S1"))
        shelf.apply(snapshot(8, sku="B", batch="X", expires_on="2026-03-19"))
        publish_rulebook(uow, OWNER, BRAND, RULES, "", "test")
        yield uow


def shown(uow: UnitOfWork, sku: str = "A", **options: object) -> Published:
    goods = find_goods(uow.connection, OWNER, BRAND, [sku])
    [found] = published(uow.connection, OWNER, BRAND, goods, now=NOW, **options)  # type: ignore[arg-type]
    return found


def units(found: Published) -> tuple[int, dict[str, int]]:
    return found.units, {place.location: place.units for place in found.places}


def test_without_a_channel_it_is_the_whole_pool(unit: UnitOfWork) -> None:
    assert units(shown(unit)) == (20, {"W1": 10, "W2": 6, "S1": 4})


def test_a_channel_sells_from_the_places_of_its_rules_less_its_safety(unit: UnitOfWork) -> None:
    assert units(shown(unit, channel="unnamed")) == (18, {"W1": 10, "W2": 6, "S1": 4})
    assert units(shown(unit, channel="shop")) == (9, {"W1": 9, "S1": 4})
    assert units(shown(unit, channel="live")) == (2, {"S1": 2})


def test_what_was_set_for_the_sku_itself_takes_the_place_of_the_rules(unit: UnitOfWork) -> None:
    [goods] = find_goods(unit.connection, OWNER, BRAND, ["A"])
    unit.execute(
        "INSERT INTO channel_safety (owner, brand, channel, sku_id, units) VALUES (%s, %s, 'shop', %s, 14)",
        (OWNER, BRAND, goods.sku_id),
    )
    assert units(shown(unit, channel="shop")) == (0, {})
    assert shown(unit, channel="shop").safety == 14
    assert units(shown(unit, channel="live"))[0] == 2


def test_a_part_of_the_pool_never_shows_more_than_the_whole(unit: UnitOfWork) -> None:
    assert units(shown(unit, channel="shop", region="33")) == (4, {"S1": 4})
    assert units(shown(unit, channel="live", region="33")) == (2, {"S1": 2})
    assert units(shown(unit, channel="shop", places=["W1"])) == (9, {"W1": 9})
    assert units(shown(unit, channel="shop", region="11")) == (0, {})


def test_goods_must_live_as_long_as_the_rules_say_from_the_places_own_day_on(unit: UnitOfWork) -> None:
    assert units(shown(unit, "B", channel="unnamed")) == (6, {"W1": 6})
    unit.execute("UPDATE stock_lot SET expires_on = '2026-03-18'")
    assert units(shown(unit, "B", channel="unnamed")) == (0, {})
    assert units(shown(unit, "B", channel="shop")) == (3, {"W1": 3})
    assert units(shown(unit, "B")) == (8, {"W1": 8})
