"""One SKU over all places, and the list of SKUs with what the pool has of each. Needs ``ops:read``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.errors import NotFoundError
from canonical_model.store import atp, availability, velocity
from canonical_model.store.stock import Lot
from flows.one_stock.published import published
from flows.one_stock.rulebooks import rulebook_of
from flows.one_stock.supply import Limits, Shelf, SupplyWarning, velocity_is_stale, warn
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import supply
from hub_api.auth import Access

MAX_TEXT: Final = 200
MAX_PLACES: Final = 500
MAX_HOLDS: Final = 100
MAX_CHANNELS: Final = 12
PAGE_ROWS: Final = 50
SELLABLE: Final = "sellable"
LAST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class PlaceStock:
    """One level: what a place has of the SKU in one quality, by whose figure, and the batches in it.

    ``lat`` and ``lon`` are None where nobody told where the place is. ``as_of`` is None while its authority only sent
    changes; ``updated_at`` is when the hub last changed the figure. ``weekly``: units it sells a week, and ``warning``
    what that says of the shelf; None while nobody reckoned the sales lately.
    """

    level_id: int
    location_id: int
    location: str
    name: str
    kind: str
    lat: float | None
    lon: float | None
    active: bool
    quality: str
    on_hand: int
    held: int
    safety: int
    atp: int
    system: str
    figure: str
    as_of: datetime | None
    updated_at: datetime
    weekly: float | None = None
    warning: SupplyWarning | None = None
    lots: Sequence[Lot] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """The SKU, its levels (the most promisable place first) and the holds that lower what may be promised.

    ``totals`` has on_hand, held, safety, atp and places over the sellable levels. ``cut`` names what was too long.
    """

    sku_id: int
    code: str
    name: str
    spu: str
    status: str
    totals: Mapping[str, int]
    places: Sequence[PlaceStock]
    holds: Sequence[Row]
    cut: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a channel may sell of a SKU: in all, units of the pool that are kept from it, and units by place."""

    channel: str
    units: int
    safety: int
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ledger:
    """One page of movements, newest first; ``next`` is the id below which the following page begins."""

    items: Sequence[Row]
    next: int | None


@dataclass(frozen=True, slots=True)
class Goods:
    """One page of SKUs with their totals; ``next`` is the code after which the following page begins."""

    items: Sequence[Row]
    next: str | None


def search_goods(hub: Hub, access: Access, text: str | None, *, after: str | None = None) -> Goods:
    """SKUs whose code or SPU begins with ``text``, whose name contains it, or that go by it elsewhere (a barcode).

    None means all. By code, PAGE_ROWS a page.
    """
    access.require("ops", "read")
    wanted = (text or "").strip()
    given = {
        "owner": access.owner,
        "brand": access.brand,
        "text": wanted or None,
        "below": wanted + LAST,
        "inside": f"%{_escaped(wanted)}%",
        "after": after or "",
        "most": PAGE_ROWS + 1,
    }
    if len(wanted) > MAX_TEXT or not wanted.isprintable():
        return Goods([], None)
    with hub.database.unit() as uow:
        rows = uow.execute(_GOODS, given).fetchall()
    shown = rows[:PAGE_ROWS]
    return Goods(shown, shown[-1]["code"] if len(rows) > PAGE_ROWS else None)


