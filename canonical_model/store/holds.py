"""Holds: goods promised to the lines of parcels. A hold ends once: shipped, released or expired."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from psycopg import Connection
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
) -> Held | Short | Full:
    """Hold all ``lines`` for the parcel ``reference``, or none; see ``hold_many``."""
    [answer] = hold_many(connection, [HoldAsked(owner, brand, order_id, {reference: lines}, expires_at)])
    return answer


def hold_many(connection: Connection[DictRow], asked: Sequence[HoldAsked]) -> list[Held | Short | Full]:
    """The answer to each request, decided one after another in the order given, each all or nothing.

    A level gives only what ``on_hand - safety - held`` has, goods that last only what its lots have, a place with a
    capacity only the slots of the day. Asking again for the same parcels gets the same answer. ConflictError when a
    reference was used for something else, or what it held was given back. Callers have locked the order or checkout
    that the references belong to.
    """
    answers = hold_each(connection, asked)
    for answer in answers:
        if isinstance(answer, ConflictError):
            raise answer
    return [answer for answer in answers if not isinstance(answer, ConflictError)]


def hold_each(connection: Connection[DictRow], asked: Sequence[HoldAsked]) -> list[Held | Short | Full | ConflictError]:
    """As ``hold_many``, with the error as the answer of the request that it is about; the others are decided."""
    answers: list[Held | Short | Full | ConflictError] = [Held()] * len(asked)
    for batch in _batches(asked):
        refused = _hold_batch(connection, [asked[position] for position in batch])
        for number, answer in refused.items():
            answers[batch[number]] = answer
    return answers


def _batches(asked: Sequence[HoldAsked]) -> Iterator[list[int]]:
    """Positions of requests that one call can decide: of one brand, and no reference in two of them.

    Brands share no goods, so which of them comes first is no matter; it is always the same, and so are the locks.
    """
    by_brand: dict[tuple[str, str], list[int]] = {}
    for position, request in enumerate(asked):
        by_brand.setdefault((request.owner, request.brand), []).append(position)
    for _, positions in sorted(by_brand.items()):
        batch: list[int] = []
        seen: set[str] = set()
        for position in positions:
            names = {*asked[position].parcels, *asked[position].replaces}
            if not seen.isdisjoint(names):
                yield batch
                batch, seen = [], set()
            batch.append(position)
            seen |= names
        yield batch


def _hold_batch(connection: Connection[DictRow], asked: Sequence[HoldAsked]) -> dict[int, Short | Full | ConflictError]:
    """The answers of those that got nothing, by position."""
    lines = [
        (number, reference, line.line_no, line.level_id, line.quantity, line.min_expiry)
        for number, request in enumerate(asked, 1)
        for reference, parcel in request.parcels.items()
        for line in parcel
    ]
    replaced = [(number, reference) for number, request in enumerate(asked, 1) for reference in request.replaces]
    today = datetime.now(UTC).date()
    rows = connection.execute(
        "SELECT * FROM hold_stock_requests(%s, %s, %s::bigint[], %s::timestamptz[], %s::date[], %s::integer[],"
        " %s::text[], %s::integer[], %s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::date[])",
        [
            asked[0].owner,
            asked[0].brand,
            [request.order_id for request in asked],
            [request.expires_at for request in asked],
            [request.day or today for request in asked],
            *_columns(replaced, 2),
            *_columns(lines, 6),
        ],
    )
    return {row["request"] - 1: _refusal(asked[row["request"] - 1], row) for row in rows}


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _refusal(asked: HoldAsked, row: DictRow) -> Short | Full | ConflictError:
    if row["conflict"]:
        names = ", ".join(asked.parcels)
        return ConflictError(f"{names}: used for another hold; take a new parcel number", code="hold.reference_used")
    return Short(tuple(sorted(row["short"]))) if row["short"] else Full(tuple(sorted(row["full"])))


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
