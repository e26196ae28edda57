"""Checkouts: goods kept for a shopper who has not ordered yet. Each ends once: confirmed, released or expired."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow, class_row
from psycopg.types.json import Jsonb

SWEEP: Final = 200
_REFERENCE: Final = re.compile(r"C(\d{8,18})-\d+")

Key = tuple[str, str, str, str]
"""Owner, brand, channel, order number."""

_CLAIM: Final = """
    INSERT INTO checkout (owner, brand, channel, order_no, fingerprint, lines, expires_at)
    SELECT owner, brand, channel, order_no, fingerprint, lines, expires_at
    FROM jsonb_to_recordset(%s) AS asked (
        owner text, brand text, channel text, order_no text, fingerprint text, lines jsonb, expires_at timestamptz)
    ORDER BY owner, brand, channel, order_no
    ON CONFLICT (owner, brand, channel, order_no) DO NOTHING
    RETURNING *
"""
# OFFSET 0: each key is an index look-up, however little PostgreSQL knows of the table.
_LOCK: Final = """
    SELECT * FROM checkout
    WHERE id = ANY (ARRAY(
        SELECT known.id
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS asked (owner, brand, channel, order_no)
        CROSS JOIN LATERAL (
            SELECT id FROM checkout
            WHERE owner = asked.owner AND brand = asked.brand AND channel = asked.channel AND order_no = asked.order_no
            OFFSET 0
        ) AS known))
    ORDER BY id FOR UPDATE
"""
_KEPT: Final = """
    SELECT hold.reference, level.location_id, level.sku_id, hold.level_id, hold.deducting AS units
    FROM stock_hold AS hold JOIN stock_level AS level ON level.id = hold.level_id
    WHERE hold.id = ANY (stock_holds_of(%s, %s, %s))
    ORDER BY hold.id
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """One row. ``state``: active, confirmed, released or expired. ``parcels`` is what was held for it."""

    id: int
    owner: str
    brand: str
    channel: str
    order_no: str
    fingerprint: str
    state: str
    lines: Sequence[Mapping[str, Any]]
    parcels: Sequence[Mapping[str, Any]]
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None

    @property
    def key(self) -> Key:
        """What names it outside."""
        return self.owner, self.brand, self.channel, self.order_no

    @property
    def references(self) -> tuple[str, ...]:
        """Under which its goods are held."""
        return tuple(parcel["reference"] for parcel in self.parcels)


@dataclass(frozen=True, slots=True)
class NewCheckout:
    """What is asked: ``fingerprint`` tells one question from another, ``lines`` is as it came."""

    key: Key
    fingerprint: str
    lines: Sequence[Mapping[str, Any]]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """Units of a level that a checkout holds under a reference."""

    reference: str
    location_id: int
    sku_id: int
    level_id: int
    units: int


@dataclass(frozen=True, slots=True)
class Found:
    """An order's own checkout, locked: its id, the references that the order's holds replace, and what they hold."""

    id: int
    references: tuple[str, ...]
    kept: tuple[Kept, ...]


def claim(connection: Connection[DictRow], asked: Sequence[NewCheckout]) -> tuple[dict[Key, Checkout], set[Key]]:
    """The row of each key, all locked, and the keys that are new. Keys differ from one another."""
    rows = [
        dict(zip(("owner", "brand", "channel", "order_no"), each.key, strict=True))
        | {"fingerprint": each.fingerprint, "lines": list(each.lines), "expires_at": each.expires_at.isoformat()}
        for each in asked
    ]
    with connection.cursor(row_factory=class_row(Checkout)) as cursor:
        new = {row.key: row for row in cursor.execute(_CLAIM, [Jsonb(rows)])}
    known = [each.key for each in asked if each.key not in new]
    return new | (lock(connection, known) if known else {}), set(new)


def lock(connection: Connection[DictRow], keys: Sequence[Key]) -> dict[Key, Checkout]:
    """The checkouts there are of those keys, locked by id."""
    with connection.cursor(row_factory=class_row(Checkout)) as cursor:
        return {row.key: row for row in cursor.execute(_LOCK, _columns(keys))}


def find(connection: Connection[DictRow], key: Key) -> Checkout | None:
    """The checkout of a key as it is now, not locked."""
    with connection.cursor(row_factory=class_row(Checkout)) as cursor:
        return cursor.execute(
            "SELECT * FROM checkout WHERE owner = %s AND brand = %s AND channel = %s AND order_no = %s", key
        ).fetchone()