def read_pool(hub: Hub, access: Access, code: str) -> Pool:
    """The SKU of that code everywhere. NotFoundError if the brand has none."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        sku = _sku(uow, access, code)
        given = {"owner": access.owner, "brand": access.brand, "sku": sku["id"]}
        levels = uow.execute(_LEVELS, given | {"most": MAX_PLACES + 1}).fetchall()
        holds = uow.execute(_HOLDS, given | {"most": MAX_HOLDS + 1}).fetchall()
        sells = _sells(uow, access, sku["id"])
        lots: dict[int, list[Lot]] = {}
        for row in uow.execute(_LOTS, {"levels": [level["level_id"] for level in levels]}):
            lots.setdefault(row.pop("level_id"), []).append(Lot(**row))
    places = [_place(level, sku["code"], sells, lots.get(level["level_id"], ())) for level in levels[:MAX_PLACES]]
    sellable = [place for place in places if place.quality == SELLABLE]
    totals = {name: sum(getattr(place, name) for place in sellable) for name in ("on_hand", "held", "safety", "atp")}
    totals["places"] = sum(1 for place in sellable if place.on_hand > 0)
    longer = {"places": len(levels) > MAX_PLACES, "holds": len(holds) > MAX_HOLDS}
    return Pool(
        sku_id=sku["id"],
        code=sku["code"],
        name=sku["name"],
        spu=sku["spu"],
        status=sku["status"],
        totals=totals,
        places=places,
        holds=holds[:MAX_HOLDS],
        cut=[name for name, is_longer in longer.items() if is_longer],
    )


def read_channels(hub: Hub, access: Access, code: str) -> list[Shown]:
    """What each channel is shown of the SKU.

    Channels are those of the rulebook and those that orders came from, at most MAX_CHANNELS.
    """
    access.require("ops", "read")
    now = datetime.now(UTC)
    with hub.database.unit() as uow:
        mine = (uow.connection, access.owner, access.brand)
        _sku(uow, access, code)
        goods = atp.find_goods(*mine, [code])
        sold = uow.execute(_CHANNELS, {"owner": access.owner, "brand": access.brand, "most": MAX_CHANNELS})
        channels = sorted({*rulebook_of(*mine).channels, *(row["channel"] for row in sold)})[:MAX_CHANNELS]
        shown = [published(*mine, goods, now=now, channel=channel) for channel in channels]
    return [
        Shown(channel, each.units, each.safety, {place.location: place.units for place in each.places})
        for channel, found in zip(channels, shown, strict=True)
        for each in found
    ]


def read_moves(hub: Hub, access: Access, code: str) -> dict[str, Any]:
    """Moves between places that would help, as ``supply.list_transfers`` tells them."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        return supply.list_transfers(uow, access, Limits(), skus=[code])


def read_ledger(hub: Hub, access: Access, code: str, *, place: str | None = None, before: int | None = None) -> Ledger:
    """What moved the SKU's figures (of one place), newest first. NotFoundError if the brand has no such SKU."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        sku = _sku(uow, access, code)
        given = {"owner": access.owner, "brand": access.brand, "sku": sku["id"], "place": place, "before": before}
        rows = uow.execute(_MOVEMENTS, given | {"most": PAGE_ROWS + 1}).fetchall()
    shown = rows[:PAGE_ROWS]
    return Ledger(shown, shown[-1]["id"] if len(rows) > PAGE_ROWS else None)


def _sells(uow: UnitOfWork, access: Access, sku_id: int) -> Mapping[int, float] | None:
    """Units that each place sells a week, by place id; None while the sales were not reckoned lately."""
    mine = (uow.connection, access.owner, access.brand)
    if velocity_is_stale(velocity.computed_at(*mine), datetime.now(UTC)):
        return None
    return {place: sold.get(sku_id, 0.0) for place, sold in availability.weekly_sales(*mine, [sku_id]).items()}


def _place(level: Row, sku: str, sells: Mapping[int, float] | None, lots: Sequence[Lot]) -> PlaceStock:
    spoken_at = level.pop("spoken_at")
    place = PlaceStock(**level, lots=tuple(lots))
    if sells is None or place.quality != SELLABLE:
        return place
    weekly = sells.get(place.location_id, 0.0)
    shelf = Shelf(place.level_id, sku, place.location, place.on_hand, place.atp, weekly, spoken_at)
    return replace(place, weekly=weekly, warning=warn(shelf, Limits(), datetime.now(UTC)))


def _sku(uow: UnitOfWork, access: Access, code: str) -> Row:
    found = uow.execute(
        "SELECT id, code, name, spu, status FROM sku WHERE owner = %s AND brand = %s AND code = %s",
        (access.owner, access.brand, code),
    ).fetchone()
    if found is None:
        raise NotFoundError(f"there is no SKU {code!r}", code="sku.unknown")
    return found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_GOODS: Final = """
    SELECT found.code, found.name, found.spu, found.status,
        coalesce(sums.on_hand, 0)::bigint AS on_hand, coalesce(sums.held, 0)::bigint AS held,
        coalesce(sums.safety, 0)::bigint AS safety, coalesce(sums.atp, 0)::bigint AS atp,
        coalesce(sums.places, 0)::bigint AS places
    FROM (
        SELECT id, code, name, spu, status FROM sku
        WHERE owner = %(owner)s AND brand = %(brand)s AND code > %(after)s
            AND (%(text)s::text IS NULL OR (code >= %(text)s AND code < %(below)s)
                OR (spu >= %(text)s AND spu < %(below)s) OR name ILIKE %(inside)s
                OR id IN (SELECT inner_id FROM crosswalk WHERE owner = %(owner)s AND brand = %(brand)s
                    AND kind = 'sku' AND outside_id = %(text)s))
        ORDER BY code LIMIT %(most)s
    ) AS found
    LEFT JOIN LATERAL (
        SELECT sum(on_hand) AS on_hand, sum(held) AS held, sum(safety) AS safety,
            sum(greatest(0, on_hand - safety - held)) AS atp, count(*) FILTER (WHERE on_hand > 0) AS places
        FROM stock_level
        WHERE sku_id = found.id AND owner = %(owner)s AND brand = %(brand)s AND quality = 'sellable'
    ) AS sums ON true
    ORDER BY found.code
