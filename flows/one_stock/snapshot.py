"""What many orders choose from: places, their stock and how far they are, read once and lowered by every plan.

A snapshot promises nothing. Its plans are held by ``hold_many``, which looks again under the levels' locks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import asin, cos, dist, radians, sin
from typing import Any, Final
from zoneinfo import ZoneInfo

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import availability
from canonical_model.store.availability import PoolOf
from canonical_model.store.checkouts import Kept
from canonical_model.store.holds import HoldLine
from flows.one_stock.geography import EARTH_RADIUS_KM
from flows.one_stock.routing.listed import Listed
from flows.one_stock.routing.problem import Item, PlannedParcel, Problem
from flows.one_stock.routing.record import packed_facts
from flows.one_stock.routing.rulebook import Rules, TierName

PLACES_ZONE: Final = ZoneInfo("Asia/Shanghai")
MAX_DESTINATIONS: Final = 20_000

Shelf = tuple[str, date | None]
"""Which goods an order takes: their quality, and the day before which they must not expire."""

Own = Kept
"""Units that an order holds already, with their parcel's slot: they are its to use."""

Turned = tuple[float, float, float]
"""A point as a unit vector from the middle of the earth."""

_DAY: Final = timedelta(days=1)
_TURN_M: Final = 2_000 * EARTH_RADIUS_KM
_SHARED: Final = ("id", "code", "kind", "brand", "rating", "acceptance", "open")

_distances: dict[tuple[Turned | None, ...], dict[tuple[float, float], "Ways"]] = {}


@dataclass(frozen=True, slots=True)
class Ways:
    """How far every place is from a buyer; their positions by that, where it is known of all."""

    km: list[float | None]
    nearest: list[int] | None


@dataclass(frozen=True, slots=True)
class Wish:
    """An order to be planned. ``refused``: places not to be asked again, with the reason. ``promised_at``: when the
    goods are to be there."""

    order_id: int
    channel: str
    rules: Rules
    items: tuple[Item, ...]
    lat: float | None = None
    lon: float | None = None
    region_code: str | None = None
    member_code: str | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    own: tuple[Own, ...] = ()
    promised_at: datetime | None = None

    @property
    def sku_ids(self) -> set[int]:
        """What it wants."""
        return {part.sku_id for item in self.items for part in item.parts}


@dataclass(slots=True)
class _Fact:
    """What is the same of a place for every order of a batch."""

    row: Mapping[str, Any]
    id: int
    code: str
    kind: str
    brand: str
    rating: float | None
    acceptance: float | None
    open: bool
    capacity_left: int | None
    days: float | None = None


@dataclass(slots=True)
class _Goods:
    """The goods of one shelf: levels by SKU; what is left by place and SKU, and the same by SKU, place by place.
    ``held``: what is left, place by place; ``has``: see ``Listed``."""

    pools: dict[int, PoolOf]
    left: dict[int, dict[int, int]]
    columns: dict[int, list[int]]
    held: list[dict[int, int]]
    has: dict[int, bytes] = field(default_factory=dict)
    levels: dict[tuple[int, int], int] = field(default_factory=dict)


