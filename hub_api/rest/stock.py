"""``/v1/stock``: what is there, what is held, and what may be promised; what changes, and what should."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from canonical_model.errors import Issue, RecordError
from canonical_model.stock import Quality
from canonical_model.store.stock import stock_view
from flows.one_stock.supply import Limits
from hub_api import availability, supply
from hub_api.availability import By, Wanted
from hub_api.rest.dependencies import HubOf, Observer, Operator, StockReader
from hub_api.rest.document import refuses
from hub_api.rest.paging import After, Limit
from hub_api.rest.shapes import Page, StockLevel
from hub_api.rest.stock_shapes import Availability, Safety, SafetyOrder, StockChanges, Suggestions, Warnings

router = APIRouter(prefix="/v1/stock", tags=["stock"])

USUAL: Final = Limits()

Codes = Annotated[list[str] | None, Query(max_length=100)]
Region = Annotated[str, Query(pattern=r"^([0-9]{2}){1,3}$", description="A GB/T 2260 code: only places within it.")]
Channel = Annotated[str | None, Query(min_length=1, max_length=60, description="Whose rules and safety count.")]
OneCode = Annotated[str | None, Query(min_length=1, max_length=120)]
Weeks = Annotated[float, Query(ge=0, le=1_000, allow_inf_nan=False)]
Count = Annotated[int, Query(ge=0, le=10**9)]


@router.get("", response_model=Page[StockLevel])
def list_stock(
    hub: HubOf,
    access: StockReader,
    sku: Codes = None,
    location: Codes = None,
    quality: Quality | None = None,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Levels by SKU, place and quality, in the hub's own codes and base units; ``sku`` and ``location`` may repeat.

    Not for a channel's key: ``/v1/stock/availability`` tells what a channel may promise.
    """
    availability.refuse_channels(access)
    with hub.database.unit() as uow:
        levels = stock_view(
            uow.connection,
            owner=access.owner,
            brand=access.brand,
            skus=sku,
            locations=location,
            quality=quality,
            after=after,
            limit=limit,
        )
    return {"items": levels, "next": levels[-1].level_id if len(levels) == limit else None}


@router.get("/availability", response_model=Availability)
def get_availability(
    hub: HubOf,
    access: StockReader,
    sku: Annotated[list[str], Query(min_length=1, max_length=100)],
    channel: Channel = None,
    region: Region | None = None,
    location: Codes = None,
    by: By | None = None,
) -> dict[str, Any]:
    """What may be promised of each SKU, bundles too: by a channel's rules, from the places of a region, told apart."""
    wanted = Wanted(sku, channel, region or "", location or (), by)
    with hub.database.unit() as uow:
        return availability.read_availability(uow, access, wanted)


@router.get("/changes", response_model=StockChanges)
def list_changes(
    hub: HubOf,
    access: StockReader,
    channel: Channel = None,
    after: After | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What changed, in sequence, each once with its figures now. Give ``next`` back as ``after``: nothing is skipped.

    With ``channel``, and always for a channel's own key: SKUs and what the channel is shown of them. Without
    ``after``: where the feed is now.
    """
    with hub.database.unit() as uow:
        return availability.read_changes(uow, access, channel=channel, after=after, limit=limit)


@router.put("/safety", response_model=Safety, responses=refuses(404))
def set_safety(hub: HubOf, access: Operator, order: SafetyOrder) -> dict[str, Any]:
    """Keep units of a SKU back: at a place from every order, or from a channel.

    Orders that then lack goods are planned anew.
    """
    return availability.set_safety(
        hub, access, sku=order.sku, units=order.units, place=order.place, channel=order.channel
    )


def _limits(
    short_weeks: Weeks = USUAL.short_weeks,
    target_weeks: Weeks = USUAL.target_weeks,
    over_weeks: Weeks = USUAL.over_weeks,
    idle_units: Count = USUAL.idle_units,
    stale_after_h: Annotated[float, Query(ge=0, le=100_000, allow_inf_nan=False)] = USUAL.stale_after_h,
    min_units: Count = USUAL.min_units,
) -> Limits:
    return Limits(short_weeks, target_weeks, over_weeks, idle_units, stale_after_h, min_units)


LimitsOf = Annotated[Limits, Depends(_limits)]


@router.get("/warnings", response_model=Warnings)
def list_warnings(
    hub: HubOf, access: Observer, limits: LimitsOf, after: After = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Places that run short of a SKU or have too much, by its sales of four weeks; and figures too old to tell.

    Not for a channel's key.
    """
    availability.refuse_channels(access)
    with hub.database.unit() as uow:
        return supply.list_warnings(uow, access, limits, after=after, limit=limit)


@router.get("/suggestions", response_model=Suggestions, responses=refuses(404))
def list_suggestions(
    hub: HubOf,
    access: Observer,
    limits: LimitsOf,
    sku: Codes = None,
    allocate: Annotated[int | None, Query(ge=1, le=supply.MAX_QUANTITY, description="Units to spread.")] = None,
    source: Annotated[OneCode, Query(alias="from")] = None,
    after: After = 0,
) -> dict[str, Any]:
    """Transfers from places with too much to places that are short.

    With ``allocate``, ``from`` and one ``sku`` instead: how to spread so many units from there. Not for a channel's
    key.
    """
    availability.refuse_channels(access)
    with hub.database.unit() as uow:
        if allocate is None and source is None:
            return supply.list_transfers(uow, access, limits, skus=sku or (), after=after)
        if allocate is None or source is None or sku is None or len(sku) != 1:
            detail = (
                "an allocation needs allocate=UNITS, one sku and from=PLACE; leave allocate and from out for transfers"
            )
            raise RecordError([Issue("allocate", "suggestions.allocate", detail)])
        return supply.suggest_allocation(uow, access, limits, sku=sku[0], source=source, quantity=allocate)
