"""What the API answers, as its document promises it. Fields that are not named here do not leave the hub."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field

from canonical_model.order import OrderStatus
from canonical_model.stock import Quality

Item = TypeVar("Item")
Json = dict[str, Any]
MessageState = Annotated[str, Field(json_schema_extra={"enum": ["received", "applied", "unreadable"]})]
Next = Annotated[int | None, Field(description="Where the next page begins; null at the end.")]


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: Next


class Issue(BaseModel):
    """One thing wrong with one field of a record."""

    field: str
    code: str
    detail: str


class Receipt(BaseModel):
    """A message is stored: what became of its records so far."""

    message_id: str
    state: MessageState
    records: int
    accepted: int
    quarantined: int
    ignored: int


class RecordResult(BaseModel):
    """What became of one record: accepted, quarantined, discarded, or the reason why it was ignored."""

    position: int
    status: str
    source_id: str | None
    issues: list[Issue]


class Results(Receipt):
    """A message whose records are applied, if ``results`` is there."""

    results: list[RecordResult] | None = None


class MessageHead(BaseModel):
    """One message without its body."""

    id: str
    system: str
    stream: str
    idempotency_key: str
    media_type: str
    state: MessageState
    records: int
    accepted: int
    quarantined: int
    ignored: int
    error: Json | None
    traceparent: str | None
    received_at: datetime
    applied_at: datetime | None


class Messages(BaseModel):
    """One page of messages."""

    items: list[MessageHead]
    next: Annotated[str | None, Field(description="Where the next page begins; null at the end.")]


class Message(MessageHead, Results):
    """One message, and what became of each record."""


class OrderHead(BaseModel):
    """One order without lines."""

    id: int
    owner: str
    brand: str
    channel: str
    order_no: str
    kind: str
    status: OrderStatus
    status_reason: str | None
    currency: str
    total_minor: int
    placed_at: datetime
    system: str
    source_id: str
    message_id: str
    occurred_at: datetime
    traceparent: str | None
    created_at: datetime
    updated_at: datetime


class OrderLine(BaseModel):
    """One line; amounts are in the smallest unit of the currency."""

    order_id: int
    line_no: int
    sku_id: int
    sku_code: str
    quantity: int
    amount_minor: int
    shipped: int
    cancelled: int
    bundle_line_no: int | None = Field(description="The channel's line whose bundle this is a part of.")
    per_bundle: int = Field(description="Units of this part in one bundle.")
    ship_group: str | None = Field(description="Lines of one group leave in one parcel.")


class Parcel(BaseModel):
    """One parcel of an order from one place."""

    id: int
    order_id: int
    parcel_no: str
    location_id: int
    status: str
    lines: list[Json]
    carrier: str | None
    waybill: str | None
    wms_document: str | None
    erp_document: str | None
    shipped_at: datetime | None
    created_at: datetime
    updated_at: datetime


class OrderEvent(BaseModel):
    """Something that happened to an order."""

    id: int
    order_id: int
    channel: str
    order_no: str
    kind: str
    detail: Json
    recorded_at: datetime


class OrderEvents(BaseModel):
    """A part of the feed; ``next`` is always there, so that a reader can ask again later."""

    items: list[OrderEvent]
    next: int


class Order(OrderHead):
    """One order whole. ``body``: as it came, in canonical form; what is personal is masked."""

    body: Json
    lines: list[OrderLine]
    parcels: list[Parcel]
    events: list[OrderEvent]


class DecisionRules(BaseModel):
    """The rulebook that a decision went by; version 0 is the built-in one."""

    version: int
    fingerprint: str
    channel: str


class DecidedLine(BaseModel):
    """What a parcel was to carry of one order line."""

    line_no: int
    sku: str
    quantity: int


class DecidedParcel(BaseModel):
    """A parcel as it was planned, and what the cost model says it costs."""

    place: str
    place_name: str
    km: float | None
    cost: float
    lines: list[DecidedLine]


class ConsideredPlace(BaseModel):
    """A place as it was thought of for one line: what removed it, or its score on each tier (lower is better)."""

    place: str
    place_name: str
    km: float | None
    stock: int
    removed_by: str | None
    scores: dict[str, float]
    chosen: int


class ConsideredLine(BaseModel):
    """One order line with every place there was."""

    line_no: int
    sku: str
    quantity: int
    unfilled: int
    places: list[ConsideredPlace]


class RoutingDecision(BaseModel):
    """Why an order ships from where it does. ``gap``: how far its cost may be above the least possible."""

    round: int
    cause: str
    decided_at: datetime
    rules: DecisionRules
    action: str
    cost: float
    bound: float
    gap: float
    stopped: str
    nodes: int
    tiers: list[str]
    parcels: list[DecidedParcel]
    lines: list[ConsideredLine]


class RoutingDecisions(BaseModel):
    """Every decision about one order, by round."""

    items: list[RoutingDecision]


class CancelAsked(BaseModel):
    """The run that cancels."""

    order_id: int
    run_id: int


class LevelFigures(BaseModel):
    """What is there, held, and may be promised (``atp``), in base units."""

    level_id: int
    sku: str
    location: str
    quality: Quality
    on_hand: int
    held: int
    safety: int
    atp: Annotated[int, Field(ge=0)]


class StockLevel(LevelFigures):
    """The figures of a level, and which system counts there."""

    system: str
    as_of: datetime | None
    sequence: int | None


class Member(BaseModel):
    """One member as one source knows them; what is personal is masked, or gone when ``erased``."""

    id: int
    owner: str
    brand: str
    system: str
    source_id: str
    code: str
    level: str | None
    home_store: str | None
    active: bool
    message_id: str
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    mobile: str | None = None
    extensions: Json | None = None
    erased: bool | None = None


class PointsEntry(BaseModel):
    """One earn or spend."""

    id: int
    owner: str
    brand: str
    system: str
    source_id: str
    member_id: int
    member_code: str
    programme: str
    points: int
    happened_at: datetime
    expires_at: datetime | None
    order_no: str | None
    extensions: Json
    message_id: str
    recorded_at: datetime


class MemberWithPoints(Member):
    """One member with the newest entries."""

    points: list[PointsEntry]
