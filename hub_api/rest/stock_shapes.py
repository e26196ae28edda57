"""What ``/v1/stock`` answers besides the levels themselves."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flows.one_stock.supply import WarningKind
from hub_api.rest.shapes import LevelFigures, Next

Units = Annotated[int, Field(ge=0)]
Weeks = Annotated[float | None, Field(ge=0, description="Null where nothing sells.")]


class PlaceAvailable(BaseModel):
    """What one place can promise, its safety stock kept back."""

    location: str
    name: str
    region_code: str | None
    available: Units


class RegionAvailable(BaseModel):
    """What the places of one region can promise; the code is null for places of no known region."""

    region_code: str | None
    name: str | None
    available: Units


class SkuAvailable(BaseModel):
    """What may be promised of a SKU; of a bundle, whole sets. ``places`` or ``regions`` if they were asked for."""

    sku: str
    available: Units
    places: list[PlaceAvailable] | None
    regions: list[RegionAvailable] | None


class Availability(BaseModel):
    """Figures by the rules of ``channel``; null: the whole pool. ``unknown``: codes that no product has."""

    channel: str | None
    items: list[SkuAvailable]
    unknown: list[str]


class LevelChange(LevelFigures):
    """A level that changed, with its figures now."""

    sequence: int


class SkuChange(BaseModel):
    """A SKU whose figures changed, with what the channel is shown of it now."""

    sequence: int
    sku: str
    available: Units


class StockChanges(BaseModel):
    """A part of the feed. Go on from ``next``, at once if there is ``more``.

    ``reset``: the feed does not reach back as far as was asked; read all stock, then go on from ``next``.
    """

    items: list[LevelChange] | list[SkuChange]
    next: int
    more: bool
    reset: bool


class SafetyOrder(BaseModel):
    """How many units of a SKU to keep back: at a ``place``, or from a ``channel`` (null: as its rules say)."""

    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(min_length=1, max_length=120)]
    place: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    channel: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    units: Annotated[int, Field(ge=0, le=10**9)] | None


class Safety(BaseModel):
    """What is kept back now."""

    sku: str
    place: str | None
    channel: str | None
    units: int | None


class Sales(BaseModel):
    """``sales_at``: when the weekly sales were last reckoned; ``sales_stale``: too long ago to advise by."""

    sales_at: datetime | None
    sales_stale: bool


class ShelfWarning(BaseModel):
    """A shelf that wants attention: ``units`` are missing to its target, or lie beyond it."""

    kind: WarningKind
    units: Units
    level_id: int
    sku: str
    location: str
    on_hand: int
    atp: Units
    weekly: float
    weeks: Weeks
    spoken_at: datetime | None


class Warnings(Sales):
    """One page of warnings. It may be short or empty and yet have a ``next``."""

    items: list[ShelfWarning]
    next: Next


class Suggestion(BaseModel):
    """Units that would lie better elsewhere."""

    sku: str
    from_location: str
    to_location: str
    units: Annotated[int, Field(ge=1)]
    km: float | None
    to_weeks_before: Weeks
    to_weeks_after: Weeks


class Suggestions(Sales):
    """One page of suggestions."""

    items: list[Suggestion]
    next: Next
