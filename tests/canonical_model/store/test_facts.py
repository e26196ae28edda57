"""Facts of one message become levels, movements, lots and observations."""

from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.ports import StockMeaning
from canonical_model.store import stock
from tests.canonical_model.store.shelf import Shelf, delta, snapshot

pytestmark = pytest.mark.every_postgres


def _lots(shelf: Shelf) -> dict[str, int]:
    level = shelf.level()
    return {lot.batch: lot.on_hand for lot in stock.list_lots(shelf.connection, level.level_id)}


def _observed(shelf: Shelf) -> list[tuple[str, str, int]]:
    rows = shelf.connection.execute("SELECT system, figure, quantity FROM stock_observation ORDER BY 1, 2, 3")
    return [(row["system"], row["figure"], row["quantity"]) for row in rows]


def test_a_first_snapshot_makes_levels_and_movements(shelf: Shelf) -> None:
    done = shelf.apply(snapshot(5), snapshot(7, place="W2"), snapshot(0, sku="B"))
    assert (done.applied, done.ignored, done.unresolved) == (3, [], [])
    assert [shelf.level().on_hand, shelf.level(place="W2").on_hand, shelf.level("B").on_hand] == [5, 7, 0]
    assert shelf.movements(shelf.level().level_id) == [(5, 5)]
    assert shelf.movements(shelf.level("B").level_id) == []


def test_a_later_snapshot_replaces_the_figure(shelf: Shelf) -> None:
    shelf.apply(snapshot(5))
    shelf.apply(snapshot(3, seconds=1))
    assert shelf.level().on_hand == 3
    assert shelf.movements(shelf.level().level_id) == [(5, 5), (-2, 3)]


def test_an_unchanged_snapshot_moves_nothing_but_is_known_to_be_newer(shelf: Shelf) -> None:
    shelf.apply(snapshot(5))
    done = shelf.apply(snapshot(5, seconds=60))
    assert done.applied == 1
    assert shelf.movements(shelf.level().level_id) == [(5, 5)]
    assert shelf.apply(snapshot(9, seconds=30)).ignored == [0]


def test_a_stale_snapshot_is_ignored_and_the_rest_of_its_message_is_not(shelf: Shelf) -> None:
    shelf.apply(snapshot(5, seconds=10))
    done = shelf.apply(snapshot(9, seconds=9), snapshot(4, seconds=9, sku="B"))
    assert (done.applied, done.ignored) == (1, [0])
    assert (shelf.level().on_hand, shelf.level("B").on_hand) == (5, 4)


def test_sequence_decides_before_the_clock(shelf: Shelf) -> None:
    shelf.apply(snapshot(5, seconds=10, sequence=7))
    assert shelf.apply(snapshot(9, seconds=99, sequence=6)).ignored == [0]
    assert shelf.apply(snapshot(3, seconds=1, sequence=8)).ignored == []
    assert shelf.level().on_hand == 3


def test_without_a_sequence_on_both_sides_the_clock_decides(shelf: Shelf) -> None:
    shelf.apply(snapshot(5, seconds=10, sequence=7))
    assert shelf.apply(snapshot(9, seconds=9)).ignored == [0]
    assert shelf.apply(snapshot(3, seconds=11)).applied == 1
    assert shelf.level().sequence is None


def test_of_two_rows_in_one_message_the_later_counts(shelf: Shelf) -> None:
    done = shelf.apply(snapshot(1, seconds=5), snapshot(2, seconds=9), snapshot(3, seconds=7))
    assert (shelf.level().on_hand, done.applied, done.ignored) == (2, 1, [0, 2])


def test_of_two_equal_rows_in_one_message_the_last_counts(shelf: Shelf) -> None:
    done = shelf.apply(snapshot(1), snapshot(2))
    assert (shelf.level().on_hand, done.ignored) == (2, [0])


