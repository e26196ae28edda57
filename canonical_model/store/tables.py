"""Tables of the canonical model. Owner and brand are in every unique key, and lead all but the busiest.

``stock_level`` is the fold of ``stock_movement`` (on_hand) and of deducting ``stock_hold`` rows (held);
``available to promise = max(0, on_hand - safety - held)``. Rows are written by the functions in ``sql/``.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    DefaultClause,
    Identity,
    Index,
    MetaData,
    UniqueConstraint,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TEXT
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlmodel import Field, SQLModel


def _id() -> Any:
    return Field(default=None, sa_column=Column(BigInteger, Identity(always=False), primary_key=True))


def _time(**options: Any) -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=False, **options))


def _now() -> Any:
    return Field(
        default=None,
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    )


def _time_or_null() -> Any:
    return Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


def _json(default: str = "'{}'::jsonb") -> Any:
    return Field(sa_column=Column(JSONB, nullable=False, server_default=text(default)))


def _strings() -> Any:
    return Field(sa_column=Column(ARRAY(TEXT), nullable=False, server_default=text("'{}'")))


def _big() -> Any:
    return Field(sa_type=BigInteger)


def mirror_defaults(metadata: MetaData) -> None:
    """Give every column with a plain Python default the same default in SQL, so that INSERT may leave it out."""
    for table in metadata.tables.values():
        for column in table.columns:
            default = column.default
            if column.server_default is None and isinstance(default, ScalarElementColumnDefault):
                column.server_default = DefaultClause(literal(default.arg, column.type))


class SkuRow(SQLModel, table=True):
    """One SKU; ``body`` is the whole canonical Product as JSON."""

    __tablename__ = "sku"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "code"),
        Index("ix_sku_spu", "owner", "brand", "spu"),
        Index("ix_sku_bundle", "owner", "brand", postgresql_where=text("body ->> 'kind' = 'bundle'")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    code: str
    spu: str
    name: str
    status: str
    batch_managed: bool = False
    body: dict[str, Any] = _json()
    system: str
    source_id: str
    message_id: str
    occurred_at: datetime = _time()
    updated_at: datetime = _now()


class LocationRow(SQLModel, table=True):
    """One place; ``authority`` is the system whose stock figure counts here, ``fulfilled_by`` the one that ships."""

    __tablename__ = "location"
    __table_args__ = (UniqueConstraint("owner", "brand", "code"),)
    id: int | None = _id()
    owner: str
    brand: str
    code: str
    name: str
    kind: str
    lat: float | None = None
    lon: float | None = None
    point_precision: str | None = None
    region_code: str | None = None
    retail_circles: list[str] = _strings()
    services: list[str] = _strings()
    capacity: int | None = Field(default=None, sa_type=BigInteger)
    active: bool = True
    authority: str
    fulfilled_by: str | None = None
    body: dict[str, Any] = _json()
    system: str
    source_id: str
    message_id: str
    occurred_at: datetime = _time()
    updated_at: datetime = _now()


class CrosswalkRow(SQLModel, table=True):
    """An outside name of one of our rows. ``kind``: sku, location or member; ``scheme``: whose name it is."""

    __tablename__ = "crosswalk"
    __table_args__ = (Index("ix_crosswalk_inner", "kind", "inner_id", "scheme"),)
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    scheme: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    outside_id: str = Field(primary_key=True)
    inner_id: int = _big()
    message_id: str
    recorded_at: datetime = _now()


class StockLevelRow(SQLModel, table=True):
    """The figure of the authority for one (owner, brand, SKU, place, quality), and what is held of it.

    ``as_of`` and ``sequence`` are those of the authority's last snapshot; None while it only sent deltas.
    ``figure`` is what that snapshot counted. It contains every shipment at or before ``proves_until``, and
    every one whose sequence is at most ``proves_sequence``. ``moved`` is the size of the last movement.
    """

    __tablename__ = "stock_level"
    __table_args__ = (
        UniqueConstraint("sku_id", "location_id", "quality", "owner", "brand"),
        CheckConstraint("held >= 0", name="ck_stock_level_held"),
        CheckConstraint("safety >= 0", name="ck_stock_level_safety"),
        {"postgresql_with": {"fillfactor": 50}},
    )
    id: int | None = _id()
    owner: str
    brand: str
    sku_id: int = _big()
    location_id: int = _big()
    quality: str
    on_hand: int = Field(default=0, sa_type=BigInteger)
    held: int = Field(default=0, sa_type=BigInteger)
    safety: int = Field(default=0, sa_type=BigInteger)
    moved: int = Field(default=0, sa_type=BigInteger)
    system: str
    figure: str = "on_hand"
    as_of: datetime | None = _time_or_null()
    sequence: int | None = Field(default=None, sa_type=BigInteger)
    proves_until: datetime | None = _time_or_null()
    proves_sequence: int | None = Field(default=None, sa_type=BigInteger)
    last_delta_at: datetime | None = _time_or_null()
    message_id: str
    updated_at: datetime = _now()


class StockLotRow(SQLModel, table=True):
    """The batches inside a level, where the authority reports them."""

    __tablename__ = "stock_lot"
    level_id: int = Field(primary_key=True, sa_type=BigInteger)
    batch: str = Field(primary_key=True)
    produced_on: date | None = None
    expires_on: date | None = None
    on_hand: int = _big()
    as_of: datetime = _time()


class StockMovementRow(SQLModel, table=True):
    """Append-only: each change of a level's on-hand, with the authority's reason. ``on_hand`` is after it.

    ``source_id`` is set for deltas, which are applied once; ``sequence`` and ``occurred_at`` are the source's.
    """

    __tablename__ = "stock_movement"
    __table_args__ = (
        Index(
            "ux_stock_movement_source",
            "owner",
            "brand",
            "system",
            "source_id",
            unique=True,
            postgresql_where=text("source_id IS NOT NULL"),
        ),
        Index(
            "ix_stock_movement_delta",
            "level_id",
            "sequence",
            "occurred_at",
            postgresql_where=text("source_id IS NOT NULL"),
        ),
        Index("ix_stock_movement_id", "id", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
    )
    level_id: int = Field(primary_key=True, sa_type=BigInteger)
    id: int | None = _id()
    owner: str
    brand: str
    delta: int = _big()
    on_hand: int = _big()
    reason: str
    system: str
    source_id: str | None = None
    sequence: int | None = Field(default=None, sa_type=BigInteger)
    message_id: str
    occurred_at: datetime = _time()
    recorded_at: datetime = _now()


class StockObservationRow(SQLModel, table=True):
    """What a system without authority last said of the same shelf; reconciliation compares, nothing sums it.

    ``figure`` is ``on_hand``, ``available`` or ``delta``.
    """

    __tablename__ = "stock_observation"
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    system: str = Field(primary_key=True)
    sku_id: int = Field(primary_key=True, sa_type=BigInteger)
    location_id: int = Field(primary_key=True, sa_type=BigInteger)
    quality: str = Field(primary_key=True)
    figure: str = Field(primary_key=True)
    quantity: int = _big()
    as_of: datetime = _time()
    sequence: int | None = Field(default=None, sa_type=BigInteger)
    message_id: str
    recorded_at: datetime = _now()


class StockHoldRow(SQLModel, table=True):
    """``quantity`` units promised to one parcel line, of which ``deducting`` lower what may be promised.

    It stops deducting when released, or when the authority's figure is proven to contain the shipment.
    ``reference`` is the parcel number, or that of a checkout, which has no order yet; ``named`` says that a figure of
    the authority has named it. ``min_expiry``: the goods that leave must not expire before.
    ``accepted_*`` and ``shipped_*`` are the authority's time and sequence of those events, where it said one.
    """

    __tablename__ = "stock_hold"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "reference", "line_no"),
        CheckConstraint("quantity > 0", name="ck_stock_hold_quantity"),
        CheckConstraint("deducting >= 0", name="ck_stock_hold_deducting"),
        Index("ix_stock_hold_level", "level_id", postgresql_where=text("deducting > 0")),
        Index("ix_stock_hold_order", "order_id"),
        Index("ix_stock_hold_expiry", "expires_at", postgresql_where=text("state = 'active'")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    order_id: int | None = Field(default=None, sa_type=BigInteger)
    reference: str
    line_no: int
    level_id: int = _big()
    quantity: int = _big()
    deducting: int = _big()
    shipped: int = Field(default=0, sa_type=BigInteger)
    state: str = "active"
    reason: str | None = None
    named: bool = False
    picked: bool = False
    accepted_at: datetime | None = _time_or_null()
    accepted_sequence: int | None = Field(default=None, sa_type=BigInteger)
    shipped_at: datetime | None = _time_or_null()
    shipped_sequence: int | None = Field(default=None, sa_type=BigInteger)
    expires_at: datetime | None = _time_or_null()
    created_at: datetime = _now()
    ended_at: datetime | None = _time_or_null()
    min_expiry: date | None = None


class StockShortfallRow(SQLModel, table=True):
    """An outside fact pushed on hand below what was held: ``quantity`` promised units are not there."""

    __tablename__ = "stock_shortfall"
    __table_args__ = (
        Index("ux_stock_shortfall_open", "level_id", unique=True, postgresql_where=text("state = 'open'")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    level_id: int = _big()
    quantity: int = _big()
    state: str = "open"
    message_id: str
    detected_at: datetime = _now()
    resolved_at: datetime | None = _time_or_null()


class OrderRow(SQLModel, table=True):
    """One order. ``body`` is the canonical Order without its personal fields.

    The receiver, and where the stream is personal the extensions, are sealed apart under the key ``receiver_key_id``.
    ``released_at``: when its parcels went to their places; until then its plan may still be bettered.
    """

    __tablename__ = "sales_order"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "channel", "order_no"),
        Index("ix_sales_order_status", "owner", "brand", "status"),
        Index("ix_sales_order_no", "order_no"),
    )
    id: int | None = _id()
    owner: str
    brand: str
    channel: str
    order_no: str
    kind: str
    status: str
    status_reason: str | None = None
    currency: str
    total_minor: int = _big()
    placed_at: datetime = _time()
    lat: float | None = None
    lon: float | None = None
    receiver_sealed: bytes | None = Field(default=None, sa_column=Column(BYTEA, nullable=True))
    receiver_key_id: int | None = Field(default=None, sa_type=BigInteger)
    receiver_token: str | None = None
    body: dict[str, Any] = _json()
    system: str
    source_id: str
    message_id: str
    occurred_at: datetime = _time()
    traceparent: str | None = None
    created_at: datetime = _now()
    updated_at: datetime = _now()
    extensions_sealed: bytes | None = Field(default=None, sa_column=Column(BYTEA, nullable=True))
    extensions_token: str | None = None
    member_code: str | None = None
    released_at: datetime | None = _time_or_null()


class OrderLineRow(SQLModel, table=True):
    """One line: ``sku_code`` as the channel said it, ``sku_id`` as we resolved it.

    A bundle becomes one line for each component: ``bundle_line_no`` is the channel's line, ``per_bundle`` the units in
    one bundle. Lines with the same ``ship_group`` must not be split over places.
    """

    __tablename__ = "sales_order_line"
    order_id: int = Field(primary_key=True, sa_type=BigInteger)
    line_no: int = Field(primary_key=True)
    sku_id: int = _big()
    sku_code: str
    quantity: int = _big()
    amount_minor: int = _big()
    shipped: int = Field(default=0, sa_type=BigInteger)
    cancelled: int = Field(default=0, sa_type=BigInteger)
    bundle_line_no: int | None = None
    per_bundle: int = Field(default=1, sa_type=BigInteger)
    ship_group: str | None = None


class ParcelRow(SQLModel, table=True):
    """One parcel of an order from one place; ``lines`` is a list of ParcelLine."""

    __tablename__ = "parcel"
    __table_args__ = (UniqueConstraint("owner", "brand", "parcel_no"), Index("ix_parcel_order", "order_id"))
    id: int | None = _id()
    owner: str
    brand: str
    order_id: int = _big()
    parcel_no: str
    location_id: int = _big()
    status: str
    lines: list[dict[str, Any]] = _json("'[]'::jsonb")
    carrier: str | None = None
    waybill: str | None = None
    wms_document: str | None = None
    erp_document: str | None = None
    shipped_at: datetime | None = _time_or_null()
    created_at: datetime = _now()
    updated_at: datetime = _now()


class OrderEventRow(SQLModel, table=True):
    """What happened to an order, in sequence: the feed that channels read."""

    __tablename__ = "order_event"
    __table_args__ = (Index("ix_order_event_order", "order_id", "id"),)
    id: int | None = _id()
    owner: str
    brand: str
    order_id: int = _big()
    kind: str
    detail: dict[str, Any] = _json()
    recorded_at: datetime = _now()


mirror_defaults(SQLModel.metadata)
