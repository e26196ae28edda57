"""A map without tiles: places at their longitude and latitude over faint names of provinces, nothing from the network.

One degree of longitude is drawn as wide as it is on the ground halfway up the map.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import cos, radians
from typing import Any, Final

from nicegui import ui

ASPECT: Final = 1.45
LEAST_SPAN: Final = 5.0
MARGIN: Final = 0.16
LEAST_DOT, MOST_DOT = 9, 34
COLOURS: Final = {
    "good": "var(--good)",
    "warn": "var(--warn)",
    "bad": "var(--bad)",
    "calm": "var(--ink-3)",
    "chosen": "var(--accent)",
    "other": "var(--good)",
    "buyer": "var(--bad)",
}
TOOLTIP: Final = {
    "renderMode": "richText",
    "backgroundColor": "#1d2630",
    "borderWidth": 0,
    "confine": True,
    "textStyle": {"color": "#e3e9f0", "fontSize": 12},
}
_AXIS: Final = {
    "type": "value",
    "axisLabel": {"show": False},
    "axisTick": {"show": False},
    "axisLine": {"show": False},
    "splitLine": {"show": False},
}


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its name. ``weight`` from 0 to 1 is its size, ``tone`` a key of COLOURS, ``told`` its tooltip."""

    name: str
    lat: float
    lon: float
    weight: float = 0.0
    tone: str = "calm"
    told: str = ""
    symbol: str = "circle"
    named: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """A line from one point to another, as (longitude, latitude)."""

    start: tuple[float, float]
    end: tuple[float, float]


def draw_map(dots: Sequence[Dot], ways: Sequence[Way] = (), *, label: str) -> None:
    """The map; ``label`` says to a screen reader what is on it."""
    chart = ui.echart(map_options(dots, ways), renderer="svg").classes("map")
    chart.props["role"], chart.props["aria-label"] = "img", label


def map_options(dots: Sequence[Dot], ways: Sequence[Way] = ()) -> dict[str, Any]:
    """What ECharts draws. Texts are drawn as text, never as markup."""
    west, east, south, north = window([(dot.lon, dot.lat) for dot in dots])
    around = [each for each in _apart(dots, (east - west) / 40) if west < each[1] < east and south < each[2] < north]
    inside = [(lon, lat) for lon, lat in cities() if west < lon < east and south < lat < north]
    return {
        "animation": False,
        "grid": {"left": 0, "right": 0, "top": 0, "bottom": 0},
        "xAxis": {**_AXIS, "min": west, "max": east},
        "yAxis": {**_AXIS, "min": south, "max": north},
        "tooltip": TOOLTIP,
        "series": [_cities_series(inside), _provinces_series(around), _ways_series(ways), _dots_series(dots)],
    }


def window(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """West, east, south and north of a map of ASPECT with all the points (longitude, latitude) well inside."""
    lons, lats = [lon for lon, _ in points] or [104.0], [lat for _, lat in points] or [35.0]
    middle_lon, middle_lat = (min(lons) + max(lons)) / 2, (min(lats) + max(lats)) / 2
    shrink = cos(radians(max(-80.0, min(80.0, middle_lat))))
    height = max(max(lats) - min(lats), (max(lons) - min(lons)) * shrink / ASPECT, LEAST_SPAN) * (1 + 2 * MARGIN)
    width = height * ASPECT / shrink
    return middle_lon - width / 2, middle_lon + width / 2, middle_lat - height / 2, middle_lat + height / 2


@cache
def provinces() -> tuple[tuple[str, float, float], ...]:
    """Short name, longitude and latitude of every province's seat."""
    return tuple((row["short"], *_point(row)) for row in _regions() if row["code"].endswith("0000"))


@cache
def cities() -> tuple[tuple[float, float], ...]:
    """Longitude and latitude of the seats of all cities and provinces: together the shape of the country."""
    return tuple(_point(row) for row in _regions() if row["code"].endswith("00"))


def _regions() -> list[dict[str, str]]:
    with (files("flows.one_stock") / "regions.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _point(row: Mapping[str, str]) -> tuple[float, float]:
    return float(row["lon"]), float(row["lat"])


def _apart(dots: Sequence[Dot], near: float) -> list[tuple[str, float, float]]:
    """The provinces whose names no dot would lie upon."""
    return [
        (name, lon, lat)
        for name, lon, lat in provinces()
        if not any(abs(dot.lon - lon) < near and abs(dot.lat - lat) < near for dot in dots)
    ]


def _cities_series(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "silent": True,
        "z": 0,
        "symbolSize": 3,
        "itemStyle": {"color": "var(--line-strong)", "opacity": 0.7},
        "data": [[lon, lat] for lon, lat in points],
    }


def _provinces_series(names: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "silent": True,
        "z": 1,
        "symbolSize": 4,
        "itemStyle": {"color": "var(--line-strong)"},
        "label": {"show": True, "position": "bottom", "formatter": "{b}", "color": "var(--ink-3)", "fontSize": 10},
        "labelLayout": {"hideOverlap": True},
        "data": [{"name": name, "value": [lon, lat]} for name, lon, lat in names],
    }


def _ways_series(ways: Sequence[Way]) -> dict[str, Any]:
    return {
        "type": "lines",
        "coordinateSystem": "cartesian2d",
        "silent": True,
        "z": 2,
        "symbol": ["none", "arrow"],
        "symbolSize": 8,
        "lineStyle": {"color": "var(--accent)", "width": 1.5, "opacity": 0.8, "curveness": 0.15},
        "data": [{"coords": [list(way.start), list(way.end)]} for way in ways],
    }


def _dots_series(dots: Sequence[Dot]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "z": 3,
        "labelLayout": {"hideOverlap": True},
        "data": [_dot(dot) for dot in sorted(dots, key=lambda dot: -dot.weight)],
    }


def _dot(dot: Dot) -> dict[str, Any]:
    colour = COLOURS[dot.tone]
    style = {"color": colour, "opacity": 0.72, "borderColor": "var(--surface)", "borderWidth": 1}
    return {
        "name": _plain(dot.name),
        "value": [dot.lon, dot.lat],
        "symbol": dot.symbol,
        "symbolSize": round(LEAST_DOT + (MOST_DOT - LEAST_DOT) * max(0.0, min(1.0, dot.weight)) ** 0.5, 1),
        "itemStyle": style,
        "emphasis": {"itemStyle": {**style, "opacity": 1}},
        "label": {"show": dot.named, "position": "right", "formatter": "{b}", "color": "var(--ink)", "fontSize": 11},
        "tooltip": {"formatter": _plain(dot.told or dot.name)},
    }


def _plain(text: str) -> str:
    """A text without the braces in which ECharts would put something else."""
    return text.replace("{", "(").replace("}", ")")
