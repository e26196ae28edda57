"""Addresses become points of a stated precision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.location import Precision
from flows.one_stock.geography import distance_km, locate

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def test_own_coordinates_win() -> None:
    point = locate({"point": {"lat": 31.0, "lon": 121.0}, "city": "北京市"})
    assert point is not None
    assert (point.lat, point.precision) == (31.0, Precision.EXACT)


@pytest.mark.parametrize(
    ("receiver", "precision", "lat"),
    [
        ({"region_code": "330106"}, Precision.CITY, 30.27),
        ({"region_code": "331082"}, Precision.PROVINCE, 30.27),
        ({"city": "武汉市", "province": "湖北省"}, Precision.CITY, 30.59),
        ({"city": "恩施州", "province": "湖北省"}, Precision.PROVINCE, 30.59),
        ({"province": "上海市"}, Precision.CITY, 31.23),
    ],
)
def test_a_region_is_its_seat_with_stated_precision(receiver: dict[str, str], precision: Precision, lat: float) -> None:
    point = locate(receiver)
    assert point is not None
    assert (point.precision, point.lat) == (precision, lat)


def test_an_encrypted_address_has_no_point() -> None:
    assert locate({"name": "~AgAAA", "street": "~AgAAA"}) is None


def test_shanghai_to_beijing_is_1068_km() -> None:
    assert distance_km(31.23, 121.47, 39.90, 116.41) == pytest.approx(1068, abs=3)


@given(degrees, degrees)
def test_distance_is_symmetric_and_at_most_half_round_the_earth(a: tuple[float, float], b: tuple[float, float]) -> None:
    there, back = distance_km(*a, *b), distance_km(*b, *a)
    assert there == pytest.approx(back, abs=1e-6)
    assert 0 <= there <= 20_016
