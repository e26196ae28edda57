"""A SKU's stock everywhere: the authority's figures with their holds, what others observed, and how it came to be."""

from typing import Any, Final

from canonical_model.errors import NotFoundError
from flows.runtime.database import Row, UnitOfWork
from hub_api.auth import Access
from hub_api.stories.shapes import Story, url_of

MAX_LEVELS: Final = 300
MAX_HOLDS: Final = 200
MAX_MOVEMENTS: Final = 100
MAX_OBSERVATIONS: Final = 300
KEPT_INSIDE: Final = frozenset({"owner", "brand"})


def tell_sku(uow: UnitOfWork, access: Access, code: str) -> Story:
    """The SKU of that code. NotFoundError if the brand has none."""
    sku = uow.execute(
        "SELECT * FROM sku WHERE owner = %s AND brand = %s AND code = %s", (access.owner, access.brand, code)
    ).fetchone()
    if sku is None:
        raise NotFoundError(f"there is no SKU {code!r}", code="sku.unknown")
    given = {"owner": access.owner, "brand": access.brand, "sku": sku["id"]}
    levels = uow.execute(_LEVELS, given | {"most": MAX_LEVELS + 1}).fetchall()
    holds = uow.execute(_HOLDS, given | {"most": MAX_HOLDS + 1}).fetchall()
    observations = uow.execute(_OBSERVATIONS, given | {"most": MAX_OBSERVATIONS + 1}).fetchall()
    level_ids = [level["level_id"] for level in levels[:MAX_LEVELS]]
    movements = uow.execute(_MOVEMENTS, {"levels": level_ids, "most": MAX_MOVEMENTS}).fetchall()
    identifiers = uow.execute(_IDENTIFIERS, given).fetchall()
    parts: dict[str, tuple[list[Row], int]] = {
        "levels": (levels, MAX_LEVELS),
        "holds": (holds, MAX_HOLDS),
        "observations": (observations, MAX_OBSERVATIONS),
    }
    summary = {name: value for name, value in sku.items() if name not in KEPT_INSIDE}
    return Story(
        kind="sku",
        id=code,
        title=f"{code} · {sku['name']}",
        state=sku["status"],
        when=sku["updated_at"],
        url=url_of("sku", code),
        summary={**summary, "identifiers": identifiers, "totals": _totals(levels)},
        levels=levels[:MAX_LEVELS],
        holds=holds[:MAX_HOLDS],
        observations=[_beside(row) for row in observations[:MAX_OBSERVATIONS]],
        movements=movements,
        cut=[name for name, (rows, most) in parts.items() if len(rows) > most],
    )


def _totals(levels: list[Row]) -> dict[str, int]:
    sellable = [level for level in levels if level["quality"] == "sellable"]
    return {name: sum(level[name] for level in sellable) for name in ("on_hand", "held", "safety", "atp")}


def _beside(row: Row) -> dict[str, Any]:
    """An observation with how far it is from the authority's figure; None where the two cannot be compared."""
    comparable = row["figure"] != "delta" and row["authority_figure"] is not None
    ours = row["authority_available"] if row["figure"] == "available" else row["authority_figure"]
    return {**row, "difference": row["quantity"] - ours if comparable else None}


_LEVELS: Final = """
    SELECT level.id AS level_id, location.code AS location, location.name AS location_name, location.kind,
        level.quality, level.on_hand, level.held, level.safety,
        greatest(0, level.on_hand - level.safety - level.held) AS atp, level.system, level.figure, level.as_of,
        level.sequence, level.updated_at, level.message_id
    FROM stock_level AS level JOIN location ON location.id = level.location_id
    WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.sku_id = %(sku)s
    ORDER BY location.code, level.quality LIMIT %(most)s
"""
_HOLDS: Final = """
    SELECT hold.id, hold.order_id, sales_order.channel, sales_order.order_no, hold.reference AS parcel_no,
        hold.line_no, location.code AS location, level.quality, hold.quantity, hold.deducting, hold.shipped, hold.state,
        hold.reason, hold.named, hold.picked, hold.created_at, hold.expires_at
    FROM stock_level AS level
    JOIN stock_hold AS hold ON hold.level_id = level.id AND hold.deducting > 0
    JOIN location ON location.id = level.location_id
    JOIN sales_order ON sales_order.id = hold.order_id
    WHERE level.owner = %(owner)s AND level.brand = %(brand)s AND level.sku_id = %(sku)s
    ORDER BY hold.id DESC LIMIT %(most)s
"""
_OBSERVATIONS: Final = """
    SELECT seen.system, location.code AS location, seen.quality, seen.figure, seen.quantity, seen.as_of, seen.sequence,
        seen.message_id, level.system AS authority, level.on_hand AS authority_figure,
        greatest(0, level.on_hand - level.safety - level.held) AS authority_available, level.as_of AS authority_as_of
    FROM location
    JOIN stock_observation AS seen ON (seen.owner, seen.brand, seen.sku_id, seen.location_id)
        = (%(owner)s, %(brand)s, %(sku)s, location.id)
    LEFT JOIN stock_level AS level ON (level.sku_id, level.location_id, level.quality, level.owner, level.brand)
        = (seen.sku_id, seen.location_id, seen.quality, seen.owner, seen.brand)
    ORDER BY location.code, seen.system, seen.quality, seen.figure LIMIT %(most)s
"""
_MOVEMENTS: Final = """
    SELECT moved.*, location.code AS location, level.quality FROM unnest(%(levels)s::bigint[]) AS asked (id)
    CROSS JOIN LATERAL (
        SELECT id, level_id, delta, on_hand, reason, system, source_id, sequence, message_id, occurred_at, recorded_at
        FROM stock_movement WHERE level_id = asked.id ORDER BY id DESC LIMIT %(most)s) AS moved
    JOIN stock_level AS level ON level.id = asked.id
    JOIN location ON location.id = level.location_id
    ORDER BY moved.id DESC LIMIT %(most)s
"""
_IDENTIFIERS: Final = """
    SELECT scheme, outside_id FROM crosswalk WHERE owner = %(owner)s AND brand = %(brand)s AND kind = 'sku'
        AND inner_id = %(sku)s ORDER BY scheme, outside_id LIMIT 100
"""