def test_two_names_of_one_sku_in_one_message_are_one_level(shelf: Shelf) -> None:
    other = {**shelf.product("A"), "identifiers": [{"scheme": "wms", "value": "A-old"}]}
    stock_of_a = snapshot(1, sku="A-old")
    assert [lost.outside_id for lost in shelf.apply(stock_of_a).unresolved] == ["A-old"]
    from canonical_model.store import products

    products.upsert_products(shelf.connection, [other])
    shelf.apply(stock_of_a, snapshot(2))
    assert shelf.level().on_hand == 2


def test_unknown_skus_and_places_are_named_and_the_others_applied(shelf: Shelf) -> None:
    done = shelf.apply(snapshot(5), snapshot(1, sku="?"), snapshot(1, place="!"), snapshot(1, sku="?", place="!"))
    assert done.applied == 1
    assert [(lost.position, lost.kind, lost.scheme, lost.outside_id) for lost in done.unresolved] == [
        (1, "sku", "wms", "?"),
        (2, "location", "wms", "!"),
        (3, "sku", "wms", "?"),
        (3, "location", "wms", "!"),
    ]
    assert shelf.level().on_hand == 5


def test_a_system_without_authority_is_observed_and_moves_nothing(shelf: Shelf) -> None:
    shelf.apply(snapshot(5))
    done = shelf.apply(snapshot(50, seconds=9), delta(-1, seconds=9), system="pos")
    assert (done.applied, done.observed, done.ignored) == (0, 2, [])
    assert shelf.level().on_hand == 5
    assert _observed(shelf) == [("pos", "delta", -1), ("pos", "on_hand", 50)]


def test_an_older_observation_does_not_replace_a_newer_one(shelf: Shelf) -> None:
    shelf.apply(snapshot(50, seconds=9), system="pos")
    shelf.apply(snapshot(60, seconds=8), system="pos")
    assert _observed(shelf) == [("pos", "on_hand", 50)]


def test_lots_of_one_level_add_up_and_are_kept(shelf: Shelf) -> None:
    done = shelf.apply(snapshot(3, batch="L1", expires_on="2026-09-01"), snapshot(4, batch="L2"), snapshot(9, sku="B"))
    assert (done.applied, done.ignored) == (3, [])
    assert shelf.level().on_hand == 7
    assert _lots(shelf) == {"L1": 3, "L2": 4}


def test_a_lot_that_the_next_count_lacks_is_gone(shelf: Shelf) -> None:
    shelf.apply(snapshot(3, batch="L1"), snapshot(4, batch="L2"))
    shelf.apply(snapshot(2, seconds=9, batch="L2"))
    assert (shelf.level().on_hand, _lots(shelf)) == (2, {"L2": 2})


def test_a_repeated_lot_counts_once(shelf: Shelf) -> None:
    done = shelf.apply(snapshot(3, batch="L1"), snapshot(4, batch="L1"), snapshot(1, batch="L2"))
    assert (shelf.level().on_hand, done.ignored) == (5, [0])


def test_a_count_split_over_two_pages_adds_up(shelf: Shelf) -> None:
    shelf.apply(snapshot(3, batch="L1"))
    shelf.apply(snapshot(4, batch="L2"))
    assert (shelf.level().on_hand, _lots(shelf)) == (7, {"L1": 3, "L2": 4})


def test_stale_lots_are_ignored(shelf: Shelf) -> None:
    shelf.apply(snapshot(3, seconds=9, batch="L1"))
    done = shelf.apply(snapshot(8, seconds=1, batch="L1"), snapshot(8, seconds=1, batch="L2"))
    assert (shelf.level().on_hand, _lots(shelf), done.ignored) == (3, {"L1": 3}, [0, 1])


def test_a_count_without_lots_makes_the_old_lots_unknown(shelf: Shelf) -> None:
    shelf.apply(snapshot(3, batch="L1"))
    shelf.apply(snapshot(5, seconds=9))
    assert (shelf.level().on_hand, _lots(shelf)) == (5, {})


