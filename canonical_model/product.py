"""Product: a sellable SKU and the SPU (style) it belongs to."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator
from stdnum import ean
from stdnum.exceptions import ValidationError as CheckDigitError

from canonical_model.common import Code, Currency, Entity, Instant, Minor, Quantity, Sourced, Text

GTIN_SCHEMES = frozenset({"gtin", "ean", "upc"})


class ProductKind(StrEnum):
    """What kind of thing is sold."""

    NORMAL = "normal"
    BUNDLE = "bundle"
    GIFT = "gift"
    MATERIAL = "material"
    VIRTUAL = "virtual"


class ProductStatus(StrEnum):
    """Whether it may be sold."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    DISCONTINUED = "discontinued"


class PriceKind(StrEnum):
    """What a price is for."""

    TAG = "tag"
    RETAIL = "retail"
    COST = "cost"
    PURCHASE = "purchase"
    SETTLEMENT = "settlement"


class Identifier(Entity):
    """One name of the product. ``scheme`` is ``gtin`` or the system that uses the name, such as ``pos``."""

    scheme: Code
    value: Code
    unit: Code | None = None

    @model_validator(mode="after")
    def _check_digit(self) -> Self:
        if self.scheme in GTIN_SCHEMES:
            try:
                ean.validate(self.value)
            except CheckDigitError as error:
                raise ValueError(f"{self.value!r} is not a valid GTIN ({error}); correct it at the source") from error
        return self


class UnitConversion(Entity):
    """``numerator`` base units are in ``denominator`` of ``unit`` (SAP's UMREZ / UMREN)."""

    unit: Code
    numerator: Annotated[int, Field(gt=0, le=10**9)]
    denominator: Annotated[int, Field(gt=0, le=10**9)] = 1
    gtin: Code | None = None
    gross_weight_g: Quantity | None = None


class Component(Entity):
    """A part of a bundle, by the source's own SKU code."""

    sku: Code
    quantity: Annotated[int, Field(gt=0, le=10**6)]


class Price(Entity):
    """``amount_minor`` minor units of ``currency`` for ``per_quantity`` of the base unit."""

    kind: PriceKind
    amount_minor: Annotated[Minor, Field(ge=0)]
    currency: Currency
    tax_inclusive: bool = True
    per_quantity: Annotated[int, Field(gt=0)] = 1
    channel: Code | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None


class Product(Sourced):
    """One SKU. ``code`` is the hub's SKU code; outside names live in ``identifiers``."""

    code: Code
    spu: Code
    name: Text
    names: dict[str, Text] = Field(default_factory=dict)
    kind: ProductKind = ProductKind.NORMAL
    status: ProductStatus = ProductStatus.ACTIVE
    identifiers: tuple[Identifier, ...] = ()
    categories: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    specifications: dict[str, Text] = Field(default_factory=dict)
    attributes: dict[str, Text] = Field(default_factory=dict)
    base_unit: Code = "EA"
    units: tuple[UnitConversion, ...] = ()
    components: tuple[Component, ...] = ()
    prices: tuple[Price, ...] = ()
    shelf_life_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    minimum_remaining_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    batch_managed: bool = False
    serial_managed: bool = False
    temperature: Text | None = None
    tax_rate: Annotated[Decimal, Field(ge=0, le=1)] | None = None
    available_from: date | None = None

    @model_validator(mode="after")
    def _bundle_has_components(self) -> Self:
        if (self.kind is ProductKind.BUNDLE) != bool(self.components):
            raise ValueError("a bundle names its components, and only a bundle does")
        return self
