"""``/v1/stock``: what is there, what is held, and what may be promised (``atp``)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from canonical_model.stock import Quality
from canonical_model.store.stock import stock_view
from hub_api.rest.dependencies import HubOf, StockReader
from hub_api.rest.paging import After, Limit
from hub_api.rest.shapes import Page, StockLevel

router = APIRouter(prefix="/v1/stock", tags=["stock"])

Codes = Annotated[list[str] | None, Query(max_length=100)]


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
    """Levels by SKU, place and quality, in the hub's own codes and base units; ``sku`` and ``location`` may repeat."""
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
