"""What a channel is shown of the pool: what its rules let it sell, less the safety that is kept from it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import atp
from canonical_model.store.atp import AtPlace, Goods, Scope
from flows.one_stock.rulebooks import rulebook_of
from flows.one_stock.snapshot import PLACES_ZONE


@dataclass(frozen=True, slots=True)
class Published:
    """``units`` of a SKU that are shown, ``safety`` of the pool's that are not, and the places that have some.

    A place's figure is never above ``units``.
    """

    sku_id: int
    sku: str
    units: int
    safety: int
    places: Sequence[AtPlace]


def published(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    goods: Sequence[Goods],
    *,
    now: datetime,
    channel: str | None = None,
    region: str = "",
    places: Collection[str] = (),
) -> list[Published]:
    """What may be promised of each of ``goods``, in their order.

    ``channel``: by the rules of that channel, less its safety; the whole pool without any when left out. ``region``
    (the beginning of a region code) and ``places`` (codes) ask for a part of the pool: what it has, but never more
    than the channel is shown of all.
    """
    rules = rulebook_of(connection, owner, brand).rules(channel or "")
    allowed = rules.filters if channel is not None else None
    days = rules.minimum_remaining_days if channel is not None else 0
    scope = Scope(
        kinds=allowed.kinds if allowed else (),
        places=allowed.places if allowed else (),
        not_places=allowed.not_places if allowed else (),
        quality=rules.quality,
        min_expiry=now.astimezone(PLACES_ZONE).date() + timedelta(days=days) if days else None,
    )
    found = atp.atp(connection, owner, brand, goods, scope)
    own: dict[int, int] = {}
    if channel is not None:
        own = atp.list_safety(connection, owner, brand, channel, [each.sku_id for each in goods])
    kept = {each.sku_id: own.get(each.sku_id, rules.published_safety if channel is not None else 0) for each in goods}
    part = Scope(places=places, region=region)
    return [_shown(each, found[each.sku_id], kept[each.sku_id], part) for each in goods]


def _shown(goods: Goods, everywhere: Sequence[AtPlace], safety: int, part: Scope) -> Published:
    whole = max(0, sum(place.units for place in everywhere) - safety)
    there = [place for place in everywhere if _is_in(place, part)]
    capped = [
        AtPlace(place.location_id, place.location, place.name, place.region_code, min(place.units, whole))
        for place in there
        if whole
    ]
    return Published(goods.sku_id, goods.sku, min(whole, sum(place.units for place in there)), safety, capped)


def _is_in(place: AtPlace, part: Scope) -> bool:
    return part.covers({"kind": "", "code": place.location, "region_code": place.region_code})