class Snapshot:
    """The pool of one brand as it is now. ``problem`` and ``take`` in turns, one order after another."""

    def __init__(
        self,
        connection: Connection[DictRow],
        owner: str,
        brand: str,
        wishes: Sequence[Wish],
        *,
        now: datetime,
        member_schemes: Sequence[str] = (),
    ) -> None:
        self._brand = brand
        self._now = now
        local = now.astimezone(PLACES_ZONE)
        self.day: Final = local.date()
        rows = availability.list_places(connection, owner, brand, self.day)
        self._facts = [_fact(row, brand, local) for row in rows]
        self._is_any_bounded = any(row["service_regions"] or row["service_radius_km"] is not None for row in rows)
        self._ids = [row["id"] for row in rows]
        self._points = tuple(_point(row) for row in rows)
        self._known_ways = _known_ways(self._points)
        self._limited = [n for n, fact in enumerate(self._facts) if fact.capacity_left is not None]
        self._position = {place_id: n for n, place_id in enumerate(self._ids)}
        self._goods = self._read_goods(connection, owner, brand, wishes)
        self._weekly = self._read_weekly(connection, owner, brand, wishes)
        codes = sorted({wish.member_code for wish in wishes if wish.member_code})
        self._stores = availability.home_stores(connection, owner, brand, member_schemes, codes)
        self._packed: Final = packed_facts(self._facts)
        self._columns: Final = {name: [getattr(fact, name) for fact in self._facts] for name in _SHARED}
        self._again = Counter(_where(wish) for wish in wishes)
        self._near: dict[tuple[Any, ...], Listed] = {}

    def shelf(self, rules: Rules) -> Shelf:
        """The goods that the rules allow today."""
        days = rules.minimum_remaining_days
        return rules.quality, self.day + timedelta(days=days) if days else None

    def problem(self, wish: Wish) -> Problem:
        """What there is to decide about the order. Its places' stock is live: decide before the next order takes."""
        shelf = self.shelf(wish.rules)
        self._lend(wish, shelf, 1)
        where = _where(wish)
        near = self._near.get((shelf, where)) or self._places(wish, shelf)
        if self._again[where] > 1:
            self._near[shelf, where] = near
        promised_days = None if wish.promised_at is None else round((wish.promised_at - self._now) / _DAY, 3)
        return Problem(wish.items, self._own_view(near, wish, shelf), wish.channel, self._brand, promised_days)

    def take(self, wish: Wish, parcels: Sequence[PlannedParcel]) -> None:
        """Lower what is left by the order's plan; call it after each ``problem``, with no parcels if none are sent."""
        shelf = self.shelf(wish.rules)
        if not parcels:
            self._lend(wish, shelf, -1)
        for parcel in parcels:
            fact = self._facts[self._position[parcel.place_id]]
            if fact.capacity_left is not None:
                fact.capacity_left -= 1
            for line in parcel.lines:
                self._lower(shelf, parcel.place_id, line.sku_id, line.quantity)

    def hold_lines(self, wish: Wish, parcel: PlannedParcel) -> list[HoldLine]:
        """The levels of a planned parcel's lines."""
        goods = self._goods[self.shelf(wish.rules)]
        return [
            HoldLine(
                line.line_no,
                self._level(goods, parcel.place_id, line.sku_id),
                line.quantity,
                goods.pools[line.sku_id].min_expiry if line.sku_id in goods.pools else None,
            )
            for line in parcel.lines
        ]

    def _read_goods(
        self, connection: Connection[DictRow], owner: str, brand: str, wishes: Sequence[Wish]
    ) -> dict[Shelf, _Goods]:
        wanted: dict[Shelf, set[int]] = {}
        for wish in wishes:
            wanted.setdefault(self.shelf(wish.rules), set()).update(wish.sku_ids)
        goods, position = {}, self._position
        for (quality, min_expiry), sku_ids in wanted.items():
            pools = availability.pool(connection, owner, brand, sorted(sku_ids), quality, min_expiry)
            left: dict[int, dict[int, int]] = {place_id: {} for place_id in self._ids}
            read = _Goods(pools, left, {}, list(left.values()))
            for sku_id in sku_ids:
                column = read.columns[sku_id] = [0] * len(self._ids)
                if pool := pools.get(sku_id):
                    for n, units in zip(map(position.get, pool.location_ids), pool.atp, strict=True):
                        if n is not None:
                            column[n] = read.held[n][sku_id] = units
            goods[quality, min_expiry] = read
        return goods

    def _read_weekly(
        self, connection: Connection[DictRow], owner: str, brand: str, wishes: Sequence[Wish]
    ) -> dict[int, dict[int, float]]:
        asking = [wish for wish in wishes if any(tier.by is TierName.VELOCITY for tier in wish.rules.tiers)]
        sku_ids = set().union(*(wish.sku_ids for wish in asking))
        return availability.weekly_sales(connection, owner, brand, sorted(sku_ids)) if sku_ids else {}

    def _places(self, wish: Wish, shelf: Shelf) -> Listed:
        goods, weekly = self._goods[shelf], self._weekly
        ways = self._ways(wish)
        columns: dict[str, Sequence[Any]] = {**self._columns, "km": ways.km}
        if self._is_any_bounded:
            columns["serves"] = [
                _serves(fact.row, wish.region_code, far) for fact, far in zip(self._facts, ways.km, strict=True)
            ]
        return Listed(
            columns,
            goods.held,
            goods.columns,
            known=goods.has,
            weekly=[weekly.get(place_id, {}) for place_id in self._ids] if weekly else None,
            nearest=ways.nearest,
            facts=self._packed,
        )

    def _own_view(self, near: Listed, wish: Wish, shelf: Shelf) -> Listed:
        """The places with what is different for this order, or at this moment."""
        home = self._position.get(self._stores.get(wish.member_code or "", -1), -1) if wish.member_code else -1
        if not (self._limited or wish.refused or home >= 0):
            return near
        columns, count = dict(near.columns), len(near)
        if self._limited:
            columns["capacity_left"] = [fact.capacity_left for fact in self._facts]
        if wish.refused:
            columns["refused"] = [wish.refused.get(place_id) for place_id in self._ids]
        if home >= 0:
            columns["is_members"] = [n == home for n in range(count)]
        goods = self._goods[shelf]
        return Listed(
            columns,
            goods.held,
            goods.columns,
            known=goods.has,
            weekly=near.weekly,
            nearest=near.nearest,
            facts=near.facts,
        )

    def _ways(self, wish: Wish) -> Ways:
        if wish.lat is None or wish.lon is None:
            return Ways([None] * len(self._points), None)
        known, buyer = self._known_ways, (wish.lat, wish.lon)
        found = known.get(buyer)
        if found is None:
            if len(known) >= MAX_DESTINATIONS:
                known.clear()
            found = known[buyer] = _ways(_far(*buyer, self._points))
        return found

    def _lend(self, wish: Wish, shelf: Shelf, sign: int) -> None:
        goods = self._goods[shelf]
        for own in wish.own:
            if own.location_id in goods.left and own.sku_id in goods.columns:
                self._move(goods, own.location_id, own.sku_id, sign * own.units)
                goods.levels[own.location_id, own.sku_id] = own.level_id
        for place_id in {(own.reference, own.location_id): own.location_id for own in wish.own}.values():
            fact = self._facts[self._position[place_id]] if place_id in self._position else None
            if fact is not None and fact.capacity_left is not None:
                fact.capacity_left += sign

    def _lower(self, shelf: Shelf, place_id: int, sku_id: int, units: int) -> None:
        """Goods that one shelf gives are gone from those of that quality that ask no longer life; one that asks for a
        longer life has at most what is left."""
        quality, until = shelf
        self._move(self._goods[shelf], place_id, sku_id, -units)
        rest = self._goods[shelf].left[place_id][sku_id]
        for (other, day), goods in self._goods.items():
            if other != quality or day == until or sku_id not in goods.left[place_id]:
                continue
            shorter = day is None or (until is not None and day < until)
            gone = units if shorter else max(0, goods.left[place_id][sku_id] - rest)
            self._move(goods, place_id, sku_id, -gone)

    def _move(self, goods: _Goods, place_id: int, sku_id: int, units: int) -> None:
        left, column, n = goods.left[place_id], goods.columns[sku_id], self._position[place_id]
        before, after = column[n], max(0, left.get(sku_id, 0) + units)
        left[sku_id] = column[n] = after
        if bool(before) != bool(after):
            goods.has.pop(sku_id, None)

    def _level(self, goods: _Goods, place_id: int, sku_id: int) -> int:
        known = goods.levels.get((place_id, sku_id))
        if known is not None:
            return known
        pool = goods.pools[sku_id]
        return pool.level_ids[pool.location_ids.index(place_id)]


