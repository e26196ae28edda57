"""What the pool can promise: by SKU over all places, for many orders at once; and what is known of the places."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

from canonical_model.location import Service

_FREE: Final = """
    SELECT sku_id, array_agg(location_id), array_agg(id), array_agg(on_hand - safety - held), NULL
    FROM stock_level
    WHERE owner = %(owner)s AND brand = %(brand)s AND sku_id = ANY (%(skus)s::bigint[]) AND quality = %(quality)s
        AND on_hand - safety - held > 0
    GROUP BY sku_id
"""

# Of goods kept in batches, only those that live long enough and that no hold which asks for as much lays claim to:
# every day up to the wanted one must have enough for all holds that ask for it or a later one.
_LIVING: Final = """
    SELECT sku_id, array_agg(location_id), array_agg(id), array_agg(units),
        CASE WHEN batch_managed THEN %(min_expiry)s::date END
    FROM (
        SELECT level.sku_id, level.location_id, level.id, sku.batch_managed,
            least(level.on_hand - level.safety - level.held, CASE WHEN sku.batch_managed THEN (
                SELECT min(stock_left_until(level.id, cutoff.day)) FROM (
                    SELECT %(min_expiry)s::date AS day
                    UNION SELECT hold.min_expiry FROM stock_hold AS hold
                    WHERE hold.level_id = level.id AND hold.deducting > 0 AND hold.min_expiry < %(min_expiry)s::date
                ) AS cutoff) END) AS units
        FROM stock_level AS level JOIN sku ON sku.id = level.sku_id
        WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.sku_id = ANY (%(skus)s::bigint[])
            AND level.quality = %(quality)s AND level.on_hand - level.safety - level.held > 0
    ) AS free
    WHERE units > 0
    GROUP BY sku_id, batch_managed
"""

_PLACES: Final = """
    SELECT location.id, location.code, location.kind, location.lat, location.lon, location.capacity,
        (location.body ->> 'rating')::float8 AS rating, location.body -> 'service_regions' AS service_regions,
        (location.body ->> 'service_radius_km')::float8 AS service_radius_km, location.body -> 'hours' AS hours,
        location.body -> 'brands' AS brands, figures.asked, figures.accepted, coalesce(load.parcels, 0) AS parcels
    FROM location
    LEFT JOIN place_figures AS figures ON figures.location_id = location.id
    LEFT JOIN place_day AS load ON load.location_id = location.id AND load.day = %(day)s
    WHERE location.owner = %(owner)s AND location.brand = %(brand)s AND location.active
        AND location.fulfilled_by IS NOT NULL AND %(service)s = ANY (location.services)
    ORDER BY location.id
"""

_HOME_STORES: Final = """
    SELECT DISTINCT ON (name.outside_id) name.outside_id, coalesce(linked.inner_id, place.id)
    FROM crosswalk AS name
    JOIN member ON member.id = name.inner_id AND member.active AND member.home_store IS NOT NULL
    LEFT JOIN crosswalk AS linked ON linked.owner = name.owner AND linked.brand = name.brand
        AND linked.scheme = member.system AND linked.kind = 'location' AND linked.outside_id = member.home_store
    LEFT JOIN location AS place ON place.owner = name.owner AND place.brand = name.brand
        AND place.code = member.home_store
    WHERE name.owner = %(owner)s AND name.brand = %(brand)s AND name.scheme = ANY (%(schemes)s) AND name.kind = 'member'
        AND name.outside_id = ANY (%(codes)s) AND coalesce(linked.inner_id, place.id) IS NOT NULL
    ORDER BY name.outside_id, array_position(%(schemes)s, name.scheme)
"""


@dataclass(frozen=True, slots=True)
class PoolOf:
    """Where a SKU can be promised from: parallel lists of places, their levels and units above 0.

    ``min_expiry``: the units expire on that day at the earliest; None when nothing was asked of them.
    """

    location_ids: list[int]
    level_ids: list[int]
    atp: list[int]
    min_expiry: date | None = None


def pool(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    sku_ids: Sequence[int],
    quality: str = "sellable",
    min_expiry: date | None = None,
) -> dict[int, PoolOf]:
    """What every place can promise of those SKUs, by SKU; one query. A SKU that nobody has is absent.

    ``min_expiry`` asks of goods kept in batches that they live until then; goods whose expiry is not known do not.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            _FREE if min_expiry is None else _LIVING,
            {
                "owner": owner,
                "brand": brand,
                "skus": list(sku_ids),
                "quality": quality,
                "min_expiry": min_expiry,
            },
            binary=True,
        )
        return {sku_id: PoolOf(places, levels, atp, until) for sku_id, places, levels, atp, until in rows}


def list_places(connection: Connection[DictRow], owner: str, brand: str, day: date) -> list[DictRow]:
    """Every place that ships for the brand, by id: where it is, its limits and figures, its ``parcels`` of that day."""
    return connection.execute(_PLACES, {"owner": owner, "brand": brand, "day": day, "service": Service.SHIP}).fetchall()


def weekly_sales(
    connection: Connection[DictRow], owner: str, brand: str, sku_ids: Sequence[int]
) -> dict[int, dict[int, float]]:
    """Units that each place sells a week, by place and SKU; places that sell none are absent."""
    rows = connection.execute(
        "SELECT location_id, sku_id, weekly FROM stock_velocity"
        " WHERE owner = %s AND brand = %s AND sku_id = ANY (%s::bigint[])",
        [owner, brand, list(sku_ids)],
    )
    sold: dict[int, dict[int, float]] = {}
    for row in rows:
        sold.setdefault(row["location_id"], {})[row["sku_id"]] = row["weekly"]
    return sold


def home_stores(
    connection: Connection[DictRow], owner: str, brand: str, schemes: Sequence[str], codes: Sequence[str]
) -> dict[str, int]:
    """The place of each member's own store, by membership number; of several members the one of the first scheme."""
    if not codes:
        return {}
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            _HOME_STORES, {"owner": owner, "brand": brand, "schemes": list(schemes), "codes": list(codes)}
        )
        return dict(rows.fetchall())


def list_batches(
    connection: Connection[DictRow], level_ids: Sequence[int]
) -> dict[int, list[tuple[str, date | None, int]]]:
    """The batches of those levels as last counted, by level: number, expiry and units, earliest expiry first. Levels
    whose count told none apart are absent."""
    found: dict[int, list[tuple[str, date | None, int]]] = {}
    with connection.cursor(row_factory=tuple_row) as cursor:
        for level_id, *batch in cursor.execute(
            "SELECT level.id, lot.batch, lot.expires_on, lot.on_hand"
            " FROM stock_level AS level JOIN stock_lot AS lot ON lot.level_id = level.id"
            " WHERE level.id = ANY (%s) AND lot.as_of >= level.as_of"
            " ORDER BY level.id, lot.expires_on NULLS LAST, lot.batch",
            [list(level_ids)],
        ):
            found.setdefault(level_id, []).append((batch[0], batch[1], batch[2]))
    return found


def list_claims(
    connection: Connection[DictRow], level_ids: Sequence[int], but: Sequence[str]
) -> list[tuple[int, date | None, int]]:
    """What holds lay claim to at those levels, but for those of ``but``, oldest first: level, least expiry, units."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(
            "SELECT level_id, min_expiry, deducting FROM stock_hold"
            " WHERE level_id = ANY (%s) AND deducting > 0 AND reference <> ALL (%s) ORDER BY id",
            [list(level_ids), list(but)],
        ).fetchall()
