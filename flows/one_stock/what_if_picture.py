"""A what-if as a picture: cost, parcels, distance, missing units and the busiest places, before and after. SVG."""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any, Final

import pygal
from lxml import etree
from pygal.style import Style

from flows.one_stock.what_if import WhatIf

WIDTH: Final = 1200
HEAD: Final = 70
PANEL: Final = (300, 300)
BUSIEST: Final = 15
ROW: Final = 44
LABEL: Final = 24
TICKS: Final = 5
BEFORE: Final = "#8a8f98"
AFTER: Final = "#0b6bcb"
SVG: Final = "http://www.w3.org/2000/svg"

_PANELS: Final = (
    ("Cost, in the rules' money", "cost"),
    ("Parcels", "parcels"),
    ("Distance of all parcels, km", "distance_km"),
    ("Units that nobody could send", "unfilled_units"),
)


def draw(found: WhatIf) -> str:
    """The picture as an SVG document that needs nothing beside it. The same what-if gives the same picture."""
    load = found.load()[:BUSIEST]
    height = HEAD + PANEL[1] + _load_height(load)
    root = etree.fromstring(f'<svg xmlns="{SVG}" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"/>')
    etree.SubElement(root, f"{{{SVG}}}rect", {"width": "100%", "height": "100%", "fill": "white"})
    orders = found.before.orders
    _write(root, 20, 30, 20, f"{orders:,} orders under other rules: {found.changed:,} would ship otherwise")
    _write(root, 20, 54, 14, "before", BEFORE)
    _write(root, 80, 54, 14, "after", AFTER)
    before, after = found.before.document(), found.after.document()
    for number, (title, key) in enumerate(_PANELS):
        panel = _sums(title, before[key], after[key])
        root.append(_placed(panel, f"p{number}", number * PANEL[0], HEAD))
    if load:
        root.append(_placed(_busiest(load), "load", 0, HEAD + PANEL[1]))
    return etree.tostring(root, encoding="unicode")


def _sums(title: str, before: float, after: float) -> pygal.Bar:
    chart = pygal.Bar(**_look(*PANEL), title=title, print_values=True, value_formatter=_rounded)
    chart.x_labels = ["before", "after"]
    chart.y_labels = _ticks(before, after)
    chart.add("", [{"value": before, "color": BEFORE}, {"value": after, "color": AFTER}])
    return chart


def _busiest(load: Sequence[dict[str, Any]]) -> pygal.HorizontalBar:
    chart = pygal.HorizontalBar(
        **_look(WIDTH, _load_height(load)),
        title=f"Parcels of the busiest places ({len(load)} shown)",
        print_values=True,
        value_formatter=_rounded,
    )
    rows = list(reversed(load))
    chart.y_labels = _ticks(*(row[side]["parcels"] for row in rows for side in ("before", "after")))
    chart.x_labels = [row["node"] for row in rows]
    for side, colour in (("before", BEFORE), ("after", AFTER)):
        chart.add(side, [{"value": row[side]["parcels"], "color": colour} for row in rows])
    return chart


def _look(width: int, height: int) -> dict[str, Any]:
    return {
        "width": width,
        "height": height,
        "explicit_size": True,
        "disable_xml_declaration": True,
        "show_legend": False,
        "show_y_guides": False,
        "truncate_label": LABEL,
        "js": [],
        "style": Style(
            background="white",
            plot_background="white",
            font_family="sans-serif",
            title_font_size=15,
            label_font_size=12,
            major_label_font_size=12,
            value_font_size=12,
            colors=(AFTER, BEFORE),
        ),
    }


def _placed(chart: Any, name: str, x: int, y: int) -> etree._Element:
    """The chart as a part of a larger picture, without the script that pygal brings."""
    chart.uuid = name
    part = etree.fromstring(chart.render())
    part.set("x", str(x))
    part.set("y", str(y))
    etree.strip_elements(part, f"{{{SVG}}}script", etree.Comment, with_tail=False)
    return part


def _write(root: etree._Element, x: int, y: int, size: int, text: str, colour: str = "black") -> None:
    attributes = {"x": str(x), "y": str(y), "font-size": str(size), "font-family": "sans-serif", "fill": colour}
    etree.SubElement(root, f"{{{SVG}}}text", attributes).text = text


def _load_height(load: Sequence[Any]) -> int:
    return 100 + ROW * len(load) if load else 0


def _ticks(*values: float) -> list[float]:
    """A few whole round figures from 0 to the largest value, or a little beyond."""
    most = max(*values, 1.0)
    power = 10 ** max(0, floor(log10(most / TICKS)))
    step = next(power * times for times in (1, 2, 5, 10) if power * times * TICKS >= most or power * times >= most)
    return [step * number for number in range(ceil(most / step) + 1)]


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"
