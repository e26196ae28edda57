"""Shelf: what a camera saw in a cooler."""

from typing import Annotated

from pydantic import Field

from canonical_model.common import Code, Instant, Quantity, Sourced


class ShelfObservation(Sourced):
    """``facings`` fronts of ``sku`` counted in ``cooler``; None is a product nobody recognises."""

    cooler: Code
    taken_at: Instant
    sku: Code | None = None
    facings: Quantity
    confidence: Annotated[float, Field(ge=0, le=1)]
