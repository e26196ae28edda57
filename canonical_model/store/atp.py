"""What may be promised of a SKU, place by place: of a bundle, as many as its parts make there."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.location import Service
from canonical_model.product import ProductKind
from canonical_model.store.availability import pool
from canonical_model.store.crosswalk import HUB, resolve

_BY_CODE: Final = """
    SELECT id, code, system, body ->> 'kind' AS kind, body -> 'components' AS components FROM sku
    WHERE owner = %(owner)s AND brand = %(brand)s AND code = ANY (%(skus)s) ORDER BY code
"""

_CHANGED: Final = """
    SELECT id, code, system, body ->> 'kind' AS kind, body -> 'components' AS components FROM sku
    WHERE owner = %(owner)s AND brand = %(brand)s AND id = ANY (%(changed)s::bigint[])
    UNION
    SELECT id, code, system, body ->> 'kind', body -> 'components' FROM sku
    WHERE owner = %(owner)s AND brand = %(brand)s AND body ->> 'kind' = 'bundle'
    ORDER BY code
"""

_PLACES: Final = """
    SELECT id, code, name, kind, region_code FROM location
    WHERE owner = %(owner)s AND brand = %(brand)s AND active AND fulfilled_by IS NOT NULL
        AND %(ship)s = ANY (services)
    ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Goods:
    """A SKU, and of a bundle the units of each part, by SKU id. ``parts`` is None for a bundle with an unknown part."""

    sku_id: int
    sku: str
    parts: Mapping[int, int] | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which places count, and which goods. An empty collection restricts nothing.

    ``kinds``, ``places``: only these; ``not_places``: not these; ``region``: the beginning of a region code.
    ``min_expiry``: goods kept in batches must not expire before.
    """

    kinds: Collection[str] = field(default=())
    places: Collection[str] = field(default=())
    not_places: Collection[str] = field(default=())
    region: str = ""
    quality: str = "sellable"
    min_expiry: date | None = None

    def covers(self, place: Mapping[str, Any]) -> bool:
        """Whether the place counts."""
        return (
            (not self.kinds or place["kind"] in self.kinds)
            and (not self.places or place["code"] in self.places)
            and place["code"] not in self.not_places
            and (place["region_code"] or "").startswith(self.region)
        )


@dataclass(frozen=True, slots=True)
class AtPlace:
    """``units`` that may be promised from one place, its safety stock kept back."""

    location_id: int
    location: str
    name: str
    region_code: str | None
    units: int


def find_goods(connection: Connection[DictRow], owner: str, brand: str, codes: Sequence[str]) -> list[Goods]:
    """SKUs with the parts of bundles, by code; unknown codes are absent."""
    return _goods(connection, _BY_CODE, {"owner": owner, "brand": brand, "skus": list(codes)})


def goods_touched(connection: Connection[DictRow], owner: str, brand: str, sku_ids: Collection[int]) -> list[Goods]:
    """Those SKUs, and the bundles that they are part of, by code."""
    changed = set(sku_ids)
    found = _goods(connection, _CHANGED, {"owner": owner, "brand": brand, "changed": sorted(changed)})
    return [goods for goods in found if goods.sku_id in changed or (goods.parts and changed & goods.parts.keys())]


def atp(
    connection: Connection[DictRow], owner: str, brand: str, goods: Sequence[Goods], scope: Scope | None = None
) -> dict[int, list[AtPlace]]:
    """What every place in ``scope`` can promise of each, by SKU id; places by id, those without any left out.

    A set leaves whole from one place: a place has as many bundles as the scarcest of their parts makes there.
    """
    scope = scope or Scope()
    wanted = sorted({sku_id for each in goods for sku_id in (each.parts or {})})
    pools = pool(connection, owner, brand, wanted, scope.quality, scope.min_expiry)
    units: dict[int, dict[int, int]] = {
        sku_id: dict(zip(found.location_ids, found.atp, strict=True)) for sku_id, found in pools.items()
    }
    asked = {"owner": owner, "brand": brand, "ship": Service.SHIP}
    places = [place for place in connection.execute(_PLACES, asked) if scope.covers(place)]
    return {each.sku_id: _at_places(each, units, places) for each in goods}


def list_safety(
    connection: Connection[DictRow], owner: str, brand: str, channel: str, sku_ids: Sequence[int]
) -> dict[int, int]:
    """Units of each SKU that the channel is not shown, where that was set for the SKU itself."""
    rows = connection.execute(
        "SELECT sku_id, units FROM channel_safety"
        " WHERE owner = %s AND brand = %s AND channel = %s AND sku_id = ANY (%s::bigint[])",
        [owner, brand, channel, list(sku_ids)],
    )
    return {row["sku_id"]: row["units"] for row in rows}


def _goods(connection: Connection[DictRow], query: Any, asked: Mapping[str, Any]) -> list[Goods]:
    rows = connection.execute(query, asked).fetchall()
    named: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["kind"] == ProductKind.BUNDLE:
            for scheme in (row["system"], HUB):
                named[scheme] |= {part["sku"] for part in row["components"] or ()}
    whose = {"owner": asked["owner"], "brand": asked["brand"], "kind": "sku"}
    known = {
        scheme: resolve(connection, **whose, scheme=scheme, outside_ids=sorted(codes))
        for scheme, codes in named.items()
    }
    return [Goods(row["id"], row["code"], _parts(row, known)) for row in rows]


def _parts(row: Mapping[str, Any], known: Mapping[str, Mapping[str, int]]) -> dict[int, int] | None:
    """A part is named as the bundle's own source names it, or by the hub's code."""
    if row["kind"] != ProductKind.BUNDLE:
        return {row["id"]: 1}
    parts: defaultdict[int, int] = defaultdict(int)
    for part in row["components"] or ():
        sku_id = known[row["system"]].get(part["sku"]) or known[HUB].get(part["sku"])
        if sku_id is None:
            return None
        parts[sku_id] += part["quantity"]
    return dict(parts)


def _at_places(
    goods: Goods, units: Mapping[int, Mapping[int, int]], places: Sequence[Mapping[str, Any]]
) -> list[AtPlace]:
    if not goods.parts:
        return []
    found = []
    for place in places:
        whole = min(units.get(sku_id, {}).get(place["id"], 0) // per for sku_id, per in goods.parts.items())
        if whole > 0:
            found.append(AtPlace(place["id"], place["code"], place["name"], place["region_code"], whole))
    return found
