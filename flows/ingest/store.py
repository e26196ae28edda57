"""The SQL of ingest that no other part needs."""

from collections.abc import Sequence
from fractions import Fraction

from psycopg import Connection
from psycopg.rows import DictRow

from flows.ingest.units import Units


def list_units(connection: Connection[DictRow], sku_ids: Sequence[int]) -> dict[int, Units]:
    """The units of each SKU, by id."""
    rows = connection.execute(
        "SELECT id, body->>'base_unit' AS base, body->'units' AS units FROM sku WHERE id = ANY(%s)", (list(sku_ids),)
    )
    return {
        row["id"]: Units(
            row["base"] or "EA",
            {unit["unit"]: Fraction(unit["numerator"], unit.get("denominator", 1)) for unit in row["units"] or ()},
        )
        for row in rows
    }


def list_known_orders(
    connection: Connection[DictRow], owner: str, brand: str, keys: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of the (channel, order number) pairs under which there is an order."""
    rows = connection.execute(
        "SELECT channel, order_no FROM sales_order WHERE owner = %s AND brand = %s"
        " AND (channel, order_no) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        (owner, brand, [channel for channel, _ in keys], [order_no for _, order_no in keys]),
    )
    return {(row["channel"], row["order_no"]) for row in rows}
