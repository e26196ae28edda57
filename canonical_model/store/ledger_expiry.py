"""Expiry: what is due leaves its lot at the moment at which it was due, whenever that is noted."""

from datetime import datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

EXPIRY_BATCH: Final = 1_000


def expire_lots(
    connection: Connection[DictRow], owner: str, *, as_of: datetime, now: datetime, limit: int = EXPIRY_BATCH
) -> int:
    """Expire up to ``limit`` lots of an owner that were due by ``as_of``, the earliest first; how many.

    One transfer (kind expire) for each account and moment, happened at that moment. What holds keep stays until they
    end. Call again until it returns 0, and commit between two calls: each of them locks accounts in the order of their
    ids.
    """
    row = connection.execute("SELECT ledger_expire_lots(%s, %s, %s, %s) AS lots", [owner, as_of, now, limit]).fetchone()
    assert row is not None
    return int(row["lots"])
