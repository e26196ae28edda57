"""What may be promised, as people and channels see it; and the safety stocks that people set.

A caller who speaks for a channel sees that channel's figures, whatever they ask for.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from canonical_model.errors import AccessError, Issue, RecordError
from canonical_model.store import atp, safety
from canonical_model.store.atp import AtPlace
from canonical_model.store.changes import Changes, list_changes
from flows.one_stock.geography import find_name
from flows.one_stock.published import Published, published
from flows.one_stock.shortfall import start_resolving
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from hub_api import audit
from hub_api.auth import Access

By = Literal["place", "region"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which figures are asked for. ``region``: of its places only; ``by``: told apart by place or by region."""

    skus: Sequence[str]
    channel: str | None = None
    region: str = ""
    places: Sequence[str] = ()
    by: By | None = None


def channel_for(access: Access, channel: str | None) -> str | None:
    """Whose figures the caller sees. AccessError if that is another channel's than the caller's own."""
    if access.channel is None:
        return channel
    if channel not in (None, access.channel):
        raise AccessError(f"this key speaks for {access.channel}; leave the channel out", code="access.channel")
    return access.channel


def refuse_channels(access: Access) -> None:
    """AccessError for a caller that speaks for a channel: these figures tell of every place."""
    if access.channel is not None:
        detail = f"these figures show every place; ask /v1/stock/availability for what {access.channel} may promise"
        raise AccessError(detail, code="access.channel")


def read_availability(uow: UnitOfWork, access: Access, wanted: Wanted) -> dict[str, Any]:
    """``items``: each SKU with what is available; ``unknown``: the codes that no product has."""
    channel = channel_for(access, wanted.channel)
    goods = atp.find_goods(uow.connection, access.owner, access.brand, wanted.skus)
    region = region_stem(wanted.region)
    found = published(
        uow.connection,
        access.owner,
        access.brand,
        goods,
        now=datetime.now(UTC),
        channel=channel,
        region=region,
        places=wanted.places,
    )
    known = {each.sku for each in goods}
    return {
        "channel": channel,
        "items": [_item(each, wanted.by, region) for each in found],
        "unknown": sorted(set(wanted.skus) - known),
    }


def region_stem(region: str) -> str:
    """The digits that the codes within a region begin with: ``33`` for 330000, ``3301`` for 330100."""
    while len(region) > 2 and region.endswith("00"):
        region = region[:-2]
    return region


def read_changes(
    uow: UnitOfWork, access: Access, *, channel: str | None, after: int | None, limit: int
) -> dict[str, Any]:
    """A page of the change feed: levels, or for a channel SKUs with what it is shown of them now."""
    channel = channel_for(access, channel)
    page = list_changes(uow.connection, access.owner, access.brand, after=after, limit=limit)
    items: Sequence[Any] = page.items if channel is None else _shown(uow, access, channel, page)
    return {"items": items, "next": page.next, "more": page.more, "reset": page.reset}


def set_safety(
    hub: Hub, access: Access, *, sku: str, units: int | None, place: str | None = None, channel: str | None = None
) -> dict[str, Any]:
    """Keep ``units`` of a SKU back at a place, or from a channel (None: what its rules say); audited.

    NotFoundError for what nobody knows; RecordError unless one of the two is named, or without units for a place.
    """
    access.require("ops", "write")
    with hub.database.unit() as uow:
        if channel is not None and place is None:
            config = hub.estate.connector(channel).config
            if (config.owner, config.brand) != (access.owner, access.brand):
                raise AccessError(f"{channel} belongs to another brand than yours", code="access.brand")
            safety.set_channel_safety(uow.connection, access.owner, access.brand, sku=sku, channel=channel, units=units)
        elif place is not None and channel is None and units is not None:
            shortfalls = safety.set_place_safety(
                uow.connection, access.owner, access.brand, sku=sku, place=place, units=units
            )
            start_resolving(
                uow, access.owner, access.brand, shortfalls, cause=f"safety:{datetime.now(UTC).isoformat()}"
            )
        else:
            raise RecordError([Issue("place", "safety.whose", "name a place with units, or a channel; not both")])
        done = {"sku": sku, "place": place, "channel": channel, "units": units}
        audit.record(uow, access, "stock.safety", f"sku:{sku}", done)
        uow.commit()
    return done


def _item(found: Published, by: By | None, region: str) -> dict[str, Any]:
    return {
        "sku": found.sku,
        "available": found.units,
        "places": [_place(place) for place in found.places] if by == "place" else None,
        "regions": _regions(found, region) if by == "region" else None,
    }


def _place(place: AtPlace) -> dict[str, Any]:
    return {
        "location": place.location,
        "name": place.name,
        "region_code": place.region_code,
        "available": place.units,
    }


def _regions(found: Published, region: str) -> list[dict[str, Any]]:
    """By province; within a province by city, within a city by district. Places of no known region come last."""
    digits = min(6, len(region) + 2)
    sums: defaultdict[str, int] = defaultdict(int)
    for place in found.places:
        code = place.region_code or ""
        sums[code[:digits] if code.isascii() and code.isdecimal() and len(code) >= digits else ""] += place.units
    codes = sorted(sums, key=lambda code: (not code, code))
    return [
        {
            "region_code": code.ljust(6, "0") or None if code else None,
            "name": find_name(code) if code else None,
            "available": min(found.units, sums[code]),
        }
        for code in codes
    ]


def _shown(uow: UnitOfWork, access: Access, channel: str, page: Changes) -> list[dict[str, Any]]:
    newest: dict[int, int] = {}
    for change in page.items:
        newest[change.sku_id] = max(change.sequence, newest.get(change.sku_id, 0))
    goods = atp.goods_touched(uow.connection, access.owner, access.brand, newest) if newest else []
    found = published(uow.connection, access.owner, access.brand, goods, now=datetime.now(UTC), channel=channel)
    items = [
        {
            "sequence": max(newest[sku_id] for sku_id in {each.sku_id, *(each.parts or ())} & newest.keys()),
            "sku": each.sku,
            "available": shown.units,
        }
        for each, shown in zip(goods, found, strict=True)
    ]
    return sorted(items, key=lambda item: (item["sequence"], item["sku"]))
