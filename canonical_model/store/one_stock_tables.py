"""Tables of the one stock: checkouts, places' loads, rules, decisions, sales velocity, and what changed."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _id, _json, _now, _time, _time_or_null, mirror_defaults


class CheckoutRow(SQLModel, table=True):
    """Goods kept for a shopper who has not ordered yet: once for each (channel, order number).

    ``state``: active, then confirmed (its order took the goods over), released or expired. ``lines`` is what was
    asked, ``parcels`` what was held for it, by hold reference; ``fingerprint`` tells one question from another.
    """

    __tablename__ = "checkout"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "channel", "order_no"),
        Index("ix_checkout_expiry", "expires_at", postgresql_where=text("state = 'active'")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    channel: str
    order_no: str
    fingerprint: str
    state: str = "active"
    lines: list[dict[str, Any]] = _json("'[]'::jsonb")
    parcels: list[dict[str, Any]] = _json("'[]'::jsonb")
    expires_at: datetime = _time()
    created_at: datetime = _now()
    ended_at: datetime | None = _time_or_null()


class PlaceDayRow(SQLModel, table=True):
    """How many parcels a place with a capacity has on one day of its own calendar."""

    __tablename__ = "place_day"
    location_id: int = Field(primary_key=True, sa_type=BigInteger)
    day: date = Field(primary_key=True)
    parcels: int = _big()


class PlaceSlotRow(SQLModel, table=True):
    """The parcel that takes one of a place's slots on a day; it goes when the parcel's goods are given back."""

    __tablename__ = "place_slot"
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    reference: str = Field(primary_key=True)
    location_id: int = _big()
    day: date


class RulebookRow(SQLModel, table=True):
    """One published rulebook of a brand, for ``routing`` or ``points``; the newest version is in force."""

    __tablename__ = "rulebook"
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    body: str
    fingerprint: str
    note: str = ""
    published_by: str
    published_at: datetime = _now()


class OrderDecisionRow(SQLModel, table=True):
    """One routing decision about an order. ``record`` is the packed problem, rules and decision; see docs/routing.md.

    ``round`` counts from 1; ``cause``: placed, resourced, restocked, reoptimised.
    """

    __tablename__ = "order_decision"
    __table_args__ = (
        Index("ix_order_decision_order", "order_id", "round"),
        Index(
            "ix_order_decision_decided_at",
            "decided_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": "on"},
        ),
    )
    id: int | None = _id()
    owner: str
    brand: str
    order_id: int = _big()
    round: int
    cause: str
    action: str
    rules_version: int
    rules_fingerprint: str
    cost: float
    gap: float
    stopped: str
    record: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    decided_at: datetime = _now()


class ChannelSafetyRow(SQLModel, table=True):
    """Units of a SKU in the pool that a channel is not shown, where the rulebook's figure does not fit."""

    __tablename__ = "channel_safety"
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    sku_id: int = Field(primary_key=True, sa_type=BigInteger)
    units: int = _big()
    updated_at: datetime = _now()


class StockVelocityRow(SQLModel, table=True):
    """What a place sold of a SKU lately: ``weekly`` units a week over the ``days`` before ``computed_at``."""

    __tablename__ = "stock_velocity"
    __table_args__ = (Index("ix_stock_velocity_brand", "owner", "brand"),)
    sku_id: int = Field(primary_key=True, sa_type=BigInteger)
    location_id: int = Field(primary_key=True, sa_type=BigInteger)
    owner: str
    brand: str
    weekly: float
    days: int
    computed_at: datetime = _time()


class PlaceFiguresRow(SQLModel, table=True):
    """How a place has worked lately: parcels asked of it and accepted by it in the ``days`` before ``computed_at``."""

    __tablename__ = "place_figures"
    location_id: int = Field(primary_key=True, sa_type=BigInteger)
    owner: str
    brand: str
    asked: int = _big()
    accepted: int = _big()
    days: int
    computed_at: datetime = _time()


class StockChangeRow(SQLModel, table=True):
    """A level whose held or safety figure changed; its writer draws ``id`` from the movements' sequence, so
    that both together are one feed."""

    __tablename__ = "stock_change"
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    owner: str
    brand: str
    level_id: int = _big()
    recorded_at: datetime = _now()


mirror_defaults(SQLModel.metadata)