def keep(connection: Connection[DictRow], parcels: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    """Note what is held for new checkouts, by id."""
    rows = [{"id": checkout_id, "parcels": list(each)} for checkout_id, each in parcels.items()]
    connection.execute(
        "UPDATE checkout SET parcels = asked.parcels FROM jsonb_to_recordset(%s) AS asked (id bigint, parcels jsonb)"
        " WHERE checkout.id = asked.id",
        [Jsonb(rows)],
    )


def forget(connection: Connection[DictRow], checkout_ids: Sequence[int]) -> None:
    """Take back new checkouts that could not be held."""
    connection.execute("DELETE FROM checkout WHERE id = ANY (%s)", [list(checkout_ids)])


def extend(connection: Connection[DictRow], checkout_id: int, until: datetime) -> None:
    """Keep the goods until then, if that is later; the caller has locked the row."""
    connection.execute(
        "UPDATE checkout SET expires_at = greatest(expires_at, %s) WHERE id = %s AND state = 'active'",
        [until, checkout_id],
    )


def give_back(
    connection: Connection[DictRow], checkouts: Iterable[Checkout], state: str, now: datetime, *, reason: str = ""
) -> None:
    """End active checkouts, which the caller has locked, as ``released`` or ``expired``: their goods are free."""
    ended = list(checkouts)
    for owner, brand in sorted({(each.owner, each.brand) for each in ended}):
        references = [name for each in ended if (each.owner, each.brand) == (owner, brand) for name in each.references]
        connection.execute(
            "SELECT end_stock_holds(stock_holds_of(%s, %s, %s), 'released', %s, %s)",
            [owner, brand, references, reason or f"checkout_{state}", now],
        )
    _end(connection, [each.id for each in ended], state)


def reference(checkout_id: int, number: int) -> str:
    """Under which the goods of a checkout's parcel are held; ``give_up`` finds the checkout by it."""
    return f"C{checkout_id:08d}-{number}"


def give_up(connection: Connection[DictRow], owner: str, brand: str, references: Iterable[str]) -> list[str]:
    """Release the active checkouts that hold under ``references``, whole, because goods are missing; all they held."""
    ids = [int(found[1]) for found in map(_REFERENCE.fullmatch, references) if found]
    with connection.cursor(row_factory=class_row(Checkout)) as cursor:
        active = cursor.execute(
            "SELECT * FROM checkout WHERE id = ANY (%s) AND owner = %s AND brand = %s AND state = 'active'"
            " ORDER BY id FOR UPDATE",
            [ids, owner, brand],
        ).fetchall()
    give_back(connection, active, "released", datetime.now(UTC), reason="shortfall")
    return [name for each in active for name in each.references]


def expire_due(connection: Connection[DictRow], now: datetime) -> int:
    """End up to SWEEP checkouts that were due by ``now``; how many. One that its order takes over just now is left."""
    with connection.cursor(row_factory=class_row(Checkout)) as cursor:
        due = cursor.execute(
            "SELECT * FROM checkout WHERE state = 'active' AND expires_at <= %s"
            " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
            [now, SWEEP],
        ).fetchall()
    give_back(connection, due, "expired", now)
    return len(due)


def find_for_orders(connection: Connection[DictRow], keys: Sequence[Key]) -> dict[Key, Found]:
    """The active checkouts of those orders, locked until the commit; one that is due but not swept counts.

    The order's holds name the references in ``replaces``, then ``confirm`` ends the checkout.
    """
    active = {key: each for key, each in lock(connection, keys).items() if each.state == "active"}
    found: dict[Key, Found] = {}
    for owner, brand in sorted({key[:2] for key in active}):
        mine = {key: each for key, each in active.items() if key[:2] == (owner, brand)}
        kept: dict[str, list[Kept]] = {}
        with connection.cursor(row_factory=class_row(Kept)) as cursor:
            for row in cursor.execute(
                _KEPT, [owner, brand, [name for each in mine.values() for name in each.references]]
            ):
                kept.setdefault(row.reference, []).append(row)
        for key, each in mine.items():
            units = tuple(row for reference in each.references for row in kept.get(reference, ()))
            found[key] = Found(each.id, each.references, units)
    return found


def release_for_order(connection: Connection[DictRow], order: Mapping[str, Any]) -> None:
    """Give back what is still kept for an order that wants no more; the caller has locked its row."""
    key = order["owner"], order["brand"], order["channel"], order["order_no"]
    active = [each for each in lock(connection, [key]).values() if each.state == "active"]
    give_back(connection, active, "released", datetime.now(UTC))


def confirm(connection: Connection[DictRow], checkout_ids: Sequence[int]) -> None:
    """Their orders have taken over what was held; the caller has locked the rows."""
    _end(connection, checkout_ids, "confirmed")


def _end(connection: Connection[DictRow], checkout_ids: Sequence[int], state: str) -> None:
    connection.execute(
        "UPDATE checkout SET state = %s, ended_at = clock_timestamp() WHERE id = ANY (%s) AND state = 'active'",
        [state, list(checkout_ids)],
    )


def _columns(keys: Sequence[Key]) -> list[list[str]]:
    return [[key[n] for key in keys] for n in range(4)]
