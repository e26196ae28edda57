"""Supplier: a party that sells to the retailer."""

from canonical_model.common import Code, Sourced, Text


class Supplier(Sourced):
    """One supplier; ``code`` is the hub's name for it."""

    code: Code
    name: Text
    region_code: Code | None = None
    active: bool = True
