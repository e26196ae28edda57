"""Holds: goods promised to the lines of parcels. A hold ends once: shipped, released or expired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from psycopg import Connection, Rollback
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError
from canonical_model.store.shortfalls import Shortfall, list_shortfalls

EXPIRY_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class HoldLine:
    """``quantity`` units of a level for one line of a parcel, of goods that do not expire before ``min_expiry``."""

    line_no: int
    level_id: int
    quantity: int
    min_expiry: date | None = None


@dataclass(frozen=True, slots=True)
class HoldAsked:
    """Parcels (by reference) to be held together or not at all.

    ``order_id``: None for a checkout, which has no order yet. ``replaces``: references whose active holds end in the
    same moment, so that their units serve this request. ``day``: whose parcel slots count, where places limit them.
    """

    owner: str
    brand: str
    order_id: int | None
    parcels: Mapping[str, Sequence[HoldLine]]
    expires_at: datetime | None = None
    replaces: tuple[str, ...] = ()
    day: date | None = None


@dataclass(frozen=True, slots=True)
class ShippedLine:
    """What left of one line, and what the place could not find. Both are final."""

    line_no: int
    shipped: int
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Every line is held."""


@dataclass(frozen=True, slots=True)
class Short:
    """Nothing is held: these levels have too little to promise."""

    level_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing is held: these places have no parcel slot left on that day."""

    location_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The lines whose hold ended just now, none when it had before; and what is short because of it."""

    lines: tuple[int, ...]
    shortfalls: tuple[Shortfall, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines)


def hold(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    order_id: int | None,
    reference: str,
    lines: Sequence[HoldLine],
    expires_at: datetime | None = None,
) -> Held | Short:
    """Hold all ``lines`` for the parcel ``reference``, or none; see ``hold_parcels``."""
    return hold_parcels(
        connection, owner=owner, brand=brand, order_id=order_id, parcels={reference: lines}, expires_at=expires_at
    )


def hold_parcels(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    order_id: int | None,
    parcels: Mapping[str, Sequence[HoldLine]],
    expires_at: datetime | None = None,
) -> Held | Short:
    """Hold the lines of all ``parcels`` (by reference), or none.

    A level gives only what ``on_hand - safety - held`` has. Asking again for the same parcels gets the same answer.
    ConflictError when a reference was used for something else, or what it held was given back.
    """
    asked = [(reference, line) for reference, lines in parcels.items() for line in lines]
    row = connection.execute(
        "SELECT conflict, short FROM hold_stock(%s, %s, %s, %s, %s, %s::bigint[], %s::bigint[], %s)",
        [
            owner,
            brand,
            order_id,
            [reference for reference, _ in asked],
            [line.line_no for _, line in asked],
            [line.level_id for _, line in asked],
            [line.quantity for _, line in asked],
            expires_at,
        ],
    ).fetchone()
    assert row is not None
    if row["conflict"]:
        names = ", ".join(parcels)
        raise ConflictError(f"{names}: used for another hold; take a new parcel number", code="hold.reference_used")
    return Short(tuple(row["short"])) if row["short"] else Held()


def hold_many(connection: Connection[DictRow], asked: Sequence[HoldAsked]) -> list[Held | Short | Full]:
    """The answer to each request, decided one after another in the order given, each all or nothing.

    Asking again for the same parcels gets the same answer. ConflictError when a reference was used for something else,
    or what it held was given back.
    """
    return [_hold_one(connection, request) for request in asked]


def _hold_one(connection: Connection[DictRow], asked: HoldAsked) -> Held | Short | Full:
    with connection.transaction() as whole:
        for reference in asked.replaces:
            release(connection, owner=asked.owner, brand=asked.brand, reference=reference, reason="replaced")
        answer = hold_parcels(
            connection,
            owner=asked.owner,
            brand=asked.brand,
            order_id=asked.order_id,
            parcels=asked.parcels,
            expires_at=asked.expires_at,
        )
        if not isinstance(answer, Held):
            raise Rollback(whole)
    return answer


def accept(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    reference: str,
    accepted_at: datetime | None = None,
    sequence: int | None = None,
) -> Ended:
    """Note that the place accepted the parcel (default: now); its holds no longer expire. The lines it was new for."""
    rows = connection.execute(
        "SELECT accept_stock(%s, %s, %s, %s, %s) AS line_no",
        [owner, brand, reference, accepted_at or datetime.now(UTC), sequence],
    )
    return Ended(tuple(sorted(row["line_no"] for row in rows)))


def pick(connection: Connection[DictRow], *, owner: str, brand: str, reference: str) -> bool:
    """Note that the goods of the parcel are picked: they are no longer recalled. False if that was known."""
    picked = connection.execute(
        """
        UPDATE stock_hold SET picked = true
        WHERE owner = %s AND brand = %s AND reference = %s AND state = 'active' AND NOT picked
        """,
        [owner, brand, reference],
    )
    return picked.rowcount > 0


def ship(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    reference: str,
    shipped_at: datetime | str,
    lines: Sequence[ShippedLine],
    sequence: int | None = None,
) -> Ended:
    """End the holds of ``lines``: the goods left at ``shipped_at`` (ISO 8601 when text).

    What shipped deducts until the authority's figure is proven to contain it, which may be at once; what lacks is
    free. Goods whose hold was released or had expired left all the same, and deduct again.
    """
    row = connection.execute(
        "SELECT ended, shortfalls FROM ship_stock(%s, %s, %s, %s::timestamptz, %s, %s, %s::bigint[], %s::bigint[])",
        [
            owner,
            brand,
            reference,
            shipped_at,
            sequence,
            [line.line_no for line in lines],
            [line.shipped for line in lines],
            [line.lacking for line in lines],
        ],
    ).fetchone()
    assert row is not None
    shortfalls = list_shortfalls(connection, row["shortfalls"]) if row["shortfalls"] else ()
    return Ended(tuple(row["ended"] or ()), tuple(shortfalls))


def release(connection: Connection[DictRow], *, owner: str, brand: str, reference: str, reason: str) -> Ended:
    """Give back what the parcel still holds."""
    rows = connection.execute(
        """
        SELECT line_no FROM stock_hold WHERE id IN (
            SELECT end_stock_holds(
                ARRAY(SELECT id FROM stock_hold WHERE owner = %s AND brand = %s AND reference = %s),
                'released', %s, clock_timestamp()))
        ORDER BY line_no
        """,
        [owner, brand, reference, reason],
    )
    return Ended(tuple(row["line_no"] for row in rows))


def expire_due(connection: Connection[DictRow], now: datetime) -> list[DictRow]:
    """End up to EXPIRY_BATCH holds that were due by ``now`` and that nobody accepted, shipped or named: their rows."""
    return connection.execute(
        """
        SELECT * FROM stock_hold WHERE id IN (
            SELECT end_stock_holds(
                ARRAY(
                    SELECT id FROM stock_hold WHERE state = 'active' AND expires_at <= %(now)s
                    ORDER BY expires_at LIMIT %(limit)s),
                'expired', 'expired', %(now)s))
        ORDER BY id
        """,
        {"now": now, "limit": EXPIRY_BATCH},
    ).fetchall()


def list_holds(connection: Connection[DictRow], *, order_id: int) -> list[dict[str, Any]]:
    """Every hold ever taken for an order (``stock_hold`` rows), by id."""
    return connection.execute("SELECT * FROM stock_hold WHERE order_id = %s ORDER BY id", [order_id]).fetchall()
