"""Orders whose parcels no place was asked for yet: their plans, as they are held, and other plans in their stead."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import orjson
from psycopg import Connection
from psycopg.rows import DictRow, class_row
from psycopg.types.json import Jsonb

from canonical_model.order import OrderStatus, ParcelStatus

_LIST: Final = """
    SELECT id, channel, lat, lon, member_code, body #>> '{receiver,region_code}' AS region_code,
        (body ->> 'promised_at')::timestamptz AS promised_at
    FROM sales_order
    WHERE owner = %(owner)s AND brand = %(brand)s AND status = %(status)s AND status_reason IS NULL
        AND released_at IS NULL
    ORDER BY id LIMIT %(limit)s
"""

_LOCK: Final = """
    SELECT id FROM sales_order
    WHERE id = ANY (%(ids)s) AND status = %(status)s AND status_reason IS NULL AND released_at IS NULL
    ORDER BY id FOR UPDATE SKIP LOCKED
"""

_PLANNED: Final = """
    SELECT parcel.order_id, parcel.parcel_no, parcel.location_id, hold.line_no, level.sku_id, hold.level_id,
        hold.quantity, hold.min_expiry
    FROM parcel
    JOIN stock_hold AS hold ON hold.owner = parcel.owner AND hold.brand = parcel.brand
        AND hold.reference = parcel.parcel_no
    JOIN stock_level AS level ON level.id = hold.level_id
    WHERE parcel.order_id = ANY (%(ids)s) AND parcel.status = %(planned)s AND hold.state = 'active'
        AND hold.accepted_at IS NULL AND NOT hold.named AND NOT hold.picked
    ORDER BY parcel.order_id, parcel.parcel_no, hold.line_no
"""


@dataclass(frozen=True, slots=True)
class Open:
    """An allocated order that was not released yet."""

    id: int
    channel: str
    lat: float | None
    lon: float | None
    member_code: str | None
    region_code: str | None
    promised_at: datetime | None


@dataclass(frozen=True, slots=True)
class PlannedHold:
    """What a planned parcel holds for one line; no place was asked for it."""

    order_id: int
    parcel_no: str
    location_id: int
    line_no: int
    sku_id: int
    level_id: int
    quantity: int
    min_expiry: date | None


def list_open(connection: Connection[DictRow], owner: str, brand: str, *, limit: int) -> list[Open]:
    """The oldest orders whose plan may still be bettered, by id."""
    with connection.cursor(row_factory=class_row(Open)) as cursor:
        return cursor.execute(
            _LIST, {"owner": owner, "brand": brand, "status": OrderStatus.ALLOCATED, "limit": limit}
        ).fetchall()


def lock_open(connection: Connection[DictRow], order_ids: Collection[int]) -> set[int]:
    """Lock those of the orders whose plan may still be bettered, until the commit; which nobody else is busy with."""
    rows = connection.execute(_LOCK, {"ids": sorted(order_ids), "status": OrderStatus.ALLOCATED})
    return {row["id"] for row in rows}


def list_planned(connection: Connection[DictRow], order_ids: Collection[int]) -> dict[int, list[PlannedHold]]:
    """What the planned parcels of those orders hold, by order."""
    found: dict[int, list[PlannedHold]] = {order_id: [] for order_id in sorted(order_ids)}
    with connection.cursor(row_factory=class_row(PlannedHold)) as cursor:
        for hold in cursor.execute(_PLANNED, {"ids": list(found), "planned": ParcelStatus.PLANNED}):
            found[hold.order_id].append(hold)
    return found


def drop_parcels(connection: Connection[DictRow], owner: str, brand: str, parcel_nos: Sequence[str]) -> None:
    """Note that other parcels stand in for these."""
    connection.execute(
        "UPDATE parcel SET status = %s, updated_at = clock_timestamp()"
        " WHERE owner = %s AND brand = %s AND parcel_no = ANY (%s)",
        [ParcelStatus.CANCELLED, owner, brand, list(parcel_nos)],
    )


def tell_reoptimised(connection: Connection[DictRow], details: Mapping[int, Mapping[str, Any]]) -> None:
    """Append to the feeds of those orders, by id, that they have another plan."""
    connection.execute(
        "INSERT INTO order_event (owner, brand, order_id, kind, detail)"
        " SELECT owner, brand, id, 'reoptimised', detail"
        " FROM unnest(%s::bigint[], %s::jsonb[]) AS made (order_id, detail)"
        " JOIN sales_order ON sales_order.id = made.order_id ORDER BY id",
        [list(details), [Jsonb(detail, dumps=orjson.dumps) for detail in details.values()]],
    )
