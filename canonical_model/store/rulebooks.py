"""Published rulebooks: versions of one document a brand and kind. They are only added; the newest is in force.

The rules of points are a group's: their brand is empty.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow, class_row

MAX_PAGE: Final = 1_000
ROUTING: Final = "routing"
POINTS: Final = "points"


@dataclass(frozen=True, slots=True)
class RulebookHead:
    """Which document a version is, and who published it, why and when."""

    version: int
    fingerprint: str
    note: str
    published_by: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class RulebookDoc(RulebookHead):
    """A published version with its text."""

    body: str


def newest(connection: Connection[DictRow], owner: str, brand: str, *, kind: str = ROUTING) -> tuple[int, str] | None:
    """Version and fingerprint of the rulebook in force; None while the brand has published none."""
    row = connection.execute(
        "SELECT version, fingerprint FROM rulebook WHERE owner = %s AND brand = %s AND kind = %s"
        " ORDER BY version DESC LIMIT 1",
        [owner, brand, kind],
    ).fetchone()
    return (row["version"], row["fingerprint"]) if row else None


def find_rulebook(
    connection: Connection[DictRow], owner: str, brand: str, version: int | None = None, *, kind: str = ROUTING
) -> RulebookDoc | None:
    """That version of the brand's rulebook, or the newest; None when there is none."""
    with connection.cursor(row_factory=class_row(RulebookDoc)) as cursor:
        return cursor.execute(
            "SELECT version, body, fingerprint, note, published_by, published_at FROM rulebook"
            " WHERE owner = %(owner)s AND brand = %(brand)s AND kind = %(kind)s"
            " AND (%(version)s::integer IS NULL OR version = %(version)s) ORDER BY version DESC LIMIT 1",
            {"owner": owner, "brand": brand, "kind": kind, "version": version},
        ).fetchone()


def list_rulebooks(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    *,
    before: int | None = None,
    limit: int = 100,
    kind: str = ROUTING,
) -> list[RulebookHead]:
    """Up to ``limit`` (at most MAX_PAGE) versions below ``before``, newest first, without their texts."""
    with connection.cursor(row_factory=class_row(RulebookHead)) as cursor:
        return cursor.execute(
            "SELECT version, fingerprint, note, published_by, published_at FROM rulebook"
            " WHERE owner = %(owner)s AND brand = %(brand)s AND kind = %(kind)s"
            " AND (%(before)s::integer IS NULL OR version < %(before)s) ORDER BY version DESC LIMIT %(limit)s",
            {"owner": owner, "brand": brand, "kind": kind, "before": before, "limit": min(limit, MAX_PAGE)},
        ).fetchall()


def publish(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    *,
    body: str,
    fingerprint: str,
    note: str,
    by: str,
    kind: str = ROUTING,
) -> RulebookDoc:
    """Add the next version, in force when the transaction commits; the newest itself if it has that text already.

    Publishers of one brand wait for each other.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 11))", [f"{owner}/{brand}/{kind}"])
    last = find_rulebook(connection, owner, brand, kind=kind)
    if last is not None and last.fingerprint == fingerprint:
        return last
    with connection.cursor(row_factory=class_row(RulebookDoc)) as cursor:
        (added,) = cursor.execute(
            "INSERT INTO rulebook (owner, brand, kind, version, body, fingerprint, note, published_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " RETURNING version, body, fingerprint, note, published_by, published_at",
            [owner, brand, kind, last.version + 1 if last else 1, body, fingerprint, note, by],
        ).fetchall()
    return added
