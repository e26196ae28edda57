"""SKUs, and their outside names in the crosswalk."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.store import master
from canonical_model.store.master import Upserted

MAX_PAGE: Final = 1000

_UPSERT: Final = """
    INSERT INTO sku AS known (
        owner, brand, code, spu, name, status, batch_managed, body, system, source_id, message_id, occurred_at)
    SELECT owner, brand, code, spu, name, status, batch_managed, body, system, source_id, message_id, occurred_at
    FROM jsonb_to_recordset(%s) AS asked (
        owner text, brand text, code text, spu text, name text, status text, batch_managed boolean, body jsonb,
        system text, source_id text, message_id text, occurred_at timestamptz)
    ORDER BY owner, brand, code
    ON CONFLICT (owner, brand, code) DO UPDATE SET
        spu = excluded.spu, name = excluded.name, status = excluded.status, batch_managed = excluded.batch_managed,
        body = excluded.body, system = excluded.system, source_id = excluded.source_id,
        message_id = excluded.message_id, occurred_at = excluded.occurred_at, updated_at = excluded.updated_at
    WHERE known.occurred_at <= excluded.occurred_at
    RETURNING owner, brand, code, id
"""


def upsert_products(connection: Connection[DictRow], products: Sequence[Mapping[str, Any]]) -> Upserted:
    """Write canonical Products (JSON) and link their names.

    The crosswalk learns the hub's code, the source's id under its system, and every identifier. The record with
    the latest ``occurred_at`` wins, the later one of a batch on a tie.
    """
    return master.upsert(connection, products, kind="sku", statement=_UPSERT, rows=[_row(p) for p in products])


def _row(product: Mapping[str, Any]) -> dict[str, Any]:
    source = product["source"]
    return {
        "owner": product["owner"],
        "brand": product["brand"],
        "code": product["code"],
        "spu": product["spu"],
        "name": product["name"],
        "status": product.get("status", "active"),
        "batch_managed": product.get("batch_managed", False),
        "body": product,
        "system": source["system"],
        "source_id": source["id"],
        "message_id": source["message_id"],
        "occurred_at": source["occurred_at"],
    }


def get_sku(connection: Connection[DictRow], owner: str, brand: str, code: str) -> DictRow:
    """The SKU row of the hub's ``code``; NotFoundError otherwise."""
    row = connection.execute(
        "SELECT * FROM sku WHERE owner = %s AND brand = %s AND code = %s", [owner, brand, code]
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no SKU {code!r}; send the product first", code="sku.unknown", sku=code)
    return row


def list_skus(
    connection: Connection[DictRow], owner: str, brand: str, *, after: int = 0, limit: int = 100
) -> list[DictRow]:
    """Up to ``limit`` (at most MAX_PAGE) SKU rows with an id above ``after``, by id."""
    return connection.execute(
        "SELECT * FROM sku WHERE owner = %s AND brand = %s AND id > %s ORDER BY id LIMIT %s",
        [owner, brand, after, min(limit, MAX_PAGE)],
    ).fetchall()
