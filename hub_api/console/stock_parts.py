"""A SKU over all places as pages show it: figures, map, places with their batches, holds, and the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from nicegui import ui

from canonical_model.store.stock import Lot
from flows.one_stock.supply import WarningKind
from flows.runtime.database import Row
from hub_api.console.html import Html, h, join
from hub_api.console.map_parts import Dot, draw_map
from hub_api.console.view import View, html
from hub_api.console.widgets import Column, code, counts, empty, link, moment, pager, panel, state, table
from hub_api.console.words import NOTHING
from hub_api.stock_view import Ledger, PlaceStock, Pool, Shown

SHOWN_LOTS: Final = 2
MOST_MOVES: Final = 6
SOON_DAYS: Final = 30
STALE_S: Final = 24 * 3600
SELLABLE: Final = "sellable"


def draw_figures(view: View, pool: Pool) -> None:
    """What the whole pool has."""
    totals = pool.totals
    figures = [
        ("stock.atp", totals["atp"], "good"),
        ("stock.on_hand", totals["on_hand"], ""),
        ("stock.held", totals["held"], ""),
        ("stock.safety", totals["safety"], ""),
        ("stock.places_with", totals["places"], ""),
    ]
    html(counts(view.words, figures))
    if pool.cut:
        html(h("p", view.words("stock.cut"), cls="muted"))


def channel_units(channels: Sequence[Shown], channel: str | None) -> Mapping[str, int] | None:
    """What a channel may be promised of each place, by code; None without a channel."""
    return next((each.places for each in channels if each.channel == channel), None)


def draw_channels(view: View, path: str, channels: Sequence[Shown], chosen: str | None) -> None:
    """What each channel is shown; choosing one shows the places as it sees them."""
    words = view.words
    columns = [
        Column("field.channel", "code"),
        Column("stock.shown", "number"),
        Column("stock.kept_back", "number"),
        Column("stock.places_with", "number"),
    ]
    rows = [
        (
            link(
                code(each.channel),
                view.link(path, channel=each.channel),
                aria_current=each.channel == chosen and "true",
            ),
            h("b", words.number(each.units)),
            _quiet(words.number(each.safety), each.safety),
            words.number(len(each.places)),
        )
        for each in channels
    ]
    none = empty(words("stock.no_channels"), words("stock.no_channels_advice"))
    whole = link(words("stock.whole_pool"), view.link(path)) if chosen else None
    shown = table(words, columns, rows, caption="stock.channels") if rows else none
    html(panel(words("stock.channels"), shown, beside=whole))


def draw_moves(view: View, moves: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Goods that would lie better elsewhere."""
    words = view.words
    if moves["sales_stale"]:
        html(panel(words("stock.moves"), h("p", words("stock.sales_stale"), cls="muted")))
        return
    said = [
        h(
            "li",
            names.get(move["from_location"], move["from_location"]),
            " → ",
            names.get(move["to_location"], move["to_location"]),
            h("b", f" × {words.number(move['units'])}"),
            h("span", " ", words("rules.km", count=f"{move['km']:,.0f}"), cls="muted")
            if move["km"] is not None
            else None,
        )
        for move in moves["items"][:MOST_MOVES]
    ]
    shown = h("ul", said, cls="bullets") if said else h("p", words("stock.no_moves"), cls="muted")
    html(panel(words("stock.moves"), shown))


def seen_by(places: Sequence[PlaceStock], units: Mapping[str, int] | None) -> list[PlaceStock]:
    """The sellable places with what a channel may be promised of each; all as they are without a channel."""
    if units is None:
        return list(places)
    own = [replace(place, atp=units.get(place.location, 0)) for place in places if place.quality == SELLABLE]
    return sorted(own, key=lambda place: (-place.atp, place.location))


def draw_places_map(view: View, places: Sequence[PlaceStock]) -> None:
    """Where it lies: the more may be promised, the larger the dot."""
    words = view.words
    sellable = [place for place in places if place.quality == SELLABLE]
    known = [place for place in sellable if place.lat is not None and place.lon is not None]
    with ui.element("div").classes("panel"):
        html(h("header", h("h2", words("stock.map")), h("div", _legend(view), cls="beside"))).classes("panel-head")
        if known:
            most = max(1, *(place.atp for place in known))
            draw_map([_dot(view, place, most) for place in known], label=words("stock.map"))
        else:
            html(empty(words("stock.no_points"), words("stock.no_points_advice")))
        if unknown := len(sellable) - len(known):
            html(h("p", words("stock.without_point", count=unknown), cls="muted map-note"))


