"""The quarantine: records that could not be taken, each with every issue, its raw value and the mapping version.

``cause`` groups alike: the code of the first issue. A row that only waits for a parent (a SKU, a place, an order)
names it in ``missing_*`` and is fed again when the parent is there.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.errors import Issue, NotFoundError

MAX_PAGE: Final = 500
WHOLE_MESSAGE: Final = -1


@dataclass(frozen=True, slots=True)
class Missing:
    """The parent that a record waits for: a crosswalk entry, an order by its channel, or a parcel."""

    scheme: str
    kind: str
    outside_id: str


@dataclass(frozen=True, slots=True)
class Bad:
    """One record to put away. ``raw`` is its JSON, or with ``key_id`` its sealed form as the inbox holds it.

    ``position`` is its place in the message; WHOLE_MESSAGE when the document itself could not be read.
    """

    position: int
    raw: bytes
    issues: Sequence[Issue]
    source_id: str | None = None
    key_id: int | None = None
    missing: Missing | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The message that bad records came in, and the mapping that judged them."""

    owner: str
    brand: str
    system: str
    stream: str
    message_id: str
    mapping_version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Open rows to list, feed again or discard; every criterion given must hold."""

    owner: str
    brand: str
    ids: Sequence[int] | None = None
    system: str | None = None
    stream: str | None = None
    cause: str | None = None
    message_id: str | None = None


def put(connection: Connection[DictRow], origin: Origin, bad: Iterable[Bad]) -> None:
    """Put records away in one statement. One that lay here before counts another attempt; a discarded one stays out."""
    rows = list(bad)
    if not rows:
        return
    connection.execute(
        """
        INSERT INTO quarantine (owner, brand, system, stream, message_id, mapping_version, position, source_id, raw,
                                key_id, issues, cause, missing_scheme, missing_kind, missing_id)
        SELECT %s, %s, %s, %s, %s, %s, r.*
        FROM unnest(%s::int[], %s::text[], %s::bytea[], %s::bigint[], %s::jsonb[], %s::text[],
                    %s::text[], %s::text[], %s::text[]) AS r
        ON CONFLICT (owner, brand, message_id, position) DO UPDATE
        SET attempts = quarantine.attempts + 1, issues = excluded.issues, cause = excluded.cause,
            source_id = excluded.source_id, mapping_version = excluded.mapping_version,
            missing_scheme = excluded.missing_scheme, missing_kind = excluded.missing_kind,
            missing_id = excluded.missing_id, state = 'open', closed_at = NULL
        WHERE quarantine.state <> 'discarded'
        """,
        (
            *asdict(origin).values(),
            [b.position for b in rows],
            [b.source_id for b in rows],
            [b.raw if b.key_id is not None else zlib.compress(b.raw) for b in rows],
            [b.key_id for b in rows],
            [Jsonb([_shown(issue) for issue in b.issues]) for b in rows],
            [b.issues[0].code for b in rows],
            [b.missing.scheme if b.missing else None for b in rows],
            [b.missing.kind if b.missing else None for b in rows],
            [b.missing.outside_id if b.missing else None for b in rows],
        ),
    )


def list_rows(
    connection: Connection[DictRow], selection: Selection, *, state: str = "open", after: int = 0, limit: int = 100
) -> list[DictRow]:
    """Rows in the order of their id, after ``after``, without the raw value; at most MAX_PAGE."""
    query = sql.SQL(
        "SELECT id, system, stream, message_id, position, source_id, issues, cause, mapping_version, state, attempts,"
        " missing_scheme, missing_kind, missing_id, created_at, closed_at"
        " FROM quarantine WHERE {where} AND state = %(state)s AND id > %(after)s ORDER BY id LIMIT %(limit)s"
    ).format(where=_where(selection))
    values = _values(selection) | {"state": state, "after": after, "limit": min(limit, MAX_PAGE)}
    return connection.execute(query, values).fetchall()


def list_causes(connection: Connection[DictRow], selection: Selection) -> list[DictRow]:
    """Open rows counted by system, stream and cause, the most frequent first; at most MAX_PAGE groups."""
    query = sql.SQL(
        "SELECT system, stream, cause, count(*) AS records, min(created_at) AS oldest, max(created_at) AS newest,"
        " min(id) AS example_id FROM quarantine WHERE {where} AND state = 'open'"
        " GROUP BY system, stream, cause ORDER BY records DESC, system, stream, cause LIMIT {limit}"
    ).format(where=_where(selection), limit=MAX_PAGE)
    return connection.execute(query, _values(selection)).fetchall()


def get(connection: Connection[DictRow], owner: str, brand: str, row_id: int) -> DictRow:
    """One whole row, raw value included. NotFoundError if there is none."""
    row = connection.execute(
        "SELECT * FROM quarantine WHERE (owner, brand, id) = (%s, %s, %s)", (owner, brand, row_id)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no quarantined record {row_id}", code="quarantine.unknown", id=row_id)
    return row


def read_raw(row: Mapping[str, Any]) -> bytes:
    """The raw value of a row of a stream without personal fields: its JSON, or the whole body at WHOLE_MESSAGE."""
    return zlib.decompress(row["raw"])


def read_latest(row: Mapping[str, Any]) -> bytes:
    """As ``read_raw``, of a row that was taken: as a person corrected it, if one did."""
    return zlib.decompress(row["corrected"] or row["raw"])


def correct(connection: Connection[DictRow], row: Mapping[str, Any], raw: bytes, author: str) -> int:
    """Keep ``raw`` beside what came, to be fed from now on; the id of the correction. Of a personal stream it comes
    sealed under the row's own key."""
    kept = connection.execute(
        "INSERT INTO record_correction (owner, brand, quarantine_id, raw, key_id, author)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
        (
            row["owner"],
            row["brand"],
            row["id"],
            raw if row["key_id"] is not None else zlib.compress(raw),
            row["key_id"],
            author,
        ),
    ).fetchone()
    assert kept is not None
    return int(kept["id"])


