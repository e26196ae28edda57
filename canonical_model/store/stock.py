"""Stock: what is there, what is held of it, and what may be promised.

``atp = max(0, on_hand - safety - held)``. docs/architecture.md, "Stock", says how facts and holds move it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow, class_row

from canonical_model.errors import NotFoundError
from canonical_model.store.facts import FactsApplied, Unresolved, apply_facts
from canonical_model.store.holds import (
    Ended,
    Full,
    Held,
    HoldAsked,
    HoldLine,
    ShippedLine,
    Short,
    accept,
    expire_due,
    hold,
    hold_each,
    hold_many,
    list_holds,
    pick,
    release,
    ship,
)
from canonical_model.store.shortfalls import (
    Shortfall,
    find_open_shortfall,
    list_shortfalls,
    recallable_holds,
    resolve_shortfall,
)

__all__ = [
    "Difference",
    "Ended",
    "FactsApplied",
    "Full",
    "Held",
    "HoldAsked",
    "HoldLine",
    "Lot",
    "ShippedLine",
    "Short",
    "Shortfall",
    "StockView",
    "Unresolved",
    "accept",
    "apply_facts",
    "expire_due",
    "find_open_shortfall",
    "hold",
    "hold_each",
    "hold_many",
    "list_holds",
    "list_lots",
    "list_shortfalls",
    "pick",
    "recallable_holds",
    "release",
    "resolve_shortfall",
    "set_safety",
    "ship",
    "stock_view",
    "verify",
]

MAX_PAGE: Final = 1000
MAX_DIFFERENCES: Final = 1000

_WRONG_LEVELS: Final = """
    SELECT level.id AS level_id, rule, found, expected
    FROM stock_level AS level
    LEFT JOIN (
        SELECT level_id, sum(delta) AS on_hand FROM stock_movement GROUP BY level_id
    ) AS moved ON moved.level_id = level.id
    LEFT JOIN (
        SELECT level_id, sum(deducting) AS held,
            sum(deducting) FILTER (WHERE state IN ('released', 'expired')) AS ended
        FROM stock_hold WHERE deducting > 0 GROUP BY level_id
    ) AS deducting ON deducting.level_id = level.id
    CROSS JOIN LATERAL (VALUES
        ('on_hand is the sum of its movements', level.on_hand, coalesce(moved.on_hand, 0)::bigint),
        ('held is the sum of its deducting holds', level.held, coalesce(deducting.held, 0)::bigint),
        ('a hold that was given back deducts nothing', coalesce(deducting.ended, 0)::bigint, 0)
    ) AS rules (rule, found, expected)
    WHERE found <> expected
    ORDER BY level.id, rule LIMIT %s
"""
_WRONG_LOADS: Final = """
    SELECT NULL AS level_id, rule, found, expected, location_id
    FROM (
        SELECT location_id, day, coalesce(load.parcels, 0) AS parcels, coalesce(taken.slots, 0) AS slots,
            coalesce(taken.dead, 0) AS dead
        FROM place_day AS load FULL JOIN (
            SELECT slot.location_id, slot.day, count(*) AS slots, count(*) FILTER (WHERE NOT EXISTS (
                SELECT FROM stock_hold AS hold
                WHERE hold.owner = slot.owner AND hold.brand = slot.brand AND hold.reference = slot.reference
                    AND hold.state IN ('active', 'shipped'))) AS dead
            FROM place_slot AS slot GROUP BY slot.location_id, slot.day
        ) AS taken USING (location_id, day)
    ) AS load
    CROSS JOIN LATERAL (VALUES
        ('parcels of a day are its slots', parcels, slots),
        ('a slot has a parcel that is held or left', dead, 0)
    ) AS rules (rule, found, expected)
    WHERE found <> expected
    ORDER BY location_id, day, rule LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class StockView:
    """One level in the hub's own codes; ``as_of`` is None while its authority only sent deltas."""

    level_id: int
    sku: str
    location: str
    quality: str
    on_hand: int
    held: int
    safety: int
    atp: int
    system: str
    as_of: datetime | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Lot:
    """A batch inside a level, as the authority's last count has it."""

    batch: str
    produced_on: date | None
    expires_on: date | None
    on_hand: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a level, or of a place on some day, that does not agree with what it is the fold of."""

    level_id: int | None
    rule: str
    found: int
    expected: int
    location_id: int | None = None


def stock_view(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    skus: Sequence[str] | None = None,
    locations: Sequence[str] | None = None,
    quality: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[StockView]:
    """Up to ``limit`` (at most MAX_PAGE) levels with an id above ``after``, by id; None means any."""
    with connection.cursor(row_factory=class_row(StockView)) as cursor:
        return cursor.execute(
            """
            SELECT level.id AS level_id, sku.code AS sku, location.code AS location, level.quality, level.on_hand,
                level.held, level.safety, greatest(0, level.on_hand - level.safety - level.held) AS atp,
                level.system, level.as_of, level.sequence
            FROM stock_level AS level
            JOIN sku ON sku.id = level.sku_id
            JOIN location ON location.id = level.location_id
            WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.id > %(after)s
                AND (%(skus)s::text[] IS NULL OR sku.code = ANY (%(skus)s))
                AND (%(locations)s::text[] IS NULL OR location.code = ANY (%(locations)s))
                AND (%(quality)s::text IS NULL OR level.quality = %(quality)s)
            ORDER BY level.id LIMIT %(limit)s
            """,
            {
                "owner": owner,
                "brand": brand,
                "after": after,
                "skus": None if skus is None else list(skus),
                "locations": None if locations is None else list(locations),
                "quality": quality,
                "limit": min(limit, MAX_PAGE),
            },
        ).fetchall()


def list_lots(connection: Connection[DictRow], level_id: int) -> list[Lot]:
    """The batches of a level, earliest expiry first; none when its last count did not tell batches apart."""
    with connection.cursor(row_factory=class_row(Lot)) as cursor:
        return cursor.execute(
            """
            SELECT lot.batch, lot.produced_on, lot.expires_on, lot.on_hand, lot.as_of
            FROM stock_lot AS lot JOIN stock_level AS level ON level.id = lot.level_id
            WHERE level.id = %s AND lot.as_of >= level.as_of
            ORDER BY lot.expires_on NULLS LAST, lot.batch
            """,
            [level_id],
        ).fetchall()


def set_safety(connection: Connection[DictRow], level_id: int, safety: int) -> list[Shortfall]:
    """Keep ``safety`` units of a level back; what is short because of it. NotFoundError for an unknown level."""
    changed = connection.execute(
        "UPDATE stock_level SET safety = %s, updated_at = clock_timestamp() WHERE id = %s", [safety, level_id]
    )
    if changed.rowcount == 0:
        raise NotFoundError(f"no stock level {level_id}", code="stock.unknown_level")
    connection.execute("SELECT note_stock_changes(ARRAY[%s]::bigint[])", [level_id])
    rows = connection.execute("SELECT id FROM settle_stock_shortfalls(ARRAY[%s]::bigint[], 'safety')", [level_id])
    return list_shortfalls(connection, [row["id"] for row in rows])


def verify(connection: Connection[DictRow]) -> list[Difference]:
    """Up to MAX_DIFFERENCES figures that are not the fold of what they stand for; none in good books.

    Levels against their movements and holds; places' days against the slots taken, and slots against holds.
    """
    with connection.cursor(row_factory=class_row(Difference)) as cursor:
        levels = cursor.execute(_WRONG_LEVELS, [MAX_DIFFERENCES]).fetchall()
        return levels + cursor.execute(_WRONG_LOADS, [MAX_DIFFERENCES - len(levels)]).fetchall()
