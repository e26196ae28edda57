"""What the API answers about routing rules, and about what others would have done."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from flows.one_stock.routing.problem import Action
from flows.one_stock.routing.rulebook import Rules
from hub_api.rest.document import FieldError


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RulesHead(_Read):
    """One published version: which text (by its SHA-256), and who published it, why and when."""

    version: int
    fingerprint: str
    note: str
    published_by: str
    published_at: datetime


class RulesState(_Read):
    """A version with its text. ``latest``: the one in force. ``base``: the rules of every channel that ``channels``
    does not name. Version 0 was never published."""

    version: int
    latest: int
    text: str
    fingerprint: str
    note: str
    published_by: str
    published_at: datetime | None
    base: Rules
    channels: list[str]


class RuleChange(_Read):
    """A rule of a channel (``base``: of all that do not say otherwise) that becomes another; null: it was or is not."""

    channel: str
    rule: str
    before: JsonValue
    after: JsonValue


class RulesCheck(_Read):
    """What a text would change against the version ``against``; with ``issues`` it cannot be published.

    ``lines``: the changed lines of the text with their neighbours, each after ``+``, ``-`` or a blank.
    """

    against: int
    issues: list[FieldError]
    changes: list[RuleChange]
    lines: list[str]


class Published(BaseModel):
    """The version now in force."""

    version: int


class Side(BaseModel):
    """An order one way: what it costs by the cost model, and the places that send its parcels."""

    action: Action
    parcels: int
    nodes: list[str]
    distance_km: float
    cost: float
    unfilled: Annotated[int, Field(description="Units that nobody sends.")]


class ComparedOrder(BaseModel):
    """An order both ways; ``changed`` when any unit would come from elsewhere."""

    order_no: str
    changed: bool
    before: Side
    after: Side


class Sums(BaseModel):
    """All orders one way. ``gap``: how far a plan may be above the least cost, over orders that get something."""

    orders: int
    complete: int
    partial: int
    unserved: int
    split: int
    units: int
    unfilled_units: int
    parcels: int
    distance_km: float
    cost: float
    gap_mean: float
    gap_max: float
    ms_p50: float
    ms_p99: float


class BothSums(BaseModel):
    """All orders both ways."""

    before: Sums
    after: Sums


class Busy(BaseModel):
    """What a place sends."""

    parcels: int
    units: int


class NodeLoad(BaseModel):
    """What a place sends, both ways."""

    node: str
    before: Busy
    after: Busy


class WhatIf(BaseModel):
    """Recorded orders as they were first routed, and as other rules would route them."""

    orders: list[ComparedOrder]
    changed: int
    left_out: int
    unreadable: int
    totals: BothSums
    load: list[NodeLoad]
