"""*Search*: any number or name → what goes by it → its story; stories of orders, SKUs, traces and members."""

from hub_api import stories
from hub_api.console.html import h
from hub_api.console.page import page
from hub_api.console.shell import title
from hub_api.console.story_parts import draw_story, hit_address
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, empty, link, moment, table
from hub_api.stories import Hit, Story


@page("/search", title="search.title", menu=10, icon="search")
async def show_search(view: View) -> None:
    """What goes by the words in the address."""
    words = view.words
    asked = view.arg("q")
    title(view, words("search.heading", text=asked) if asked else words("search.title"))
    if asked is None:
        html(empty(words("search.empty"), words("search.empty_advice")))
        return

    async def load() -> list[Hit]:
        return await view.read(stories.search, asked or "")

    await view.show(load, lambda found: _draw_hits(view, found))


@page("/story/{kind}/{story_id:path}", title="story.title")
async def show_story(view: View) -> None:
    """The story of anything."""
    await _show(view, view.arg("kind") or "", view.arg("story_id") or "")


@page("/orders/{order_id}", title="kind.order")
async def show_order(view: View) -> None:
    """The story of an order."""
    await _show(view, "order", view.arg("order_id") or "")


async def _show(view: View, kind: str, story_id: str) -> None:
    async def load() -> Story:
        return await view.read(stories.story, kind, story_id)

    await view.show(load, lambda found: draw_story(view, found), every_s=4)


def _draw_hits(view: View, found: list[Hit]) -> None:
    words = view.words
    if not found:
        html(empty(words("search.none"), words("search.none_advice")))
        return
    columns = [
        Column("search.kind"),
        Column("search.what"),
        Column("search.matched"),
        Column("column.created", "time"),
    ]
    rows = [
        (
            words.name("kind", hit.kind),
            link(hit.title, hit_address(view, hit)),
            h("span", words.name("field", hit.matched), None if hit.exact else words("search.begins"), cls="muted"),
            moment(words, hit.when),
        )
        for hit in found
    ]
    html(table(words, columns, rows, caption="search.title"))
