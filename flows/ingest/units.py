"""Quantities in the base unit of their SKU."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from canonical_model.errors import Issue


@dataclass(frozen=True, slots=True)
class Units:
    """The base unit of a SKU, and how many of it each other unit holds."""

    base: str
    factors: Mapping[str, Fraction]


def to_base_units(quantity: int, unit: str, units: Units) -> int | Issue:
    """``quantity`` of ``unit`` in base units, or what is wrong with it: ``unit.unknown``, ``unit.fraction``."""
    if unit == units.base:
        return quantity
    factor = units.factors.get(unit)
    if factor is None:
        known = ", ".join([units.base, *sorted(units.factors)])
        return Issue("unit", "unit.unknown", f"the SKU is not counted in {unit!r}; use {known}, or send the conversion")
    converted = quantity * factor
    if converted.denominator != 1:
        return Issue(
            "quantity", "unit.fraction", f"{quantity} {unit} are not whole {units.base}; send whole base units"
        )
    return converted.numerator