def list_corrections(connection: Connection[DictRow], row_id: int) -> list[DictRow]:
    """Who corrected a row and when, newest first, without what they wrote; at most MAX_PAGE."""
    return connection.execute(
        "SELECT id, author, created_at FROM record_correction WHERE quarantine_id = %s ORDER BY id DESC LIMIT %s",
        (row_id, MAX_PAGE),
    ).fetchall()


def find_corrected(connection: Connection[DictRow], message_id: str) -> dict[int, DictRow]:
    """By position, the latest correction of each record of a message that has one: ``corrected`` and ``key_id``."""
    rows = connection.execute(
        "SELECT q.position, q.key_id, c.raw AS corrected FROM quarantine q"
        " JOIN LATERAL (SELECT raw FROM record_correction WHERE quarantine_id = q.id ORDER BY id DESC LIMIT 1) c"
        " ON true WHERE q.message_id = %s",
        (message_id,),
    )
    return {row["position"]: row for row in rows}


_CORRECTED: Final = (
    " LEFT JOIN LATERAL (SELECT raw AS corrected FROM record_correction WHERE quarantine_id = q.id"
    " ORDER BY record_correction.id DESC LIMIT 1) c ON true"
)


def get_latest(connection: Connection[DictRow], owner: str, brand: str, row_id: int, *, lock: bool = False) -> DictRow:
    """As ``get``, with ``corrected``: as a person corrected it, or None. ``lock`` keeps others from closing it."""
    row = connection.execute(
        sql.SQL("SELECT q.*, corrected FROM quarantine q{} WHERE (q.owner, q.brand, q.id) = (%s, %s, %s){}").format(
            sql.SQL(_CORRECTED), sql.SQL(" FOR UPDATE OF q" if lock else "")
        ),
        (owner, brand, row_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no quarantined record {row_id}", code="quarantine.unknown", id=row_id)
    return row


def take(
    connection: Connection[DictRow], selection: Selection, *, after: int, limit: int, lock: bool = True
) -> list[DictRow]:
    """Whole open rows in the order of their id, each with ``corrected``. With ``lock`` they are locked until the
    transaction ends, and locked ones are passed over."""
    query = sql.SQL(
        "SELECT q.*, corrected FROM quarantine q{corrected} WHERE {where} AND state = 'open' AND id > %(after)s"
        " ORDER BY id LIMIT %(limit)s{lock}"
    ).format(
        corrected=sql.SQL(_CORRECTED),
        where=_where(selection),
        lock=sql.SQL(" FOR UPDATE OF q SKIP LOCKED" if lock else ""),
    )
    return connection.execute(query, _values(selection) | {"after": after, "limit": limit}).fetchall()


def count_open(connection: Connection[DictRow], selection: Selection) -> int:
    """How many open rows the selection has."""
    query = sql.SQL("SELECT count(*) AS n FROM quarantine WHERE {where} AND state = 'open'")
    (row,) = connection.execute(query.format(where=_where(selection)), _values(selection)).fetchall()
    return int(row["n"])


def take_unblocked(connection: Connection[DictRow], owner: str, brand: str, *, after: int, limit: int) -> list[DictRow]:
    """As ``take``, for rows whose missing parent has arrived by now."""
    return connection.execute(
        """
        SELECT q.*, corrected FROM quarantine q
        LEFT JOIN LATERAL (SELECT raw AS corrected FROM record_correction WHERE quarantine_id = q.id
                           ORDER BY record_correction.id DESC LIMIT 1) c ON true
        WHERE q.owner = %(owner)s AND q.brand = %(brand)s AND q.state = 'open' AND q.id > %(after)s
          AND q.missing_id IS NOT NULL AND (
            EXISTS (SELECT FROM crosswalk c
                    WHERE (c.owner, c.brand, c.scheme, c.kind, c.outside_id)
                        = (q.owner, q.brand, q.missing_scheme, q.missing_kind, q.missing_id))
            OR q.missing_kind = 'order' AND EXISTS (
                SELECT FROM sales_order o
                WHERE (o.owner, o.brand, o.channel, o.order_no) = (q.owner, q.brand, q.missing_scheme, q.missing_id))
            OR q.missing_kind = 'parcel' AND EXISTS (
                SELECT FROM parcel p WHERE (p.owner, p.brand, p.parcel_no) = (q.owner, q.brand, q.missing_id)))
        ORDER BY q.id LIMIT %(limit)s FOR UPDATE OF q SKIP LOCKED
        """,
        {"owner": owner, "brand": brand, "after": after, "limit": limit},
    ).fetchall()


def is_awaited(connection: Connection[DictRow], owner: str, brand: str, kind: str, outside_ids: Sequence[str]) -> bool:
    """Whether an open row waits for a parent of that kind under one of those names."""
    found = connection.execute(
        "SELECT 1 FROM quarantine WHERE owner = %s AND brand = %s AND state = 'open' AND missing_kind = %s"
        " AND missing_id = ANY(%s) LIMIT 1",
        (owner, brand, kind, list(outside_ids)),
    )
    return found.fetchone() is not None


def is_anything_awaited(connection: Connection[DictRow], owner: str, brand: str) -> bool:
    """Whether any open row waits for a parent."""
    found = connection.execute(
        "SELECT 1 FROM quarantine"
        " WHERE owner = %s AND brand = %s AND state = 'open' AND missing_id IS NOT NULL LIMIT 1",
        (owner, brand),
    )
    return found.fetchone() is not None


def close(connection: Connection[DictRow], ids: Sequence[int], *, state: str) -> int:
    """End open rows as ``accepted`` (fed again with success) or ``discarded``; how many were still open."""
    return connection.execute(
        "UPDATE quarantine SET state = %s, closed_at = clock_timestamp() WHERE id = ANY(%s) AND state = 'open'",
        (state, list(ids)),
    ).rowcount


def close_message(connection: Connection[DictRow], message_id: str, *, still_bad: Sequence[int]) -> None:
    """End, as accepted, the open rows of a message that was ingested again, but for those positions."""
    connection.execute(
        "UPDATE quarantine SET state = 'accepted', closed_at = clock_timestamp()"
        " WHERE message_id = %s AND state = 'open' AND NOT position = ANY(%s)",
        (message_id, list(still_bad)),
    )


def discard(connection: Connection[DictRow], selection: Selection) -> int:
    """End the selected open rows for good, by a person's decision; how many."""
    query = sql.SQL(
        "UPDATE quarantine SET state = 'discarded', closed_at = clock_timestamp() WHERE {where} AND state = 'open'"
    ).format(where=_where(selection))
    return connection.execute(query, _values(selection)).rowcount


def _shown(issue: Issue) -> dict[str, str]:
    """The issue as JSON; a NUL in a field's name would not fit into PostgreSQL."""
    return {name: text.replace("\x00", "\u2400") for name, text in asdict(issue).items()}


def _where(selection: Selection) -> sql.Composed:
    given: list[sql.Composable] = [sql.SQL("owner = %(owner)s"), sql.SQL("brand = %(brand)s")]
    given += [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in ("system", "stream", "cause", "message_id")
        if getattr(selection, name) is not None
    ]
    if selection.ids is not None:
        given.append(sql.SQL("id = ANY(%(ids)s)"))
    return sql.SQL(" AND ").join(given)


def _values(selection: Selection) -> dict[str, Any]:
    return asdict(selection) | {"ids": list(selection.ids) if selection.ids is not None else None}
