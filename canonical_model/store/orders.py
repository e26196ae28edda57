"""Orders, their lines, parcels and events."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from psycopg import Connection, sql
from psycopg.rows import DictRow, tuple_row
from psycopg.types.json import Jsonb

from canonical_model.errors import NotFoundError
from canonical_model.order import OrderStatus, ParcelStatus

_PARCEL_COLUMNS: Final = frozenset(
    {"status", "lines", "carrier", "waybill", "wms_document", "erp_document", "shipped_at"}
)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to insert. ``body`` is the canonical Order (JSON) without its personal fields; ``lines`` have sku_id,
    those of a bundle also bundle_line_no and per_bundle.

    The receiver and what else is personal are sealed by the caller, under one key; their tokens tell whether they are
    the same as before. ``lat`` and ``lon`` say where it goes, if known.
    """

    body: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    status: OrderStatus
    lat: float | None = None
    lon: float | None = None
    receiver_sealed: bytes | None = None
    receiver_key_id: int | None = None
    receiver_token: str | None = None
    extensions_sealed: bytes | None = None
    extensions_token: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class InsertedOrder:
    """``new``: inserted now. Otherwise it was known; ``same`` says whether with the same content."""

    position: int
    order_id: int
    new: bool
    same: bool


_INSERT: Final = """
    INSERT INTO sales_order (
        owner, brand, channel, order_no, kind, status, currency, total_minor, placed_at, lat, lon, receiver_sealed,
        receiver_key_id, receiver_token, extensions_sealed, extensions_token, body, system, source_id, message_id,
        occurred_at, traceparent, member_code)
    SELECT DISTINCT ON (owner, brand, channel, order_no)
        owner, brand, channel, order_no, kind, status, currency, total_minor, placed_at, lat, lon,
        decode(receiver_sealed, 'base64'), receiver_key_id, receiver_token, decode(extensions_sealed, 'base64'),
        extensions_token, body, system, source_id, message_id, occurred_at, traceparent, body ->> 'member'
    FROM jsonb_to_recordset(%s) AS asked (
        position integer, owner text, brand text, channel text, order_no text, kind text, status text, currency text,
        total_minor bigint, placed_at timestamptz, lat float8, lon float8, receiver_sealed text,
        receiver_key_id bigint, receiver_token text, extensions_sealed text, extensions_token text, body jsonb,
        system text, source_id text, message_id text, occurred_at timestamptz, traceparent text)
    ORDER BY owner, brand, channel, order_no, position
    ON CONFLICT (owner, brand, channel, order_no) DO NOTHING
    RETURNING owner, brand, channel, order_no, id
"""

_INSERT_LINES: Final = """
    INSERT INTO sales_order_line (
        order_id, line_no, sku_id, sku_code, quantity, amount_minor, bundle_line_no, per_bundle, ship_group)
    SELECT order_id, line_no, sku_id, sku, quantity, amount_minor, bundle_line_no, coalesce(per_bundle, 1), ship_group
    FROM jsonb_to_recordset(%s) AS asked (
        order_id bigint, line_no integer, sku_id bigint, sku text, quantity bigint, amount_minor bigint,
        bundle_line_no integer, per_bundle bigint, ship_group text)
"""

_COMPARE: Final = """
    SELECT asked.position, known.id,
        jsonb_strip_nulls(known.body - 'source') = jsonb_strip_nulls(asked.body - 'source')
            AND known.receiver_token IS NOT DISTINCT FROM asked.receiver_token
            AND known.extensions_token IS NOT DISTINCT FROM asked.extensions_token AS same
    FROM jsonb_to_recordset(%s) AS asked (
        position integer, owner text, brand text, channel text, order_no text, body jsonb, receiver_token text,
        extensions_token text)
    JOIN sales_order AS known USING (owner, brand, channel, order_no)
"""


def insert_orders(connection: Connection[DictRow], orders: Sequence[NewOrder]) -> list[InsertedOrder]:
    """Insert each order once by (owner, brand, channel, order_no), with its lines; in the order given.

    Of two orders with one number the first is inserted, the other compared with it.
    """
    asked = [_asked(position, order) for position, order in enumerate(orders)]
    made = {_key(row): row["id"] for row in connection.execute(_INSERT, [Jsonb(asked)])}
    new = {position: made.pop(_key(row)) for position, row in enumerate(asked) if _key(row) in made}
    lines = [{**line, "order_id": order_id} for position, order_id in new.items() for line in orders[position].lines]
    connection.execute(_INSERT_LINES, [Jsonb(lines)])
    others = [row for position, row in enumerate(asked) if position not in new]
    known = {row["position"]: row for row in connection.execute(_COMPARE, [Jsonb(others)])} if others else {}
    return [
        InsertedOrder(position, new[position], new=True, same=True)
        if position in new
        else InsertedOrder(position, known[position]["id"], new=False, same=known[position]["same"])
        for position in range(len(orders))
    ]


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["owner"], row["brand"], row["channel"], row["order_no"]


