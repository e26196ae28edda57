"""Where an address is, as exactly as is known, and how far apart two points are.

``regions.csv`` holds seats of government of provinces and larger cities by their GB/T 2260 code, WGS-84 to two
decimals (about a kilometre), which is finer than what a region code promises.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final

from canonical_model.location import Point, Precision

EARTH_RADIUS_KM: Final = 6371.0
_MUNICIPALITIES: Final = frozenset({"11", "12", "31", "50"})


@cache
def _regions() -> tuple[dict[str, Point], dict[str, str]]:
    points: dict[str, Point] = {}
    codes: dict[str, str] = {}
    with (files("flows.one_stock") / "regions.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            code = row["code"]
            city = not code.endswith("0000") or code[:2] in _MUNICIPALITIES
            precision = Precision.CITY if city else Precision.PROVINCE
            points[code] = Point(lat=float(row["lat"]), lon=float(row["lon"]), precision=precision)
            codes[row["name"]] = code
    return points, codes


def locate(receiver: Mapping[str, Any]) -> Point | None:
    """The best known point of an address: its own coordinates, else the centroid of its city, else its province.

    ``receiver`` is a canonical Receiver as JSON. None when nothing in it can be placed.
    """
    if receiver.get("point"):
        return Point.model_validate(receiver["point"])
    points, codes = _regions()
    named = [
        receiver.get("region_code"),
        codes.get(receiver.get("city") or ""),
        codes.get(receiver.get("province") or ""),
    ]
    for code in filter(None, named):
        for candidate in (code, f"{code[:4]}00", f"{code[:2]}0000"):
            if candidate in points:
                return points[candidate]
    return None


def distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance by the haversine formula on a sphere of 6,371 km."""
    a = sin(radians(other_lat - lat) / 2) ** 2
    b = cos(radians(lat)) * cos(radians(other_lat)) * sin(radians(other_lon - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, a + b)))
