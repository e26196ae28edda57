"""Transfer: goods on their way between two places of the same owner (调拨单)."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from canonical_model.common import Code, Entity, Instant, Quantity, Sourced, Text


class TransferStatus(StrEnum):
    """Where a transfer stands."""

    PLANNED = "planned"
    APPROVED = "approved"
    SHIPPED = "shipped"
    PARTLY_RECEIVED = "partly_received"
    RECEIVED = "received"
    CANCELLED = "cancelled"


class TransferLine(Entity):
    """``quantity`` of ``sku`` (the source's own code) was asked for, in ``unit``; so much left and arrived so far."""

    line_no: Annotated[int, Field(ge=1, le=100_000)]
    sku: Code
    quantity: Annotated[int, Field(strict=True, gt=0, le=10**6)]
    unit: Code = "EA"
    shipped: Quantity = 0
    received: Quantity = 0


class Transfer(Sourced):
    """One transfer as one system sees it; ``number`` is that system's own, unique within it.

    ``from_location`` and ``to_location`` are the source's own codes; ingest resolves them through the crosswalk.
    A transfer moves no stock at the hub: the authorities of the two places count what left and what arrived.
    """

    number: Code
    from_location: Code
    to_location: Code
    status: TransferStatus
    lines: Annotated[tuple[TransferLine, ...], Field(min_length=1, max_length=2_000)]
    shipped_at: Instant | None = None
    received_at: Instant | None = None
    remark: Text | None = None

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if self.from_location == self.to_location:
            raise ValueError(f"it goes from {self.from_location!r} to itself; correct one of the two places")
        numbers = [line.line_no for line in self.lines]
        if len(set(numbers)) != len(numbers):
            raise ValueError("line numbers repeat; give every line its own line_no")
        return self
