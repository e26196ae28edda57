"""Stock: what a system says about goods on a shelf."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from canonical_model.common import Code, Delta, Instant, Sourced


class Quality(StrEnum):
    """Condition of goods; 奇门 ZP, CC, JS, XS, ZT."""

    SELLABLE = "sellable"
    DEFECTIVE = "defective"
    MACHINE_DAMAGED = "machine_damaged"
    BOX_DAMAGED = "box_damaged"
    IN_TRANSIT = "in_transit"


class FactKind(StrEnum):
    """A snapshot replaces the figure; a delta moves it."""

    SNAPSHOT = "snapshot"
    DELTA = "delta"


class Figure(StrEnum):
    """What a snapshot counts: everything there, or what the source still offers."""

    ON_HAND = "on_hand"
    AVAILABLE = "available"


class HoldState(StrEnum):
    """Life of a hold: it ends exactly once, in one of the last three."""

    ACTIVE = "active"
    SHIPPED = "shipped"
    RELEASED = "released"
    EXPIRED = "expired"


class StockFact(Sourced):
    """One figure as one system sees it, in base units of the SKU.

    ``sku`` and ``location`` are the source's own codes; ingest resolves them through the crosswalk.
    ``quantity`` is the counted figure of a snapshot, or the signed change of a delta.
    ``sequence`` rises by itself at the source; ``as_of`` is the source's clock when it counted.
    ``order_refs`` name the parcels whose shipment this figure already contains.
    """

    sku: Code
    location: Code
    kind: FactKind
    quantity: Delta
    quality: Quality = Quality.SELLABLE
    as_of: Instant
    sequence: Annotated[int, Field(ge=0)] | None = None
    order_refs: tuple[Code, ...] = ()
    reason: Code | None = None
    batch: Code | None = None
    produced_on: date | None = None
    expires_on: date | None = None

    @model_validator(mode="after")
    def _snapshot_is_a_count(self) -> Self:
        if self.kind is FactKind.SNAPSHOT and self.quantity < 0:
            raise ValueError(f"a snapshot cannot count {self.quantity}; send a delta or correct the figure")
        return self