def draw_places(view: View, places: Sequence[PlaceStock]) -> None:
    """Every place and quality as a row, the most promisable first."""
    words = view.words
    columns = [
        Column("field.location"),
        Column("field.kind"),
        Column("stock.atp", "number"),
        Column("stock.on_hand", "number"),
        Column("stock.held", "number"),
        Column("stock.safety", "number"),
        Column("stock.sells", "number"),
        Column("stock.lots"),
        Column("stock.authority"),
        Column("stock.fresh", "time"),
    ]
    most = max([1, *(place.atp for place in places)])
    rows = [_place_row(view, place, most) for place in places]
    body = table(words, columns, rows, caption="stock.places") if rows else _no_levels(view)
    html(panel(words("stock.places"), body, beside=h("span", words("stock.formula"), cls="muted")))


def draw_holds(view: View, holds: Sequence[Row]) -> None:
    """What keeps units from being promised: orders' parcels and shoppers' checkouts."""
    words = view.words
    columns = [
        Column("stock.held_for"),
        Column("stock.parcel", "code"),
        Column("field.location"),
        Column("field.quantity", "number"),
        Column("field.deducting", "number"),
        Column("column.state"),
        Column("stock.age", "time"),
        Column("field.expires_at", "time"),
    ]
    rows = [_hold_row(view, hold) for hold in holds]
    none = empty(words("stock.no_holds"), words("stock.no_holds_advice"))
    html(panel(words("stock.holds"), table(words, columns, rows, caption="stock.holds") if rows else none))


def draw_ledger(view: View, path: str, ledger: Ledger, place: str | None) -> None:
    """Each change of a figure, newest first."""
    words = view.words
    columns = [
        Column("field.recorded_at", "time"),
        Column("field.location"),
        Column("field.delta", "number"),
        Column("stock.after", "number"),
        Column("field.reason"),
        Column("column.system"),
        Column("field.message_id", "code"),
    ]
    rows = [
        (
            moment(words, row["recorded_at"]),
            _place_name(row["location_name"], row["location"]),
            h("b", f"{row['delta']:+,}", cls="plus" if row["delta"] > 0 else "minus"),
            words.number(row["on_hand"]),
            words.name("word", row["reason"]),
            row["system"],
            link(code(row["message_id"]), view.link(f"/messages/{row['message_id']}")),
        )
        for row in ledger.items
    ]
    none = empty(words("stock.no_movements"), words("stock.no_movements_advice"))
    shown = table(words, columns, rows, caption="stock.ledger") if rows else none
    html(panel(words("stock.ledger"), shown, beside=_of_place(view, path, place)))
    html(join(pager(view, path, ledger.next, "before", place=place)))


def _of_place(view: View, path: str, place: str | None) -> Html | None:
    if place is None:
        return None
    return join(code(place), " ", link(view.words("stock.all_places"), view.link(path)))


def _no_levels(view: View) -> Html:
    return empty(view.words("stock.nowhere"), view.words("stock.nowhere_advice"))


def _legend(view: View) -> list[Html]:
    tones = (("good", "stock.tone_good"), ("warn", "stock.tone_warn"), ("bad", "stock.tone_bad"))
    return [h("span", view.words(key), cls=f"legend {tone}") for tone, key in tones]


def _tone(place: PlaceStock) -> str:
    """Whether there is enough, less than is promised already, or nothing left to promise."""
    if place.atp == 0:
        return "bad"
    return "warn" if place.atp < place.held else "good"


def _dot(view: View, place: PlaceStock, most: int) -> Dot:
    words = view.words
    told = words(
        "stock.dot",
        name=place.name,
        atp=words.number(place.atp),
        on_hand=words.number(place.on_hand),
        held=words.number(place.held),
        safety=words.number(place.safety),
    )
    assert place.lat is not None
    assert place.lon is not None
    return Dot(place.name, place.lat, place.lon, weight=place.atp / most, tone=_tone(place), told=told)


