"""Recorded orders under other rules as pages show it: sums before and after, the load of places, what differs."""

from collections.abc import Mapping
from typing import Any, Final

from nicegui import ui

from flows.one_stock.what_if import WhatIf
from hub_api.console.html import Html, h
from hub_api.console.map_parts import TOOLTIP
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, empty, link, panel, table
from hub_api.console.words import Words

# Each sum, its form, and whether less of it is better.
SUMS: Final = (
    ("cost", ",.2f", True),
    ("parcels", ",.0f", True),
    ("distance_km", ",.0f", True),
    ("split", ",.0f", True),
    ("unfilled_units", ",.0f", True),
    ("complete", ",.0f", False),
)
BUSIEST: Final = 12
MOST_ORDERS: Final = 20
ROW_PX: Final = 34
SLIGHT: Final = 0.0005


def summary(words: Words, found: WhatIf) -> Html:
    """In a sentence and cards: how many orders would ship otherwise, and what that adds up to."""
    before, after = found.before.document(), found.after.document()
    if not before["orders"] and not found.unreadable:
        return empty(words("what_if.none"), words("what_if.none_advice"))
    cards = [_card(words, key, before[key], after[key], form, less) for key, form, less in SUMS]
    said = words("what_if.changed", orders=words.number(before["orders"]), changed=words.number(found.changed))
    left = [
        [" ", h("span", words(f"what_if.{why}", count=words.number(count)), cls="muted")]
        for why, count in (("left_out", found.left_out), ("unreadable", found.unreadable))
        if count
    ]
    return h("div", h("p", h("b", said), left), h("div", cards, cls="cards"), cls="part")


def draw_what_if(view: View, found: WhatIf, names: Mapping[str, str]) -> None:
    """Everything about it."""
    words = view.words
    html(summary(words, found))
    if found.before.orders and (load := found.load()[:BUSIEST]):
        with ui.element("div").classes("panel"):
            html(h("header", h("h2", words("what_if.load")), h("div", _legend(words), cls="beside"))).classes(
                "panel-head"
            )
            chart = ui.echart(load_options(words, load, names), renderer="svg").classes("bars")
            chart.style(f"height: {60 + ROW_PX * len(load)}px")
            chart.props["role"], chart.props["aria-label"] = "img", words("what_if.load")
    if differing := [order for order in found.orders if order["changed"]]:
        html(panel(words("what_if.orders"), _orders(view, differing, names)))


def load_options(words: Words, load: list[dict[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """Parcels of each place, before above after, as ECharts draws it."""
    rows = load[::-1]
    text = {"color": "var(--ink-2)", "fontSize": 12}
    sides = (("before", "var(--line-strong)"), ("after", "var(--accent)"))
    return {
        "animation": False,
        "grid": {"left": 8, "right": 40, "top": 8, "bottom": 8, "containLabel": True},
        "tooltip": TOOLTIP,
        "xAxis": {"type": "value", "axisLabel": {**text, "fontSize": 11}, "minInterval": 1,
                  "splitLine": {"lineStyle": {"color": "var(--line)"}}},
        "yAxis": {"type": "category", "data": [names.get(row["node"]) or row["node"] for row in rows],
                  "axisLabel": text, "axisTick": {"show": False}, "axisLine": {"lineStyle": {"color": "var(--line)"}}},
        "series": [
            {"type": "bar", "name": words(f"what_if.{side}"), "barMaxWidth": 11, "barGap": "15%",
             "itemStyle": {"color": colour, "borderRadius": 2}, "emphasis": {"itemStyle": {"color": colour}},
             "label": {"show": True, "position": "right", "color": "var(--ink-3)", "fontSize": 11},
             "data": [row[side]["parcels"] for row in rows]}
            for side, colour in sides
        ],
    }  # fmt: skip


def _legend(words: Words) -> list[Html]:
    return [
        h("span", words("what_if.before"), cls="legend was"),
        h("span", words("what_if.after"), cls="legend chosen"),
    ]


def _card(words: Words, key: str, before: float, after: float, form: str, less_is_better: bool) -> Html:
    most = max(before, after, 1e-9)
    same = abs(after - before) <= SLIGHT * max(abs(before), 1)
    better = (after < before) == less_is_better
    tone = "calm" if same else "good" if better else "bad"
    share = f"{(after - before) / before:+.1%}" if before else f"{after - before:+{form}}"
    moved = h("span", words("what_if.unchanged") if same else share, cls=f"state {tone}")
    bars = [
        h("span", h("span", style=f"width:{100 * value / most:.1f}%", cls=side), cls="bar-line")
        for side, value in (("was", before), ("now", after))
    ]
    return h(
        "div",
        h("span", words(f"what_if.{key}"), cls="muted"),
        h("div", h("span", f"{before:{form}}", cls="muted"), "→", h("b", f"{after:{form}}"), cls="line"),
        moved,
        bars,
        cls="card",
    )


def _orders(view: View, orders: list[dict[str, Any]], names: Mapping[str, str]) -> Html:
    words = view.words
    columns = [
        Column("field.order_no"),
        Column("what_if.before"),
        Column("what_if.after"),
        Column("what_if.d_parcels", "number"),
        Column("what_if.d_km", "number"),
        Column("what_if.d_cost", "number"),
    ]
    rows = []
    for order in orders[:MOST_ORDERS]:
        before, after = order["before"], order["after"]
        rows.append(
            (
                link(order["order_no"], view.link("/search", q=order["order_no"])),
                h("span", _places(words, before, names), cls="muted"),
                _places(words, after, names),
                f"{after['parcels'] - before['parcels']:+,}",
                f"{after['distance_km'] - before['distance_km']:+,.0f}",
                f"{after['cost'] - before['cost']:+,.2f}",
            )
        )
    return table(words, columns, rows, caption="what_if.orders")


def _places(words: Words, side: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if not side["nodes"]:
        return words.name("routing", side["action"])
    return " + ".join(names.get(node) or node for node in side["nodes"])
