"""Points as pictures: what became of those that were issued, when those that are left will go, a member's lots."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from nicegui import ui

from hub_api.console.html import h
from hub_api.console.map_parts import TOOLTIP
from hub_api.console.view import View, html
from hub_api.console.words import Words

FATES: Final = (
    ("outstanding", "var(--accent)"),
    ("spent", "var(--good)"),
    ("exchanged_out", "var(--warn)"),
    ("clawed_back", "var(--line-strong)"),
    ("expired", "var(--bad)"),
)
SHADES: Final = ("var(--accent)", "var(--good)", "var(--warn)", "var(--bad)", "var(--ink-3)", "var(--line-strong)")
ROW_PX: Final = 34
HEIGHT_PX: Final = 220
_TEXT: Final = {"color": "var(--ink-2)", "fontSize": 12}
_SMALL: Final = {"color": "var(--ink-2)", "fontSize": 11}
_LINE: Final = {"lineStyle": {"color": "var(--line)"}}

Told = Mapping[str, Any]


def draw_issuers(view: View, issuers: Sequence[Told]) -> None:
    """A bar for each issuer of a programme: what became of all that it issued."""
    rows = [row for row in issuers if row["issued"]][::-1]
    series = [_bars(view.words(f"points.{fate}"), [row[fate] for row in rows], colour) for fate, colour in FATES]
    names = [f"{row['programme']} · {row['issuer']}" for row in rows]
    options = {
        **_options(),
        "xAxis": {"type": "value", "axisLabel": _SMALL, "splitLine": _LINE},
        "yAxis": {"type": "category", "data": names, "axisLabel": _TEXT, "axisTick": {"show": False}},
        "series": series,
    }
    _draw(view.words("points.fates"), options, 70 + ROW_PX * len(rows))


def draw_due(view: View, due: Sequence[Told]) -> None:
    """A column for each month: the points whose last day is in it, by programme. What never ends stands beside."""
    words = view.words
    months = sorted({row["month"] for row in due if row["month"] is not None})
    sums: dict[str, dict[Any, int]] = defaultdict(dict)
    for row in due:
        sums[row["programme"]][row["month"]] = row["points"]
    kept = [f"{name} {words.number(points[None])}" for name, points in sorted(sums.items()) if None in points]
    ending = [(name, points) for name, points in sorted(sums.items()) if points.keys() - {None}]
    if not months:
        return
    series = [
        _bars(name, [points.get(month, 0) for month in months], SHADES[number % len(SHADES)])
        for number, (name, points) in enumerate(ending)
    ]
    beside = words("points.never_of", what=", ".join(kept)) if kept else ""
    _draw(words("points.due"), _columns([f"{month:%Y-%m}" for month in months], series), HEIGHT_PX, beside)


def draw_lots(view: View, lots: Sequence[Told]) -> None:
    """A column for each end of lots: what can be spent of them, what is held, and what is gone already."""
    words = view.words
    ends: dict[str, list[int]] = {}
    for lot in sorted(lots, key=lambda lot: (lot["due"] is None, lot["due"] or lot["earned_at"])):
        sums = ends.setdefault(_day(words, lot["due"]), [0, 0, 0])
        sums[0] += lot["remaining"] - lot["held"]
        sums[1] += lot["held"]
        sums[2] += lot["amount"] - lot["remaining"]
    parts = (("available", "var(--accent)"), ("held", "var(--warn)"), ("gone", "var(--line-strong)"))
    series = [
        _bars(words(f"points.{part}"), [sums[number] for sums in ends.values()], colour)
        for number, (part, colour) in enumerate(parts)
    ]
    _draw(words("points.lots_by_end"), _columns(list(ends), series), HEIGHT_PX)


def _day(words: Words, due: datetime | None) -> str:
    return f"{due.astimezone(ZoneInfo(words.zone)):%Y-%m-%d}" if due else words("points.never")


def _options() -> dict[str, Any]:
    return {
        "animation": False,
        "grid": {"left": 8, "right": 36, "top": 34, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "left": 0, "textStyle": _TEXT, "itemWidth": 12, "itemHeight": 9, "type": "scroll"},
        "tooltip": {**TOOLTIP, "trigger": "axis", "axisPointer": {"type": "shadow"}},
    }


def _columns(labels: Sequence[str], series: Sequence[Told]) -> dict[str, Any]:
    return {
        **_options(),
        "xAxis": {"type": "category", "data": list(labels), "axisLabel": _SMALL, "axisTick": {"show": False}},
        "yAxis": {"type": "value", "axisLabel": _SMALL, "splitLine": _LINE, "minInterval": 1},
        "series": list(series),
    }


def _bars(name: str, values: Sequence[int], colour: str) -> dict[str, Any]:
    style = {"color": colour}
    return {
        "type": "bar",
        "name": name,
        "stack": "all",
        "barMaxWidth": 26,
        "itemStyle": style,
        "emphasis": {"itemStyle": style},
        "data": list(values),
    }


def _draw(heading: str, options: Mapping[str, Any], height_px: int, beside: str = "") -> None:
    with ui.element("div").classes("panel"):
        told = h("div", h("span", beside, cls="muted"), cls="beside") if beside else None
        html(h("header", h("h2", heading), told)).classes("panel-head")
        chart = ui.echart(dict(options), renderer="svg").classes("bars").style(f"height: {height_px}px")
        chart.props["role"], chart.props["aria-label"] = "img", heading
