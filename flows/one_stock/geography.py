"""Where an address is, as exactly as is known, and how far apart two points are.

``regions.csv`` has the administrative divisions of mainland China by their GB/T 2260 code: provinces, cities, and
districts and counties, each with the name people use for short, and Taiwan, Hong Kong and Macau as a whole. A
division's point is its seat of government, in WGS-84. Names, codes and places are facts from ``adcodes.csv`` of cpca
0.5.5 (https://github.com/DQinYuan/chinese_province_city_area_mapper, MIT licence, copyright 2018 QinYuan Du), turned
from GCJ-02 to WGS-84; divisions that were made since are added. A point is as exact as its ``precision`` says: within
a district that is some kilometres, within a province some hundred.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from importlib.resources import files
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final

from canonical_model.location import Point, Precision

EARTH_RADIUS_KM: Final = 6371.0
MOST_REMEMBERED: Final = 8192

_MUNICIPALITIES: Final = frozenset({"11", "12", "31", "50"})
_NOTHING: Final = re.compile(r"[\s,，、。/|·-]+")
_NOISE: Final = re.compile(r"^(中华人民共和国|中国|市辖区|(省|自治区)?直辖县(级行政区划)?)")
_RUNS_ON: Final = re.compile(r"^[场道域路街]")  # 北京市场, 河东区域: another word that begins like a name
_ROAD: Final = re.compile(r"[路街道巷弄]")
_PROVINCE, _CITY, _CODE = 2, 4, 6
_ENDINGS: Final = {_PROVINCE: ("省", "市"), _CITY: ("市", "州", "盟", "地区"), _CODE: ("区", "县", "市", "旗")}


class _Rank(IntEnum):
    """How a name names a division: as it is called, short with another ending (恩施州), or short."""

    FULL = 0
    ENDED = 1
    SHORT = 2


@dataclass(frozen=True, slots=True)
class _Division:
    """``stem``: the digits that the codes of its parts begin with, 2 for a province, 4 for a city, 6 for the rest."""

    stem: str
    name: str
    point: Point


@dataclass(frozen=True, slots=True)
class _Gazetteer:
    """Every division by its stem, and what each name may mean."""

    divisions: Mapping[str, _Division]
    meanings: Mapping[str, tuple[tuple[str, _Rank], ...]]
    longest: int


@cache
def _gazetteer() -> _Gazetteer:
    divisions: dict[str, _Division] = {}
    meanings: dict[str, dict[str, _Rank]] = defaultdict(dict)
    with (files("flows.one_stock") / "regions.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            stem = _stem(row["code"])
            point = Point(lat=float(row["lat"]), lon=float(row["lon"]), precision=_precision(stem))
            divisions[stem] = _Division(stem, row["name"], point)
            for name, rank in _names(row["name"], row["short"], _ENDINGS[len(stem)]):
                meanings[name].setdefault(stem, rank)
    return _Gazetteer(
        divisions, {name: tuple(found.items()) for name, found in meanings.items()}, max(map(len, meanings))
    )


def _stem(code: str) -> str:
    if code.endswith("0000"):
        return code[:_PROVINCE]
    return code[:_CITY] if code.endswith("00") else code


def _precision(stem: str) -> Precision:
    if len(stem) == _PROVINCE:
        return Precision.CITY if stem in _MUNICIPALITIES else Precision.PROVINCE
    return Precision.CITY if len(stem) == _CITY else Precision.DISTRICT


def _names(name: str, short: str, endings: tuple[str, ...]) -> Iterator[tuple[str, _Rank]]:
    yield name, _Rank.FULL
    if short:
        yield from ((short + ending, _Rank.ENDED) for ending in endings)
        yield short, _Rank.SHORT


def locate(receiver: Mapping[str, Any]) -> Point | None:
    """The best known point of an address: its own coordinates, else those of its district, city or province.

    ``receiver`` is a canonical Receiver as JSON, and any field of it may be missing, masked or encrypted. A region
    code counts more than names; names are read within one another, so that 朝阳区 is Beijing's or Changchun's by
    what stands before it. None when nothing in it can be placed, when a name may mean several places, or when the
    names contradict each other.
    """
    if receiver.get("point"):
        return Point.model_validate(receiver["point"])
    code, exact = _by_code(receiver.get("region_code") or "")
    if exact and len(code) == _CODE:
        return _gazetteer().divisions[code].point
    fields = (receiver.get("province") or "", receiver.get("city") or "", receiver.get("district") or "")
    named = _by_names(fields, code if exact else "")
    if named is not None and len(named) < _CODE and receiver.get("street"):
        named = _by_street(receiver["street"], named)
    stem = named or code
    return _gazetteer().divisions[stem].point if stem else None


def find_name(region_code: str) -> str | None:
    """What the division of a region code is called."""
    stem, exact = _by_code(region_code)
    return _gazetteer().divisions[stem].name if exact else None


def _by_code(region_code: str) -> tuple[str, bool]:
    """The stem of a code of 2 to 12 digits, and whether the division itself is known; else that of its parent."""
    digits = region_code.strip()
    if not (digits.isascii() and digits.isdecimal()):
        return "", False
    stem = _stem(digits[:_CODE].ljust(_CODE, "0"))
    known = _gazetteer().divisions
    if stem in known:
        return stem, True
    return next((parent for parent in (stem[:_CITY], stem[:_PROVINCE]) if parent in known), ""), False


@lru_cache(MOST_REMEMBERED)
def _by_names(fields: tuple[str, ...], within: str) -> str | None:
    """The stem that the fields name, from the province down, within that of a code; None where they contradict."""
    stem = within
    for field in map(_bare, fields):
        inside, rest = _follow(field, stem)
        if rest == field:
            elsewhere, _ = _follow(field, "")
            if not (elsewhere.startswith(stem) or stem.startswith(elsewhere)):
                return within or None
            inside = max(stem, elsewhere, key=len)
        stem = inside
    return stem


def _by_street(street: str, within: str) -> str:
    """The stem where a free line begins, if it names a part of ``within``; ``within`` otherwise."""
    line = _bare(street)
    inside, rest = _follow(line, within)
    if rest == line:
        inside, _ = _follow(line, "")
    return inside if inside.startswith(within) else within


def _bare(text: str) -> str:
    return _NOTHING.sub("", text)


def _follow(text: str, within: str, chained: bool = False) -> tuple[str, str]:
    """Read names off the front of ``text``, each within the one before: the stem they lead to, and what is left.

    The longest name goes first. ``within`` and the whole text when it begins with none, or may mean several.
    """
    text = _NOISE.sub("", text)
    gazetteer = _gazetteer()
    for size in range(min(len(text), gazetteer.longest), 1, -1):
        rest = text[size:]
        found = [
            (stem, rank)
            for stem, rank in gazetteer.meanings.get(text[:size], ())
            if stem.startswith(within) and stem != within
        ]
        for rank in _Rank:
            reads = [_read_on(stem, rest, rank, chained) for stem, its_rank in found if its_rank is rank]
            sensible = [read for read in reads if read is not None]
            if sensible:
                return _best(sensible) or (within, text)
    return within, text


def _read_on(stem: str, rest: str, rank: _Rank, chained: bool) -> tuple[str, str] | None:
    """Where the text leads once ``stem`` was named; None if the name rather begins another word.

    A short name counts at the end of the text, before a part of its division, or where a city's follows its
    province's: 南京路 is no Nanjing.
    """
    rest = rest.removeprefix(_gazetteer().divisions[stem].name)
    inside, left = _follow(rest, stem, chained=True)
    if inside != stem:
        return inside, left
    if rank is not _Rank.SHORT:
        return None if _RUNS_ON.match(rest) else (inside, left)
    if not rest or (chained and len(stem) == _CITY and not _ROAD.search(rest[:3])):
        return inside, left
    return None


def _best(reads: list[tuple[str, str]]) -> tuple[str, str] | None:
    """The read that goes furthest; of several a province (海南), or the one whose division contains the others."""
    least = min(len(left) for _, left in reads)
    furthest = [read for read in reads if len(read[1]) == least]
    widest = min(furthest, key=lambda read: len(read[0]))
    return (
        widest if len(widest[0]) == _PROVINCE or all(inside.startswith(widest[0]) for inside, _ in furthest) else None
    )


def distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance by the haversine formula on a sphere of 6,371 km."""
    a = sin(radians(other_lat - lat) / 2) ** 2
    b = cos(radians(lat)) * cos(radians(other_lat)) * sin(radians(other_lon - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, a + b)))