def _asked(position: int, order: NewOrder) -> dict[str, Any]:
    body, source = order.body, order.body["source"]
    names = ("owner", "brand", "channel", "order_no", "kind", "currency", "total_minor", "placed_at")
    return {
        "position": position,
        **{name: body[name] for name in names},
        "status": order.status,
        "lat": order.lat,
        "lon": order.lon,
        "receiver_sealed": _as_text(order.receiver_sealed),
        "receiver_key_id": order.receiver_key_id,
        "receiver_token": order.receiver_token,
        "extensions_sealed": _as_text(order.extensions_sealed),
        "extensions_token": order.extensions_token,
        "body": body,
        "system": source["system"],
        "source_id": source["id"],
        "message_id": source["message_id"],
        "occurred_at": source["occurred_at"],
        "traceparent": order.traceparent,
    }


def _as_text(sealed: bytes | None) -> str | None:
    return None if sealed is None else b64encode(sealed).decode()


def get_order(
    connection: Connection[DictRow], owner: str, brand: str, order_id: int, *, lock: bool = False
) -> dict[str, Any]:
    """The order with its ``lines`` and ``parcels``. ``lock`` keeps others from changing it until the commit.

    Raises NotFoundError.
    """
    query = sql.SQL("SELECT * FROM sales_order WHERE owner = %s AND brand = %s AND id = %s{}")
    row = connection.execute(query.format(sql.SQL(" FOR UPDATE" if lock else "")), (owner, brand, order_id)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no order with the id {order_id}", code="order.unknown")
    return {**row, "lines": list_lines(connection, order_id), "parcels": list_parcels(connection, order_id)}


_LOCK: Final = """
    SELECT id, owner, brand, channel, order_no, status, status_reason, lat, lon, member_code, system, created_at,
        body #>> '{receiver,region_code}' AS region_code, (body ->> 'promised_at')::timestamptz AS promised_at
    FROM sales_order WHERE id = ANY (%s) ORDER BY id FOR UPDATE
"""

_OPEN_LINES: Final = """
    SELECT line.order_id, line.line_no, line.sku_id, line.quantity, line.amount_minor,
        greatest(0, line.quantity - line.cancelled - coalesce(carried.units, 0))::bigint,
        line.bundle_line_no, line.per_bundle, line.ship_group
    FROM sales_order_line AS line
    LEFT JOIN (
        SELECT parcel.order_id, part.line_no, sum(part.quantity - coalesce(part.lacking, 0)) AS units
        FROM parcel CROSS JOIN LATERAL jsonb_to_recordset(parcel.lines) AS part (
            line_no integer, quantity bigint, lacking bigint)
        WHERE parcel.order_id = ANY (%(orders)s) AND parcel.status = ANY (%(live)s)
        GROUP BY parcel.order_id, part.line_no
    ) AS carried USING (order_id, line_no)
    WHERE line.order_id = ANY (%(orders)s) ORDER BY line.order_id, line.line_no
"""

LIVE: Final = (ParcelStatus.PLANNED, ParcelStatus.ACCEPTED, ParcelStatus.SHIPPED)


def lock_orders(connection: Connection[DictRow], order_ids: Sequence[int]) -> dict[int, DictRow]:
    """What planning wants to know of those orders, by id, locked in that order until the commit."""
    return {row["id"]: row for row in connection.execute(_LOCK, [list(order_ids)])}


def list_open_lines(connection: Connection[DictRow], order_ids: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
    """The lines of those orders by order: number, SKU, ordered, amount, units that no live parcel carries, the bundle
    it is part of, units in each bundle, ship group."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        lines: dict[int, list[tuple[Any, ...]]] = {order_id: [] for order_id in order_ids}
        for order_id, *line in cursor.execute(_OPEN_LINES, {"orders": list(order_ids), "live": list(LIVE)}):
            lines[order_id].append(tuple(line))
        return lines


def count_parcels(connection: Connection[DictRow], order_ids: Sequence[int]) -> dict[int, int]:
    """How many parcels those orders have had; orders without any are absent."""
    rows = connection.execute(
        "SELECT order_id, count(*) AS parcels FROM parcel WHERE order_id = ANY (%s) GROUP BY order_id",
        [list(order_ids)],
    )
    return {row["order_id"]: row["parcels"] for row in rows}


def find_channel(connection: Connection[DictRow], owner: str, brand: str, order_id: int) -> str | None:
    """The channel that sold the order."""
    row = connection.execute(
        "SELECT channel FROM sales_order WHERE owner = %s AND brand = %s AND id = %s", (owner, brand, order_id)
    ).fetchone()
    return None if row is None else str(row["channel"])


def find_order_id(connection: Connection[DictRow], owner: str, brand: str, channel: str, order_no: str) -> int | None:
    """The id of a channel's order."""
    row = connection.execute(
        "SELECT id FROM sales_order WHERE owner = %s AND brand = %s AND channel = %s AND order_no = %s",
        (owner, brand, channel, order_no),
    ).fetchone()
    return None if row is None else int(row["id"])


def list_orders(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    channel: str | None = None,
    order_no: str | None = None,
    status: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[DictRow]:
    """Orders by id after ``after``, without lines."""
    filters = {"channel": channel, "order_no": order_no, "status": status}
    given = {name: value for name, value in filters.items() if value is not None}
    where = sql.SQL("").join(sql.SQL(" AND {} = %s").format(sql.Identifier(name)) for name in given)
    query = sql.SQL("SELECT * FROM sales_order WHERE owner = %s AND brand = %s AND id > %s{} ORDER BY id LIMIT %s")
    return connection.execute(query.format(where), (owner, brand, after, *given.values(), limit)).fetchall()


def list_lines(connection: Connection[DictRow], order_id: int) -> list[DictRow]:
    """Lines by number."""
    return connection.execute(
        "SELECT * FROM sales_order_line WHERE order_id = %s ORDER BY line_no", (order_id,)
    ).fetchall()


def set_status(
    connection: Connection[DictRow], order_id: int, status: OrderStatus | str, reason: str | None = None
) -> None:
    """Where the order stands, and why."""
    connection.execute(
        "UPDATE sales_order SET status = %s, status_reason = %s, updated_at = clock_timestamp() WHERE id = %s",
        (status, reason, order_id),
    )


def add_shipped(connection: Connection[DictRow], order_id: int, line_no: int, quantity: int) -> None:
    """Count ``quantity`` more units of a line as shipped."""
    connection.execute(
        "UPDATE sales_order_line SET shipped = shipped + %s WHERE order_id = %s AND line_no = %s",
        (quantity, order_id, line_no),
    )


def cancel_open(connection: Connection[DictRow], order_id: int) -> None:
    """Count what was never shipped as cancelled."""
    connection.execute("UPDATE sales_order_line SET cancelled = quantity - shipped WHERE order_id = %s", (order_id,))


def add_event(connection: Connection[DictRow], order_id: int, kind: str, detail: Mapping[str, Any]) -> None:
    """Append to the feed that channels read."""
    connection.execute(
        "INSERT INTO order_event (owner, brand, order_id, kind, detail)"
        " SELECT owner, brand, id, %s, %s FROM sales_order WHERE id = %s",
        (kind, Jsonb(detail), order_id),
    )


def list_events(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    channel: str | None = None,
    order_id: int | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[DictRow]:
    """Events by id after ``after``, with the channel and number of their order.

    An event shows only once every transaction that may write one before it has ended: a reader who goes on from the
    last id it saw never skips one that commits later under a smaller id. Ask in a transaction that has not written.
    """
    settled = connection.execute("SELECT feed_settled_before(true) AS before").fetchone()
    assert settled is not None
    return connection.execute(
        "SELECT event.*, sales_order.channel, sales_order.order_no FROM order_event AS event"
        " JOIN sales_order ON sales_order.id = event.order_id"
        " WHERE event.owner = %(owner)s AND event.brand = %(brand)s AND event.id > %(after)s"
        " AND (%(channel)s::text IS NULL OR sales_order.channel = %(channel)s)"
        " AND (%(order)s::bigint IS NULL OR event.order_id = %(order)s)"
        " AND event.id <= (SELECT max(id) FROM order_event WHERE recorded_at < %(before)s)"
        " ORDER BY event.id LIMIT %(limit)s",
        {
            "owner": owner,
            "brand": brand,
            "after": after,
            "channel": channel,
            "order": order_id,
            "limit": limit,
            "before": settled["before"],
        },
    ).fetchall()


@dataclass(frozen=True, slots=True)
class NewParcel:
    """A parcel to plan; ``lines`` have line_no, sku_id and quantity."""

    order_id: int
    parcel_no: str
    location_id: int
    lines: Sequence[Mapping[str, Any]]


def plan_parcels(connection: Connection[DictRow], parcels: Sequence[NewParcel]) -> None:
    """Insert planned parcels of many orders, in the order given."""
    rows = [
        {
            "order_id": parcel.order_id,
            "parcel_no": parcel.parcel_no,
            "location_id": parcel.location_id,
            "lines": [{**line, "shipped": 0, "lacking": 0} for line in parcel.lines],
        }
        for parcel in parcels
    ]
    connection.execute(
        "INSERT INTO parcel (owner, brand, order_id, parcel_no, location_id, status, lines)"
        " SELECT sales_order.owner, sales_order.brand, order_id, parcel_no, location_id, %s, lines"
        " FROM ROWS FROM (jsonb_to_recordset(%s) AS (order_id bigint, parcel_no text, location_id bigint, lines jsonb))"
        " WITH ORDINALITY AS made (order_id, parcel_no, location_id, lines, n)"
        " JOIN sales_order ON sales_order.id = made.order_id ORDER BY n",
        (ParcelStatus.PLANNED, Jsonb(rows, dumps=orjson.dumps)),
    )


def allocate(connection: Connection[DictRow], details: Mapping[int, Mapping[str, Any]]) -> None:
    """Note that those orders are allocated, and tell it in their feeds with the detail of each."""
    connection.execute(
        "WITH made AS (SELECT * FROM unnest(%s::bigint[], %s::jsonb[]) WITH ORDINALITY AS made (order_id, detail, n)),"
        " changed AS ("
        " UPDATE sales_order SET status = %s, status_reason = NULL, updated_at = clock_timestamp()"
        " FROM made WHERE id = made.order_id RETURNING id, owner, brand)"
        " INSERT INTO order_event (owner, brand, order_id, kind, detail)"
        " SELECT changed.owner, changed.brand, changed.id, 'allocated', made.detail"
        " FROM changed JOIN made ON made.order_id = changed.id ORDER BY made.n",
        (
            list(details),
            [Jsonb(detail, dumps=orjson.dumps) for detail in details.values()],
            OrderStatus.ALLOCATED,
        ),
    )


def release_order(connection: Connection[DictRow], order_id: int) -> None:
    """Note that the order's parcels go to their places; only the first time counts."""
    connection.execute(
        "UPDATE sales_order SET released_at = clock_timestamp() WHERE id = %s AND released_at IS NULL", (order_id,)
    )


def list_parcels(connection: Connection[DictRow], order_id: int) -> list[DictRow]:
    """Parcels of an order in the order they were planned."""
    return connection.execute("SELECT * FROM parcel WHERE order_id = %s ORDER BY id", (order_id,)).fetchall()


def find_parcel(connection: Connection[DictRow], owner: str, brand: str, parcel_no: str) -> DictRow | None:
    """The parcel of that number."""
    return connection.execute(
        "SELECT * FROM parcel WHERE owner = %s AND brand = %s AND parcel_no = %s", (owner, brand, parcel_no)
    ).fetchone()


def get_parcel(connection: Connection[DictRow], owner: str, brand: str, parcel_no: str) -> DictRow:
    """The parcel of that number. NotFoundError if there is none."""
    row = find_parcel(connection, owner, brand, parcel_no)
    if row is None:
        raise NotFoundError(f"there is no parcel {parcel_no!r}", code="parcel.unknown", parcel=parcel_no)
    return row


def set_parcel(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    parcel_no: str,
    **changes: ParcelStatus | str | datetime | list[dict[str, Any]] | None,
) -> None:
    """Change the named columns: status, lines, carrier, waybill, wms_document, erp_document, shipped_at."""
    if unknown := changes.keys() - _PARCEL_COLUMNS:
        raise ValueError(f"a parcel has no column {min(unknown)!r} to change")
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changes)
    query = sql.SQL(
        "UPDATE parcel SET {}, updated_at = clock_timestamp() WHERE owner = %s AND brand = %s AND parcel_no = %s"
    )
    values = [Jsonb(value) if isinstance(value, list) else value for value in changes.values()]
    connection.execute(query.format(assignments), (*values, owner, brand, parcel_no))
