"""Safety stocks: units that a place keeps from routing, and units of the pool that a channel is not shown."""

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.stock import Quality
from canonical_model.store import stock
from canonical_model.store.atp import Goods, find_goods
from canonical_model.store.stock import Shortfall


def set_place_safety(
    connection: Connection[DictRow], owner: str, brand: str, *, sku: str, place: str, units: int
) -> list[Shortfall]:
    """Keep ``units`` of a SKU at a place back; what is short because of it. NotFoundError: the place has no figure."""
    found = stock.stock_view(
        connection, owner=owner, brand=brand, skus=[sku], locations=[place], quality=Quality.SELLABLE
    )
    if not found:
        raise NotFoundError(
            f"{place!r} has no stock figure of {sku!r}; send its stock first", code="stock.unknown_level"
        )
    return stock.set_safety(connection, found[0].level_id, units)


def set_channel_safety(
    connection: Connection[DictRow], owner: str, brand: str, *, sku: str, channel: str, units: int | None
) -> None:
    """Show a channel ``units`` of a SKU less than the pool has; None: as many less as its rules say.

    The feed tells of it as of a change of every level of the SKU. NotFoundError for an unknown SKU.
    """
    found = find_goods(connection, owner, brand, [sku])
    if not found:
        raise NotFoundError(f"no SKU {sku!r}; send the product first", code="sku.unknown", sku=sku)
    key = [owner, brand, channel, found[0].sku_id]
    if units is None:
        connection.execute(
            "DELETE FROM channel_safety WHERE owner = %s AND brand = %s AND channel = %s AND sku_id = %s", key
        )
    else:
        connection.execute(
            "INSERT INTO channel_safety (owner, brand, channel, sku_id, units) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (owner, brand, channel, sku_id) DO UPDATE"
            " SET units = excluded.units, updated_at = clock_timestamp()",
            [*key, units],
        )
    _tell(connection, owner, brand, found[0])


def _tell(connection: Connection[DictRow], owner: str, brand: str, goods: Goods) -> None:
    connection.execute("SELECT pg_current_xact_id()")  # before a number of the feed is drawn
    connection.execute(
        "SELECT note_stock_changes(ARRAY(SELECT id FROM stock_level"
        " WHERE sku_id = ANY (%s::bigint[]) AND owner = %s AND brand = %s))",
        [list(goods.parts or ()), owner, brand],
    )