def distances_km(lat: float, lon: float, points: Sequence[tuple[float, float] | None]) -> list[float | None]:
    """``distance_km`` from each of ``points`` to one buyer, to the metre; None where there is no point."""
    return _far(lat, lon, [turn(*point) if point else None for point in points])


def _far(lat: float, lon: float, points: Sequence[Turned | None]) -> list[float | None]:
    here = turn(lat, lon)
    return [
        None
        if point is None
        else int(_TURN_M * asin(half if (half := dist(point, here) * 0.5) < 1.0 else 1.0) + 0.5) / 1000
        for point in points
    ]


def turn(lat: float, lon: float) -> Turned:
    """The point as a vector: half the chord between two such is the sine of half the angle."""
    north, east = radians(lat), radians(lon)
    return cos(north) * cos(east), cos(north) * sin(east), sin(north)


def _ways(km: list[float | None]) -> Ways:
    far = [each for each in km if each is not None]
    return Ways(km, sorted(range(len(km)), key=far.__getitem__) if len(far) == len(km) else None)


def _known_ways(points: tuple[Turned | None, ...]) -> dict[tuple[float, float], Ways]:
    """What is remembered of the ways from those places; of others nothing is."""
    known = _distances.get(points)
    if known is None:
        _distances.clear()
        known = _distances[points] = {}
    return known


def _point(row: Mapping[str, Any]) -> Turned | None:
    return None if row["lat"] is None or row["lon"] is None else turn(row["lat"], row["lon"])


def _where(wish: Wish) -> tuple[float | None, float | None, str | None]:
    return wish.lat, wish.lon, wish.region_code


def _fact(row: Mapping[str, Any], brand: str, now: datetime) -> _Fact:
    brands = row["brands"] or ()
    left = None if row["capacity"] is None else max(0, row["capacity"] - row["parcels"])
    return _Fact(
        row,
        row["id"],
        row["code"],
        row["kind"],
        brand if not brands or brand in brands else brands[0],
        row["rating"],
        round(row["accepted"] / row["asked"], 3) if row["asked"] else None,
        is_open(row["hours"] or (), now),
        left,
    )


def is_open(hours: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    """Whether a place with these hours (canonical, as JSON) works at ``now``, in its own time. None stated: always."""
    clock = f"{now:%H:%M}"
    today, yesterday = now.isoweekday(), (now - timedelta(days=1)).isoweekday()
    for each in hours:
        days, opens, closes = each.get("days") or range(1, 8), each["opens"], each["closes"]
        late = closes <= opens
        if today in days and opens <= clock and (late or clock < closes):
            return True
        if late and yesterday in days and clock < closes:
            return True
    return not hours


def _serves(row: Mapping[str, Any], region_code: str | None, km: float | None) -> bool:
    """Whether the buyer lies in a stated region or the radius; where neither can be told, yes."""
    regions, radius = row["service_regions"] or (), row["service_radius_km"]
    told = []
    if regions and region_code:
        told.append(any(region_code.startswith(_within(region)) for region in regions))
    if radius is not None and km is not None:
        told.append(km <= radius)
    return any(told) or not told


def _within(region: str) -> str:
    """What the codes of everything in a region begin with: ``330000`` is all of Zhejiang."""
    return region[:2] if region.endswith("0000") else region[:4] if region.endswith("00") else region