def test_a_delta_is_applied_once_by_its_source_id(shelf: Shelf) -> None:
    shelf.apply(snapshot(5))
    assert shelf.apply(delta(-2, seconds=9, source_id="d1"), delta(-2, seconds=9, source_id="d1")).ignored == [1]
    assert shelf.apply(delta(-2, seconds=99, source_id="d1")).ignored == [0]
    assert shelf.level().on_hand == 3


def test_deltas_make_a_level_before_any_snapshot(shelf: Shelf) -> None:
    shelf.apply(delta(4, seconds=1), delta(-1, seconds=2))
    assert (shelf.level().on_hand, shelf.level().as_of) == (3, None)
    assert shelf.movements(shelf.level().level_id) == [(4, 4), (-1, 3)]


def test_a_late_delta_that_the_snapshot_contains_is_ignored(shelf: Shelf) -> None:
    shelf.apply(snapshot(5, seconds=10))
    assert shelf.apply(delta(-2, seconds=9)).ignored == [0]
    assert shelf.level().on_hand == 5


def test_a_snapshot_keeps_the_deltas_that_came_after_it(shelf: Shelf) -> None:
    shelf.apply(delta(-2, seconds=20), delta(-1, seconds=5))
    shelf.apply(snapshot(5, seconds=10))
    assert shelf.level().on_hand == 3


def test_a_delta_s_sequence_decides_before_its_clock(shelf: Shelf) -> None:
    shelf.apply(snapshot(5, seconds=10, sequence=7))
    done = shelf.apply(delta(-1, seconds=99, sequence=7, source_id="in"), delta(-1, sequence=8, source_id="after"))
    assert (done.ignored, shelf.level().on_hand) == ([0], 4)
    shelf.apply(snapshot(6, seconds=11, sequence=8))
    assert shelf.level().on_hand == 6


@pytest.mark.parametrize("arrives_first", ["snapshot", "delta"])
@pytest.mark.parametrize(("quantity", "on_hand"), [(-2, 3), (2, 5)])
def test_of_a_delta_and_a_snapshot_of_the_same_moment_the_lower_figure_stands(
    shelf: Shelf, arrives_first: str, quantity: int, on_hand: int
) -> None:
    facts = [snapshot(5), delta(quantity)]
    for fact in facts if arrives_first == "snapshot" else reversed(facts):
        shelf.apply(fact)
    assert shelf.level().on_hand == on_hand


def test_snapshots_and_deltas_of_one_message_are_put_in_order(shelf: Shelf) -> None:
    shelf.apply(delta(-2, seconds=20), snapshot(5, seconds=10), delta(-1, seconds=5, source_id="old"))
    assert shelf.level().on_hand == 3


def test_two_messages_in_one_transaction_do_not_mix(shelf: Shelf) -> None:
    assert shelf.apply(snapshot(5)).applied == 1
    assert shelf.apply(snapshot(6, sku="B")).applied == 1


def test_codes_with_commas_quotes_and_newlines_are_codes(shelf: Shelf) -> None:
    strange = 'a "b", c\n\\.\t{d}'
    Shelf(shelf.connection, skus=[strange], places=["W1"])
    shelf.apply(snapshot(5, sku=strange, order_refs=[strange]))
    assert shelf.level(strange).on_hand == 5


def test_qualities_are_levels_of_their_own(shelf: Shelf) -> None:
    shelf.apply(snapshot(5), snapshot(1, quality="defective"))
    assert (shelf.level().on_hand, shelf.level(quality="defective").on_hand) == (5, 1)


def test_brands_do_not_see_each_other(shelf: Shelf) -> None:
    other = Shelf(shelf.connection, brand="other")
    shelf.apply(snapshot(5))
    other.apply(snapshot(9))
    assert (shelf.level().on_hand, other.level().on_hand) == (5, 9)


