"""Routing decisions, kept for good: one row each time it was decided where an order ships from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow, class_row

_INSERT: Final = """
    INSERT INTO order_decision (
        owner, brand, order_id, round, cause, action, rules_version, rules_fingerprint, cost, gap, stopped, record)
    SELECT owner, brand, order_id,
        1 + coalesce((SELECT max(known.round) FROM order_decision AS known WHERE known.order_id = made.order_id), 0),
        cause, action, rules_version, rules_fingerprint, cost, gap, stopped, record
    FROM unnest(
        %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::integer[], %s::text[], %s::float8[],
        %s::float8[], %s::text[], %b::bytea[]
    ) AS made (
        owner, brand, order_id, cause, action, rules_version, rules_fingerprint, cost, gap, stopped, record)
"""
_SELECT: Final = (
    "SELECT id, order_id, round, cause, action, rules_version, rules_fingerprint, cost, gap, stopped, record,"
    " decided_at"
    " FROM order_decision WHERE owner = %s AND brand = %s"
)


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to keep, as the order's next round. ``cause``: placed, resourced, restocked, waited, reoptimised."""

    owner: str
    brand: str
    order_id: int
    cause: str
    action: str
    rules_version: int
    rules_fingerprint: str
    cost: float
    gap: float
    stopped: str
    record: bytes


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision as it was kept; ``record`` is packed, see flows/one_stock/routing/record.py."""

    id: int
    order_id: int
    round: int
    cause: str
    action: str
    rules_version: int
    rules_fingerprint: str
    cost: float
    gap: float
    stopped: str
    record: bytes
    decided_at: datetime


def insert_many(connection: Connection[DictRow], decisions: Sequence[NewDecision]) -> None:
    """Keep the decisions, at most one for each order. The caller has locked the orders."""
    if not decisions:
        return
    connection.execute(
        _INSERT,
        [
            [each.owner for each in decisions],
            [each.brand for each in decisions],
            [each.order_id for each in decisions],
            [each.cause for each in decisions],
            [each.action for each in decisions],
            [each.rules_version for each in decisions],
            [each.rules_fingerprint for each in decisions],
            [each.cost for each in decisions],
            [each.gap for each in decisions],
            [each.stopped for each in decisions],
            [each.record for each in decisions],
        ],
    )


def list_decisions(connection: Connection[DictRow], owner: str, brand: str, order_id: int) -> list[DecisionRow]:
    """The decisions about an order, by round."""
    with connection.cursor(row_factory=class_row(DecisionRow)) as cursor:
        return cursor.execute(_SELECT + " AND order_id = %s ORDER BY round, id", [owner, brand, order_id]).fetchall()


def list_names(
    connection: Connection[DictRow], owner: str, brand: str, place_ids: Sequence[int], sku_ids: Sequence[int]
) -> tuple[dict[int, tuple[str, str]], dict[int, str]]:
    """What people call those places (code and name) and SKUs (code), by id."""
    places = connection.execute(
        "SELECT id, code, name FROM location WHERE owner = %s AND brand = %s AND id = ANY (%s)",
        [owner, brand, list(place_ids)],
    )
    skus = connection.execute(
        "SELECT id, code FROM sku WHERE owner = %s AND brand = %s AND id = ANY (%s)", [owner, brand, list(sku_ids)]
    )
    return {row["id"]: (row["code"], row["name"]) for row in places}, {row["id"]: row["code"] for row in skus}
