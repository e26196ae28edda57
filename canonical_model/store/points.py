"""Points entries as their sources tell them: added once, never changed. A reader goes on from the last id it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.errors import NotFoundError

MAX_PAGE: Final = 1000

_ASKED: Final = sql.SQL("""
    jsonb_to_recordset(%s) AS asked (
        position integer, owner text, brand text, system text, source_id text, member_id bigint, member_code text,
        programme text, points bigint, happened_at timestamptz, expires_at timestamptz, order_no text,
        extensions jsonb, message_id text)
""")

_INSERT: Final = sql.SQL("""
    INSERT INTO points_entry (
        owner, brand, system, source_id, member_id, member_code, programme, points, happened_at, expires_at, order_no,
        extensions, message_id)
    SELECT DISTINCT ON (owner, brand, system, source_id)
        owner, brand, system, source_id, member_id, member_code, programme, points, happened_at, expires_at, order_no,
        extensions, message_id
    FROM {}
    ORDER BY owner, brand, system, source_id, position
    ON CONFLICT (owner, brand, system, source_id) DO NOTHING
    RETURNING owner, brand, system, source_id
""").format(_ASKED)

# Each asked row is looked up by itself: joined, a planner without fresh statistics compares every row with every other.
_DIFFER: Final = sql.SQL("""
    SELECT asked.position FROM {}
    CROSS JOIN LATERAL (
        SELECT * FROM points_entry AS entry
        WHERE (entry.owner, entry.brand, entry.system, entry.source_id)
            = (asked.owner, asked.brand, asked.system, asked.source_id)
        LIMIT 1
    ) AS known
    WHERE (known.member_id, known.programme, known.points, known.happened_at, known.expires_at, known.order_no,
           known.extensions)
        IS DISTINCT FROM (asked.member_id, asked.programme, asked.points, asked.happened_at, asked.expires_at,
           asked.order_no, asked.extensions)
""").format(_ASKED)


@dataclass(frozen=True, slots=True)
class AddedEntries:
    """Positions of entries known before: ``duplicates`` say the same again, ``conflicts`` something else."""

    duplicates: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)


def add_entries(
    connection: Connection[DictRow], entries: Sequence[Mapping[str, Any]], member_ids: Sequence[int]
) -> AddedEntries:
    """Add canonical PointsEntries (JSON), each for the member of ours at its place in ``member_ids``.

    Of two with one (owner, brand, system, source id) the first is added, the other compared with it.
    """
    pairs = zip(entries, member_ids, strict=True)
    rows = [_row(position, entry, member_id) for position, (entry, member_id) in enumerate(pairs)]
    made = {_key(row) for row in connection.execute(_INSERT, [Jsonb(rows)])}
    others = []
    for row in rows:
        if _key(row) in made:
            made.discard(_key(row))
        else:
            others.append(row)
    if not others:
        return AddedEntries()
    conflicts = {row["position"] for row in connection.execute(_DIFFER, [Jsonb(others)])}
    known = [row["position"] for row in others]
    return AddedEntries([at for at in known if at not in conflicts], [at for at in known if at in conflicts])


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["owner"], row["brand"], row["system"], row["source_id"]


def _row(position: int, entry: Mapping[str, Any], member_id: int) -> dict[str, Any]:
    source = entry["source"]
    names = ("owner", "brand", "programme", "points", "happened_at")
    return {
        "position": position,
        **{name: entry[name] for name in names},
        "expires_at": entry.get("expires_at"),
        "order_no": entry.get("order_no"),
        "extensions": entry.get("extensions", {}),
        "system": source["system"],
        "source_id": source["id"],
        "message_id": source["message_id"],
        "member_id": member_id,
        "member_code": entry["member"],
    }


def list_entries(
    connection: Connection[DictRow], *, owner: str, brand: str, after: int = 0, limit: int = 100
) -> list[DictRow]:
    """Entries by id after ``after``; at most MAX_PAGE.

    An entry shows only once every transaction that may write one before it has ended: a reader who goes on from the
    last id it saw never skips one that commits later under a smaller id. Ask in a transaction that has not written.
    """
    settled = connection.execute("SELECT feed_settled_before(true) AS before").fetchone()
    assert settled is not None
    return connection.execute(
        "SELECT * FROM points_entry WHERE owner = %s AND brand = %s AND id > %s"
        " AND id <= (SELECT max(id) FROM points_entry WHERE recorded_at < %s)"
        " ORDER BY id LIMIT %s",
        (owner, brand, after, settled["before"], min(limit, MAX_PAGE)),
    ).fetchall()


def get_entry(connection: Connection[DictRow], entry_id: int) -> DictRow:
    """One entry. NotFoundError (``points.entry_unknown``)."""
    row = connection.execute("SELECT * FROM points_entry WHERE id = %s", [entry_id]).fetchone()
    if row is None:
        raise NotFoundError(f"there is no points entry {entry_id}", code="points.entry_unknown", id=entry_id)
    return row


def list_entries_of(connection: Connection[DictRow], member_id: int, *, limit: int = MAX_PAGE) -> list[DictRow]:
    """A member's entries, the newest first; at most MAX_PAGE."""
    return connection.execute(
        "SELECT * FROM points_entry WHERE member_id = %s ORDER BY id DESC LIMIT %s", (member_id, min(limit, MAX_PAGE))
    ).fetchall()
