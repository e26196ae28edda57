"""Shortfalls: goods we promised that an outside fact says are not there."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import DictRow, class_row


@dataclass(frozen=True, slots=True)
class Shortfall:
    """``quantity`` promised units of a level are not there."""

    id: int
    level_id: int
    quantity: int
    state: str


def list_shortfalls(connection: Connection[DictRow], ids: Sequence[int]) -> list[Shortfall]:
    """The shortfalls of those ids, by id."""
    with connection.cursor(row_factory=class_row(Shortfall)) as cursor:
        return cursor.execute(
            "SELECT id, level_id, quantity, state FROM stock_shortfall WHERE id = ANY (%s) ORDER BY id", [list(ids)]
        ).fetchall()


def find_open_shortfall(connection: Connection[DictRow], level_id: int) -> Shortfall | None:
    """The open shortfall of a level, if it has one."""
    with connection.cursor(row_factory=class_row(Shortfall)) as cursor:
        return cursor.execute(
            "SELECT id, level_id, quantity, state FROM stock_shortfall WHERE level_id = %s AND state = 'open'",
            [level_id],
        ).fetchone()


def recallable_holds(connection: Connection[DictRow], level_id: int) -> list[DictRow]:
    """The newest unpicked holds (``stock_hold`` rows) that together cover the open shortfall of a level.

    All of them when they do not suffice; none when nothing is short. A hold that a figure names counts as picked.
    """
    return connection.execute(
        """
        SELECT newest.* FROM (
            SELECT hold.*, sum(hold.deducting) OVER (ORDER BY hold.id DESC) - hold.deducting AS before
            FROM stock_hold AS hold JOIN stock_level AS level ON level.id = hold.level_id
            WHERE hold.level_id = %(level)s AND hold.deducting > 0 AND stock_wants(hold, level) AND NOT hold.picked
        ) AS newest
        JOIN stock_shortfall AS shortfall ON shortfall.level_id = newest.level_id AND shortfall.state = 'open'
        WHERE newest.before < shortfall.quantity
        ORDER BY newest.id DESC
        """,
        {"level": level_id},
    ).fetchall()


def resolve_shortfall(connection: Connection[DictRow], shortfall_id: int) -> bool:
    """Close an open shortfall whatever is missing; False if it was closed before. A later fact may open another."""
    closed = connection.execute(
        """
        UPDATE stock_shortfall SET state = 'resolved', resolved_at = clock_timestamp()
        WHERE id = %s AND state = 'open'
        """,
        [shortfall_id],
    )
    return closed.rowcount == 1
