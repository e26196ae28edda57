"""Loads of places: how many parcels of a day a place has. Holds take and give back slots; see ``sql/``."""

from datetime import date

from psycopg import Connection
from psycopg.rows import DictRow


def forget_days(connection: Connection[DictRow], before: date) -> int:
    """Forget the loads of days before that one, with their slots; how many days of places."""
    row = connection.execute(
        """
        WITH past AS (
            DELETE FROM place_day WHERE day < %s RETURNING location_id, day
        ), slot AS (
            DELETE FROM place_slot USING past
            WHERE place_slot.location_id = past.location_id AND place_slot.day = past.day
        )
        SELECT count(*) AS days FROM past
        """,
        [before],
    ).fetchone()
    return int(row["days"]) if row else 0
