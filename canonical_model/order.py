"""Order: what a party sold, to whom, and how it is fulfilled."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from canonical_model.common import Code, Currency, Entity, Instant, Minor, Sourced, Text
from canonical_model.location import Point


class OrderKind(StrEnum):
    """How the goods reach the buyer: shipped, carried out of the store, or coming back."""

    DELIVERY = "delivery"
    CARRY_OUT = "carry_out"
    RETURN = "return"


class OrderStatus(StrEnum):
    """Where an order stands."""

    RECEIVED = "received"
    ALLOCATED = "allocated"
    SHIPPED = "shipped"
    PARTLY_SHIPPED = "partly_shipped"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    PARKED = "parked"


class ParcelStatus(StrEnum):
    """Where a parcel stands."""

    PLANNED = "planned"
    ACCEPTED = "accepted"
    SHIPPED = "shipped"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Receiver(Entity):
    """Who gets the goods. Every field but the region and point is personal."""

    name: Text
    mobile: Text | None = None
    province: Text | None = None
    city: Text | None = None
    district: Text | None = None
    street: Text | None = None
    region_code: Code | None = None
    point: Point | None = None


class OrderLine(Entity):
    """``quantity`` of ``sku`` (the source's own code) in ``unit``; amounts are for the whole line.

    Lines with the same ``ship_group`` leave in one parcel.
    """

    line_no: Annotated[int, Field(ge=1, le=10_000)]
    sku: Code
    quantity: Annotated[int, Field(strict=True, gt=0, le=10**6)]
    unit: Code = "EA"
    list_minor: Minor = 0
    discount_minor: Minor = 0
    amount_minor: Minor
    ship_group: Code | None = None


class Payment(Entity):
    """One payment toward an order."""

    method: Code
    amount_minor: Minor
    reference: Code | None = None


class Order(Sourced):
    """One order of one channel; ``order_no`` is the channel's number, unique within it.

    ``seller`` is the party that sold; a return names the order it reverses in ``returns_order_no``. ``member`` is the
    buyer's membership number, ``promised_at`` when the goods are to be there.
    """

    channel: Code
    order_no: Code
    kind: OrderKind = OrderKind.DELIVERY
    seller: Code
    placed_at: Instant
    currency: Currency = "CNY"
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=500)]
    goods_minor: Minor
    freight_minor: Minor = 0
    discount_minor: Minor = 0
    total_minor: Minor
    payments: tuple[Payment, ...] = ()
    receiver: Receiver | None = None
    store: Code | None = None
    till: Code | None = None
    receipt_no: Code | None = None
    returns_order_no: Code | None = None
    reason: Text | None = None
    member: Code | None = None
    promised_at: Instant | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        numbers = [line.line_no for line in self.lines]
        if len(set(numbers)) != len(numbers):
            raise ValueError("line numbers repeat; give every line its own line_no")
        goods = sum(line.amount_minor for line in self.lines)
        if goods != self.goods_minor:
            raise ValueError(f"lines add up to {goods}, goods_minor says {self.goods_minor}")
        if self.goods_minor + self.freight_minor - self.discount_minor != self.total_minor:
            raise ValueError("total_minor is not goods_minor + freight_minor - discount_minor")
        if self.kind is OrderKind.DELIVERY and self.receiver is None:
            raise ValueError("a delivery order needs a receiver")
        if self.kind is OrderKind.RETURN and self.returns_order_no is None:
            raise ValueError("a return names the order it reverses in returns_order_no")
        return self


class ParcelLine(Entity):
    """Goods of one order line in one parcel."""

    line_no: int
    sku: Code
    quantity: int


class ConfirmedLine(Entity):
    """What the warehouse says of one line: what it shipped and what it could not find."""

    line_no: Annotated[int, Field(ge=1)]
    sku: Code
    shipped: Annotated[int, Field(strict=True, ge=0, le=10**6)]
    lacking: Annotated[int, Field(strict=True, ge=0, le=10**6)] = 0


class Confirmation(Sourced):
    """A warehouse's word that a parcel left (``deliveryorder.confirm``); ``lines`` sum over packages."""

    parcel_no: Code
    location: Code
    shipped_at: Instant
    carrier: Code | None = None
    waybill: Code | None = None
    lines: Annotated[tuple[ConfirmedLine, ...], Field(min_length=1, max_length=500)]
