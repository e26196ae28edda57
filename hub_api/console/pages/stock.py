"""*Stock*: what the pool has of each SKU; one SKU over all places, with its holds and ledger."""

from typing import Any
from urllib.parse import quote

from nicegui import ui

from hub_api import stock_view
from hub_api.console.html import h, join
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.stock_parts import (
    channel_units,
    draw_channels,
    draw_figures,
    draw_holds,
    draw_ledger,
    draw_moves,
    draw_places,
    draw_places_map,
    seen_by,
)
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, code, empty, entry, filters, link, pager, state, table
from hub_api.stock_view import Goods, Ledger, Pool, Shown

Found = tuple[Pool, list[Shown], dict[str, Any]]


@page("/stock", title="stock.title", menu=15, icon="stock")
async def show_stock(view: View) -> None:
    """SKUs by code, with what the pool has of each."""
    title(view, view.words("stock.title"))
    html(filters(view, "/stock", [entry(view, "q", "stock.search")]))

    async def load() -> Goods:
        return await view.read(stock_view.search_goods, view.arg("q"), after=view.arg("after"))

    await view.show(load, lambda found: _draw_goods(view, found))


@page("/stock/{code:path}", title="stock.title")
async def show_pool(view: View) -> None:
    """One SKU everywhere."""
    asked, place, before = view.arg("code") or "", view.arg("place"), view.id_arg("before")

    async def load() -> Found:
        pool = await view.read(stock_view.read_pool, asked)
        return pool, await view.read(stock_view.read_channels, asked), await view.read(stock_view.read_moves, asked)

    async def load_ledger() -> Ledger:
        return await view.read(stock_view.read_ledger, asked, place=place, before=before)

    await view.show(load, lambda found: _draw_pool(view, found), every_s=5)
    await view.show(
        load_ledger, lambda found: draw_ledger(view, _address(asked), found, place), every_s=0 if before else 5
    )


def _address(sku: str) -> str:
    return f"/stock/{quote(sku, safe='/')}"


def _draw_goods(view: View, found: Goods) -> None:
    words = view.words
    if not found.items:
        html(empty(words("stock.none"), words("stock.none_advice")))
        return
    columns = [
        Column("field.sku", "code"),
        Column("field.name"),
        Column("stock.atp", "number"),
        Column("stock.on_hand", "number"),
        Column("stock.held", "number"),
        Column("stock.safety", "number"),
        Column("stock.places_with", "number"),
        Column("column.state"),
    ]
    rows = [
        (
            link(code(row["code"]), view.link(_address(row["code"]))),
            row["name"],
            h("b", words.number(row["atp"])),
            words.number(row["on_hand"]),
            words.number(row["held"]),
            words.number(row["safety"]),
            words.number(row["places"]),
            state(words, "word", row["status"]),
        )
        for row in found.items
    ]
    html(table(words, columns, rows, caption="stock.title"))
    html(join(pager(view, "/stock", found.next, "after", q=view.arg("q"))))


def _draw_pool(view: View, found: Found) -> None:
    pool, channels, moves = found
    words, path, channel = view.words, _address(pool.code), view.arg("channel")
    story = link(words("stock.story"), view.link(f"/story/sku/{quote(pool.code, safe='/')}"))
    title(view, f"{pool.code} · {pool.name}", state(words, "word", pool.status), story)
    draw_figures(view, pool)
    places = seen_by(pool.places, channel_units(channels, channel))
    if channel:
        html(h("div", words("stock.as_channel", channel=channel), cls="note"))
    with ui.element("div").classes("map-and"):
        draw_places_map(view, places)
        with ui.element("div").classes("part"):
            draw_channels(view, path, channels, channel)
            draw_moves(view, moves, {place.location: place.name for place in pool.places})
    draw_places(view, places)
    draw_holds(view, pool.holds)
