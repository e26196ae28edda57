"""The change feed of stock: which levels changed, in sequence, with the figures they have now.

Movements and ``stock_change`` rows number themselves from one sequence; a writer has its transaction number before it
draws. Readers are shown rows up to the newest that has nothing open before it (``feed_settled_before``), and therefore
never skip one that commits later under a smaller number. Writers pay nothing for this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

WINDOW: Final = 10_000
TRIM_BATCH: Final = 100_000
KEEP: Final = timedelta(days=7)

_SETTLED: Final = """
    SELECT feed_settled_before(false) AS before, CASE WHEN is_called THEN last_value ELSE 0 END AS newest
    FROM stock_movement_id_seq
"""

_PAGE: Final = """
    WITH entry AS MATERIALIZED (
        SELECT * FROM stock_changes_between(%(after)s::bigint, %(until)s::bigint)
    ), settled AS (
        SELECT max(id) AS id FROM entry WHERE recorded_at < %(before)s
    ), own AS (
        SELECT entry.level_id, min(entry.id) AS first FROM entry, settled
        WHERE owner = %(owner)s AND brand = %(brand)s AND entry.id <= settled.id GROUP BY entry.level_id
    ), cut AS (
        SELECT coalesce((SELECT first - 1 FROM own ORDER BY first OFFSET %(limit)s LIMIT 1), settled.id) AS id
        FROM settled
    ), changed AS (
        SELECT entry.level_id, max(entry.id) AS sequence FROM entry, cut
        WHERE owner = %(owner)s AND brand = %(brand)s AND entry.id <= cut.id GROUP BY entry.level_id
    )
    SELECT stock_changes_trimmed() AS trimmed, cut.id AS read_to, settled.id AS settled, changed.sequence,
        level.id AS level_id, level.sku_id,
        sku.code AS sku, location.code AS location, level.quality, level.on_hand, level.held, level.safety,
        greatest(0, level.on_hand - level.safety - level.held) AS atp
    FROM cut CROSS JOIN settled
    LEFT JOIN (
        changed
        JOIN stock_level AS level ON level.id = changed.level_id
        JOIN sku ON sku.id = level.sku_id
        JOIN location ON location.id = level.location_id
    ) ON true
    ORDER BY changed.sequence
"""

_NEXT_AFTER_GAP: Final = """
    SELECT least(
        (SELECT min(id) FROM stock_movement WHERE id > %(until)s AND recorded_at < %(before)s),
        (SELECT id FROM stock_change WHERE id > %(until)s AND recorded_at < %(before)s ORDER BY id LIMIT 1)
    ) AS id
"""


@dataclass(frozen=True, slots=True)
class StockChange:
    """A level that changed, the number of its newest change in the page, and its figures now."""

    sequence: int
    level_id: int
    sku_id: int
    sku: str
    location: str
    quality: str
    on_hand: int
    held: int
    safety: int
    atp: int


@dataclass(frozen=True, slots=True)
class Changes:
    """One page. Go on from ``next``, at once if there is ``more``.

    ``reset``: what came after the asked number is not kept; read all stock, then go on from ``next``.
    """

    items: Sequence[StockChange]
    next: int
    more: bool = False
    reset: bool = False


def list_changes(
    connection: Connection[DictRow], owner: str, brand: str, *, after: int | None = None, limit: int = 100
) -> Changes:
    """Levels that changed after the entry ``after``, each once, up to ``limit``; at most WINDOW entries are looked at.

    ``after`` None asks where the feed is now. Ask in a transaction that has not written itself.
    """
    settled = connection.execute(_SETTLED).fetchone()
    assert settled is not None
    if after is None or after > settled["newest"]:
        return _start_anew(connection, settled)
    if after == settled["newest"]:
        return Changes([], after)
    asked = {"owner": owner, "brand": brand, "limit": limit, "before": settled["before"]}
    rows = _page(connection, asked, after)
    if after < rows[0]["trimmed"]:
        return _start_anew(connection, settled)
    if rows[0]["read_to"] is None and settled["newest"] > after + WINDOW:
        gap = connection.execute(_NEXT_AFTER_GAP, {**asked, "until": after + WINDOW}).fetchone()
        if gap is not None and gap["id"] is not None:
            after = gap["id"] - 1
            rows = _page(connection, asked, after)
    read_to = rows[0]["read_to"]
    if read_to is None:
        return Changes([], after)
    names = StockChange.__dataclass_fields__
    items = [StockChange(**{name: row[name] for name in names}) for row in rows if row["sequence"] is not None]
    more = read_to < rows[0]["settled"] or settled["newest"] > after + WINDOW
    return Changes(items, read_to, more)


def trim_changes(connection: Connection[DictRow], before: datetime) -> int:
    """Forget changes recorded before that moment, at most TRIM_BATCH; how many. Movements are the ledger and stay.

    The newest one forgotten stays as a mark, so that a reader who is further behind is told to start anew. Also
    brings the movements' index up to date, so that readers at the end of the feed need not look at what came long ago.
    """
    connection.execute("SELECT brin_summarize_new_values('ix_stock_movement_id')")
    row = connection.execute(
        """
        WITH oldest AS MATERIALIZED (SELECT id, recorded_at FROM stock_change ORDER BY id LIMIT %(most)s), cut AS (
            SELECT coalesce((SELECT id - 1 FROM oldest WHERE recorded_at >= %(before)s ORDER BY id LIMIT 1),
                (SELECT max(id) FROM oldest)) AS id
        ), mark AS (
            SELECT max(oldest.id) AS id FROM oldest, cut WHERE oldest.id <= cut.id
        ), gone AS (
            DELETE FROM stock_change USING mark WHERE stock_change.id < mark.id RETURNING 1
        ), marked AS (
            UPDATE stock_change SET level_id = 0, owner = '', brand = '' FROM mark WHERE stock_change.id = mark.id
        )
        SELECT count(*) AS gone FROM gone
        """,
        {"most": TRIM_BATCH, "before": before},
    ).fetchone()
    return int(row["gone"]) if row else 0


def _page(connection: Connection[DictRow], asked: dict[str, object], after: int) -> list[DictRow]:
    return connection.execute(_PAGE, {**asked, "after": after, "until": after + WINDOW}).fetchall()


def _start_anew(connection: Connection[DictRow], settled: DictRow) -> Changes:
    """Where to go on after reading everything: a settled entry, as new as can be told cheaply."""
    row = connection.execute(
        "SELECT max(id) AS id, stock_changes_trimmed() AS trimmed"
        " FROM stock_changes_between(%s::bigint, %s::bigint) WHERE recorded_at < %s",
        [settled["newest"] - WINDOW, settled["newest"], settled["before"]],
    ).fetchone()
    assert row is not None
    return Changes([], max(row["trimmed"], row["id"] or 0), reset=True)
