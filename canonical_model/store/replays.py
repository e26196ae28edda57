"""First decisions about orders, as material to decide again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow, class_row

MAX_REPLAYED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Placed:
    """How an order was routed when it came; ``record`` is packed, see flows/one_stock/routing/record.py."""

    order_no: str
    channel: str
    record: bytes
    decided_at: datetime


def list_placed(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    channel: str | None = None,
    limit: int = 1_000,
) -> list[Placed]:
    """The first decisions about the newest orders, at most ``limit`` (and MAX_REPLAYED), the oldest first.

    ``since``, ``until``: only those decided from then on, and before then.
    """
    with connection.cursor(row_factory=class_row(Placed)) as cursor:
        newest = cursor.execute(
            "SELECT sales_order.order_no, sales_order.channel, made.record, made.decided_at"
            " FROM order_decision AS made JOIN sales_order ON sales_order.id = made.order_id"
            " WHERE made.owner = %(owner)s AND made.brand = %(brand)s AND made.round = 1"
            " AND (%(since)s::timestamptz IS NULL OR made.decided_at >= %(since)s)"
            " AND (%(until)s::timestamptz IS NULL OR made.decided_at < %(until)s)"
            " AND (%(channel)s::text IS NULL OR sales_order.channel = %(channel)s)"
            " ORDER BY made.id DESC LIMIT %(limit)s",
            {
                "owner": owner,
                "brand": brand,
                "since": since,
                "until": until,
                "channel": channel,
                "limit": min(limit, MAX_REPLAYED),
            },
        ).fetchall()
    return newest[::-1]
