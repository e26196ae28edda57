"""The shares that silos get: whole units, all of them, in proportion."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.one_stock_uplift import apportioned, divided

shares = st.dictionaries(st.integers(0, 9), st.floats(0.01, 100), min_size=1)


def test_the_largest_remainder_gets_what_rounding_leaves() -> None:
    assert apportioned(10, {0: 1.0, 1: 1.0, 2: 4.0}) == {0: 2, 1: 1, 2: 7}


@given(st.integers(0, 1000), shares)
def test_every_unit_is_given_and_nobody_is_a_whole_unit_off(units: int, wanted: dict[int, float]) -> None:
    given_ = apportioned(units, wanted)
    assert sum(given_.values()) == units
    assert all(abs(given_[key] - units * share / sum(wanted.values())) < 1 for key, share in wanted.items())


@given(st.dictionaries(st.integers(1, 4), st.dictionaries(st.integers(1, 3), st.integers(1, 9)), min_size=1))
def test_channels_together_have_exactly_the_stock_of_the_pool(stock: dict[int, dict[int, int]]) -> None:
    parts = divided(stock, {1: {0: 5, 1: 3}, 2: {1: 7}}, 3)
    for place_id, units in stock.items():
        for sku_id, quantity in units.items():
            assert sum(part[place_id].get(sku_id, 0) for part in parts) == quantity