def test_an_empty_message_is_fine(shelf: Shelf) -> None:
    assert shelf.apply().applied == 0


def test_a_new_authority_takes_over_from_its_first_count_on(shelf: Shelf) -> None:
    shelf.apply(snapshot(5, seconds=10, sequence=900))
    Shelf(shelf.connection, skus=[], places=["W1"], authority="pos")
    assert shelf.apply(snapshot(6, seconds=11), system="wms").observed == 1
    assert shelf.apply(snapshot(4, seconds=20, sequence=1), system="pos").applied == 1
    assert (shelf.level().on_hand, shelf.level().system) == (4, "pos")


def test_what_a_figure_means_is_kept_with_it(shelf: Shelf) -> None:
    shelf.apply(snapshot(5), meaning=StockMeaning(figure="available"))
    row = shelf.connection.execute("SELECT figure FROM stock_level").fetchone()
    assert row is not None
    assert row["figure"] == "available"


BULK = range(600)


@pytest.fixture
def wide_shelf(connection: Connection[DictRow]) -> Shelf:
    """So many SKUs that a message about all of them is looked at as a whole."""
    return Shelf(connection, skus=[f"S{number}" for number in BULK])


def _counted(seconds: float = 0) -> list[dict[str, Any]]:
    """Every SKU of the wide shelf, each counted as its number."""
    return [snapshot(number, seconds, sku=f"S{number}") for number in BULK]


def test_a_first_load_in_bulk_makes_levels_and_movements(wide_shelf: Shelf) -> None:
    done = wide_shelf.apply(*_counted(), snapshot(9, -1, sku="S7"))
    assert (done.applied, done.ignored, done.unresolved) == (600, [600], [])
    assert [wide_shelf.level(f"S{number}").on_hand for number in (0, 7, 599)] == [0, 7, 599]
    assert wide_shelf.movements(wide_shelf.level("S7").level_id) == [(7, 7)]
    assert wide_shelf.movements(wide_shelf.level("S0").level_id) == []


@pytest.mark.parametrize("known", [["S1"], ["S599"], ["S0", "S1"], [f"S{number}" for number in BULK if number % 2]])
def test_a_load_in_bulk_that_finds_some_levels_known_changes_those_and_adds_the_others(
    wide_shelf: Shelf, known: list[str]
) -> None:
    wide_shelf.apply(*(snapshot(1000, seconds=10, sku=sku) for sku in known[:1]))
    wide_shelf.apply(*(snapshot(1000, seconds=-10, sku=sku) for sku in known[1:]))
    done = wide_shelf.apply(*_counted())
    assert (done.applied, done.ignored) == (599, [int(known[0][1:])])
    assert wide_shelf.level(known[0]).on_hand == 1000
    assert wide_shelf.movements(wide_shelf.level("S2").level_id) == [(2, 2)]
    for sku in known[1:]:
        number = int(sku[1:])
        assert wide_shelf.movements(wide_shelf.level(sku).level_id) == [(1000, 1000), (number - 1000, number)]


def test_a_load_in_bulk_quarantines_what_it_cannot_place(wide_shelf: Shelf) -> None:
    done = wide_shelf.apply(*_counted(), snapshot(1, sku="unheard-of"))
    assert (done.applied, [lost.position for lost in done.unresolved]) == (600, [600])


@pytest.mark.parametrize("sku", ["a\tb", "a\nb", "a\rb", "a\\b", "\\N", "\\.", "None", "商品"])
def test_a_code_is_taken_as_it_is_whatever_copy_would_read_in_it(connection: Connection[DictRow], sku: str) -> None:
    shelf = Shelf(connection, skus=[sku])
    assert shelf.apply(snapshot(3, sku=sku, sequence=0), snapshot(4, sku="A")).applied == 1
    assert shelf.level(sku).on_hand == 3
    assert shelf.apply(snapshot(9, 1, sku=sku, sequence=0)).ignored == []
