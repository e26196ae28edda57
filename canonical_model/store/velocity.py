"""How fast goods sell and how well places work, reckoned anew from what was shipped and carried out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow, class_row

from canonical_model.store.crosswalk import HUB

WINDOW_DAYS: Final = 28

_SOLD: Final = """
    WITH sold AS (
        SELECT (line ->> 'sku_id')::bigint AS sku_id, parcel.location_id, (line ->> 'shipped')::bigint AS units
        FROM parcel CROSS JOIN LATERAL jsonb_array_elements(parcel.lines) AS line
        WHERE parcel.owner = %(owner)s AND parcel.brand = %(brand)s AND parcel.status = 'shipped'
            AND parcel.shipped_at > %(since)s AND parcel.shipped_at <= %(now)s
        UNION ALL
        SELECT line.sku_id, place.inner_id, line.quantity
        FROM sales_order AS sale
        JOIN sales_order_line AS line ON line.order_id = sale.id
        CROSS JOIN LATERAL (
            SELECT inner_id FROM crosswalk
            WHERE owner = sale.owner AND brand = sale.brand AND kind = 'location'
                AND scheme IN (sale.system, %(hub)s) AND outside_id = sale.body ->> 'store'
            ORDER BY scheme = %(hub)s LIMIT 1
        ) AS place
        WHERE sale.owner = %(owner)s AND sale.brand = %(brand)s AND sale.kind = 'carry_out'
            AND sale.status <> 'cancelled' AND sale.placed_at > %(since)s AND sale.placed_at <= %(now)s
    )
    INSERT INTO stock_velocity AS known (sku_id, location_id, owner, brand, weekly, days, computed_at)
    SELECT sku_id, location_id, %(owner)s, %(brand)s, sum(units) * 7.0 / %(days)s, %(days)s, %(now)s
    FROM sold GROUP BY sku_id, location_id HAVING sum(units) > 0
    ORDER BY sku_id, location_id
    ON CONFLICT (sku_id, location_id) DO UPDATE SET
        weekly = excluded.weekly, days = excluded.days, computed_at = excluded.computed_at
"""

_NO_LONGER_SOLD: Final = """
    DELETE FROM stock_velocity WHERE owner = %(owner)s AND brand = %(brand)s AND computed_at < %(now)s
"""

_WORKED: Final = """
    INSERT INTO place_figures AS known (location_id, owner, brand, asked, accepted, days, computed_at)
    SELECT place.id, place.owner, place.brand, count(parcel.id),
        count(parcel.id) FILTER (WHERE parcel.status IN ('accepted', 'shipped')), %(days)s, %(now)s
    FROM location AS place
    LEFT JOIN parcel ON parcel.owner = place.owner AND parcel.brand = place.brand AND parcel.location_id = place.id
        AND parcel.status IN ('accepted', 'shipped', 'refused')
        AND parcel.created_at > %(since)s AND parcel.created_at <= %(now)s
    WHERE place.owner = %(owner)s AND place.brand = %(brand)s
    GROUP BY place.id ORDER BY place.id
    ON CONFLICT (location_id) DO UPDATE SET
        asked = excluded.asked, accepted = excluded.accepted, days = excluded.days, computed_at = excluded.computed_at
"""


_SHELVES: Final = """
    SELECT level.id AS level_id, level.sku_id, sku.code AS sku, level.location_id, location.code AS location,
        location.lat, location.lon, level.on_hand, level.on_hand - level.safety - level.held AS atp,
        coalesce(velocity.weekly, 0) AS weekly, greatest(level.as_of, level.last_delta_at) AS spoken_at
    FROM stock_level AS level
    JOIN sku ON sku.id = level.sku_id
    JOIN location ON location.id = level.location_id AND location.active
    LEFT JOIN stock_velocity AS velocity
        ON velocity.sku_id = level.sku_id AND velocity.location_id = level.location_id
    WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.quality = 'sellable'
"""

_SHELVES_IN_TURN: Final = _SHELVES + " AND level.id > %(after)s ORDER BY level.id LIMIT %(limit)s"
_SHELVES_OF_SKUS: Final = _SHELVES + " AND level.sku_id = ANY (%(skus)s::bigint[]) ORDER BY level.sku_id, level.id"


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """Parcels asked of a place and accepted by it in the ``days`` before ``computed_at``."""

    location_id: int
    asked: int
    accepted: int
    days: int
    computed_at: datetime


def refresh_velocity(connection: Connection[DictRow], owner: str, brand: str, now: datetime) -> int:
    """Reckon every SKU's weekly sales by place, and every place's parcels, over the WINDOW_DAYS before ``now``.

    Sold is what parcels shipped, and what stores' carry-out orders took along. Returns for how many (SKU, place)
    there is a figure; one without sales has none.
    """
    asked = {
        "owner": owner,
        "brand": brand,
        "now": now,
        "since": now - timedelta(days=WINDOW_DAYS),
        "days": WINDOW_DAYS,
        "hub": HUB,
    }
    sold = connection.execute(_SOLD, asked).rowcount
    connection.execute(_NO_LONGER_SOLD, asked)
    connection.execute(_WORKED, asked)
    return sold


def place_figures(connection: Connection[DictRow], owner: str, brand: str) -> list[PlaceFigures]:
    """How each place has worked lately, by id; empty until they were first reckoned."""
    with connection.cursor(row_factory=class_row(PlaceFigures)) as cursor:
        return cursor.execute(
            "SELECT location_id, asked, accepted, days, computed_at FROM place_figures"
            " WHERE owner = %s AND brand = %s ORDER BY location_id",
            [owner, brand],
        ).fetchall()


def shelves_in_turn(
    connection: Connection[DictRow], owner: str, brand: str, *, after: int = 0, limit: int = 1000
) -> list[DictRow]:
    """Levels of sellable goods at active places by id, what they may promise (below 0 where too much was), the weekly
    sales there, and when their authority last spoke."""
    return connection.execute(
        _SHELVES_IN_TURN, {"owner": owner, "brand": brand, "after": after, "limit": limit}
    ).fetchall()


def shelves_of(connection: Connection[DictRow], owner: str, brand: str, sku_ids: Sequence[int]) -> list[DictRow]:
    """The same of those SKUs, by SKU."""
    return connection.execute(_SHELVES_OF_SKUS, {"owner": owner, "brand": brand, "skus": list(sku_ids)}).fetchall()


def computed_at(connection: Connection[DictRow], owner: str, brand: str) -> datetime | None:
    """When the figures were last reckoned; None if never."""
    row = connection.execute(
        "SELECT max(computed_at) AS at FROM place_figures WHERE owner = %s AND brand = %s", [owner, brand]
    ).fetchone()
    moment: datetime | None = row["at"] if row else None
    return moment
