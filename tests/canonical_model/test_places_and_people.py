"""Rules of locations, members, points, shelves and suppliers."""

from typing import Any

import pytest
from pydantic import ValidationError

from canonical_model.location import Location
from canonical_model.member import Member
from canonical_model.points import PointsEntry
from canonical_model.shelf import ShelfObservation
from canonical_model.supplier import Supplier
from tests.canonical_model.examples import SOURCED, WHEN


def location(**changes: Any) -> Location:
    return Location.model_validate({**SOURCED, "code": "S01", "name": "杭州湖滨店", "kind": "store", **changes})


@pytest.mark.parametrize(("lat", "lon"), [(90.1, 0), (-90.1, 0), (0, 180.1), (0, -180.1), (float("nan"), 0)])
def test_a_point_lies_on_the_globe(lat: float, lon: float) -> None:
    with pytest.raises(ValidationError, match="point"):
        location(point={"lat": lat, "lon": lon})


def test_a_centroid_says_how_exact_it_is() -> None:
    place = location(point={"lat": 30.25, "lon": 120.17, "precision": "city"}, region_code="330100")
    assert place.point is not None
    assert place.point.precision == "city"


def test_a_place_does_only_known_services() -> None:
    assert location(services=["ship", "ship", "pickup"]).services == {"ship", "pickup"}
    with pytest.raises(ValidationError, match="services"):
        location(services=["teleport"])


@pytest.mark.parametrize("capacity", [-1, 1.5, "10", int("9" * 30)])
def test_a_capacity_is_a_count_of_parcels(capacity: object) -> None:
    with pytest.raises(ValidationError, match="capacity"):
        location(capacity=capacity)


def test_points_are_earned_and_spent_in_whole_numbers() -> None:
    given = {**SOURCED, "member": "M1", "programme": "stars", "happened_at": WHEN}
    assert PointsEntry.model_validate({**given, "points": -500}).points == -500
    for points in (0.5, "10", int("9" * 30)):
        with pytest.raises(ValidationError, match="points"):
            PointsEntry.model_validate({**given, "points": points})


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_lies_between_none_and_certain(confidence: float) -> None:
    given = {**SOURCED, "cooler": "C1", "taken_at": WHEN, "facings": 3}
    assert ShelfObservation.model_validate({**given, "confidence": 0.5}).sku is None
    with pytest.raises(ValidationError, match="confidence"):
        ShelfObservation.model_validate({**given, "confidence": confidence})


def test_a_member_needs_only_a_code_and_a_supplier_a_name_too() -> None:
    assert Member.model_validate({**SOURCED, "code": "M1"}).mobile is None
    with pytest.raises(ValidationError, match="name"):
        Supplier.model_validate({**SOURCED, "code": "V1"})