def _place_row(view: View, place: PlaceStock, most: int) -> tuple[Any, ...]:
    words = view.words
    filled = h("span", style=f"width:{100 * place.atp / most:.0f}%", cls=_tone(place))
    quality = None if place.quality == SELLABLE else state(words, "word", place.quality)
    return (
        join(_place_name(place.name, place.location), " ", quality or ""),
        h("span", words.name("word", place.kind), cls="lot"),
        h("span", h("b", words.number(place.atp)), h("span", filled, cls="meter"), cls="metered"),
        words.number(place.on_hand),
        _quiet(words.number(place.held), place.held),
        _quiet(words.number(place.safety), place.safety),
        _sells(view, place),
        _lots(view, place.lots),
        h("span", place.system, h("span", f" · {words.name('word', place.figure)}", cls="muted"), cls="lot"),
        _freshness(view, place),
    )


def _sells(view: View, place: PlaceStock) -> Html:
    """Units a week, for how many weeks that lasts, and what that says."""
    words, warning = view.words, place.warning
    if place.weekly is None:
        return h("span", NOTHING, cls="muted")
    lasts = words("stock.weeks", count=f"{place.atp / place.weekly:,.1f}") if place.weekly else None
    told = None
    if warning is not None and warning.kind is not WarningKind.STALE:
        told = state(words, "supply", warning.kind)
    return h(
        "span", h("span", f"{place.weekly:,.1f}"), h("span", lasts, cls="muted") if lasts else None, told, cls="lots"
    )


def _place_name(name: str, location: str) -> Html:
    return h("span", name, " ", h("code", location, cls="muted"), cls="place")


def _quiet(text: str, value: int) -> Html | str:
    return text if value else h("span", text, cls="muted")


def _lots(view: View, lots: Sequence[Lot]) -> Html:
    """The batches that expire first, each with its units."""
    if not lots:
        return h("span", NOTHING, cls="muted")
    shown = [
        h("span", _expiry(view, lot.expires_on), f" × {view.words.number(lot.on_hand)}", title=lot.batch, cls="lot")
        for lot in lots[:SHOWN_LOTS]
    ]
    rest = len(lots) - SHOWN_LOTS
    more = h("span", view.words("stock.more_lots", count=rest), cls="muted") if rest > 0 else None
    return h("span", shown, more, cls="lots")


def _expiry(view: View, day: date | None) -> Html:
    if day is None:
        return h("span", view.words("stock.no_expiry"), cls="muted")
    left = (day - datetime.now(UTC).date()).days
    tone = "bad" if left < 0 else "warn" if left < SOON_DAYS else ""
    return h("time", day.isoformat(), datetime=day.isoformat(), cls=tone, title=view.words("stock.days", count=left))


def _freshness(view: View, place: PlaceStock) -> Html:
    """When its authority last counted, or last sent a change; marked when that is long ago."""
    when = place.as_of or place.updated_at
    old = (datetime.now(UTC) - when).total_seconds() > STALE_S
    told = h("span", view.words("stock.changes_only"), cls="muted") if place.as_of is None else None
    return h("span", moment(view.words, when), told, cls="stale" if old else None)


def _hold_row(view: View, hold: Row) -> tuple[Any, ...]:
    words = view.words
    number = f"{hold['channel']} {hold['order_no']}" if hold["order_no"] else None
    whose: Any = h("span", words("stock.checkout"), h("span", " ", number, cls="muted") if number else None)
    if hold["order_id"] is not None:
        whose = link(number, view.link(f"/orders/{hold['order_id']}"))
    expires = moment(words, hold["expires_at"]) if hold["expires_at"] else h("span", words("stock.kept"), cls="muted")
    age = h("span", words.ago(hold["created_at"]), title=words.full_time(hold["created_at"]))
    return (
        whose,
        code(hold["reference"]),
        _place_name(hold["location_name"], hold["location"]),
        words.number(hold["quantity"]),
        words.number(hold["deducting"]),
        state(words, "word", hold["state"]),
        age,
        expires,
    )
