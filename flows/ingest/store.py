"""The SQL of ingest that no other part needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.product import ProductKind
from canonical_model.store.crosswalk import HUB
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


@dataclass(frozen=True, slots=True)
class BundlePart:
    """``quantity`` units of a component in one bundle. ``sku_id`` is None while nobody has sent the component."""

    sku: str
    sku_id: int | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle consists of, in the words of ``system``, which sent it."""

    system: str
    parts: Sequence[BundlePart]


def list_bundles(connection: Connection[DictRow], sku_ids: Sequence[int]) -> dict[int, Bundle]:
    """Those of the SKUs that are bundles, by id. A component goes by its name in the system that sent the bundle, else
    by the hub's own."""
    rows = connection.execute(
        "SELECT sku.id, sku.system, component.value ->> 'sku' AS sku, (component.value ->> 'quantity')::bigint"
        " AS quantity, (SELECT name.inner_id FROM crosswalk AS name WHERE name.owner = sku.owner"
        " AND name.brand = sku.brand AND name.kind = 'sku' AND name.scheme IN (sku.system, %s)"
        " AND name.outside_id = component.value ->> 'sku' ORDER BY name.scheme = %s LIMIT 1) AS sku_id"
        " FROM sku CROSS JOIN jsonb_array_elements(sku.body -> 'components') WITH ORDINALITY AS component (value, n)"
        " WHERE sku.id = ANY (%s) AND sku.body ->> 'kind' = %s ORDER BY sku.id, n",
        (HUB, HUB, list(sku_ids), ProductKind.BUNDLE),
    )
    bundles: dict[int, Bundle] = {}
    for row in rows:
        parts = bundles.setdefault(row["id"], Bundle(row["system"], [])).parts
        bundles[row["id"]] = Bundle(row["system"], [*parts, BundlePart(row["sku"], row["sku_id"], row["quantity"])])
    return bundles


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