"""
_LEVELS: Final = """
    SELECT level.id AS level_id, location.id AS location_id, location.code AS location,
        location.name, location.kind, location.lat, location.lon,
        location.active, level.quality, level.on_hand, level.held, level.safety,
        greatest(0, level.on_hand - level.safety - level.held) AS atp, level.system, level.figure, level.as_of,
        level.updated_at, greatest(level.as_of, level.last_delta_at) AS spoken_at
    FROM stock_level AS level JOIN location ON location.id = level.location_id
    WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.sku_id = %(sku)s
    ORDER BY level.quality = 'sellable' DESC, atp DESC, level.on_hand DESC, location.code, level.quality LIMIT %(most)s
"""
_CHANNELS: Final = """
    WITH RECURSIVE found (channel) AS (
        SELECT min(channel) FROM sales_order WHERE owner = %(owner)s AND brand = %(brand)s
        UNION ALL
        SELECT (SELECT min(channel) FROM sales_order
            WHERE owner = %(owner)s AND brand = %(brand)s AND channel > found.channel)
        FROM found WHERE found.channel IS NOT NULL
    )
    SELECT channel FROM found WHERE channel IS NOT NULL LIMIT %(most)s
"""
_LOTS: Final = """
    SELECT lot.level_id, lot.batch, lot.produced_on, lot.expires_on, lot.on_hand, lot.as_of
    FROM stock_lot AS lot JOIN stock_level AS level ON level.id = lot.level_id
    WHERE lot.level_id = ANY (%(levels)s::bigint[]) AND lot.as_of >= level.as_of
    ORDER BY lot.level_id, lot.expires_on NULLS LAST, lot.batch
"""
_HOLDS: Final = """
    SELECT hold.id, hold.reference, hold.line_no, hold.order_id,
        coalesce(sales_order.channel, checkout.channel) AS channel,
        coalesce(sales_order.order_no, checkout.order_no) AS order_no,
        location.code AS location, location.name AS location_name, level.quality, hold.quantity, hold.deducting,
        hold.state, hold.named, hold.picked, hold.created_at, hold.expires_at
    FROM stock_level AS level
    JOIN stock_hold AS hold ON hold.level_id = level.id AND hold.deducting > 0
    JOIN location ON location.id = level.location_id
    LEFT JOIN sales_order ON sales_order.id = hold.order_id
    LEFT JOIN checkout ON hold.order_id IS NULL AND checkout.owner = hold.owner AND checkout.brand = hold.brand
        AND checkout.id = substring(hold.reference FROM '^C([0-9]{8,18})-')::bigint
    WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.sku_id = %(sku)s
    ORDER BY hold.id DESC LIMIT %(most)s
"""
_MOVEMENTS: Final = """
    SELECT moved.*, location.code AS location, location.name AS location_name, level.quality
    FROM stock_level AS level JOIN location ON location.id = level.location_id
    CROSS JOIN LATERAL (
        SELECT id, delta, on_hand, reason, system, source_id, message_id, occurred_at, recorded_at
        FROM stock_movement
        WHERE level_id = level.id AND (%(before)s::bigint IS NULL OR id < %(before)s)
        ORDER BY id DESC LIMIT %(most)s) AS moved
    WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.sku_id = %(sku)s
        AND (%(place)s::text IS NULL OR location.code = %(place)s)
    ORDER BY moved.id DESC LIMIT %(most)s
"""
