"""What the API answers to those who run the hub: quarantine, runs, traces, audit, health."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hub_api.rest.shapes import Issue, Json

# What no constraint of the database holds is told, not enforced: a surprise is worth more than an error.
RowState = Annotated[str, Field(json_schema_extra={"enum": ["open", "accepted", "discarded", "erased"]})]
EffectState = Annotated[
    str, Field(json_schema_extra={"enum": ["intended", "confirmed", "refused", "failed", "in_doubt"]})
]
Direction = Annotated[str, Field(json_schema_extra={"enum": ["forward", "undo"]})]
RunState = Literal["ready", "running", "waiting", "parked", "done", "undone"]


class Cause(BaseModel):
    """Open rows of one system, stream and cause."""

    system: str
    stream: str
    cause: str
    records: int
    oldest: datetime
    newest: datetime
    example_id: int


class Causes(BaseModel):
    """Causes, the most frequent first."""

    items: list[Cause]


class QuarantinedHead(BaseModel):
    """One record that could not be taken, without its raw value. ``missing_*``: the parent that it waits for."""

    id: int
    system: str
    stream: str
    message_id: str
    position: int
    source_id: str | None
    issues: list[Issue]
    cause: str
    mapping_version: str
    state: RowState
    attempts: int
    missing_scheme: str | None
    missing_kind: str | None
    missing_id: str | None
    created_at: datetime
    closed_at: datetime | None


class Quarantined(QuarantinedHead):
    """The same with its raw value, masked where it is personal; null once erased."""

    owner: str
    brand: str
    raw: str | None


class RunStarted(BaseModel):
    """The run that does it."""

    run_id: int


class DryRun(BaseModel):
    """How records would fare; nothing was changed."""

    dry_run: Literal[True]
    fed: int
    accepted: int
    more: bool


class Corrected(BaseModel):
    """The correction that is kept, and the run that feeds it."""

    row_id: int
    correction_id: int
    run_id: int


class Discarded(BaseModel):
    """How many rows were ended."""

    discarded: int


class Run(BaseModel):
    """One durable run of a flow."""

    id: int
    owner: str
    brand: str
    flow: str
    version: int
    business_key: str
    state: RunState
    direction: Direction
    position: int
    lane: str
    input: Json
    results: Json
    outcome: str | None
    attempt: int
    wake_at: datetime | None
    waiting_for: list[str]
    deadline: datetime | None
    cancel_requested: bool
    lease_owner: str | None
    lease_until: datetime | None
    fence: int
    parent_id: int | None
    order_key: str | None
    error: Json | None
    traceparent: str | None
    created_at: datetime
    updated_at: datetime


class StepTry(BaseModel):
    """One try of one step."""

    id: int
    run_id: int
    step: str
    direction: Direction
    attempt: int
    outcome: str
    result: Any
    error: Json | None
    started_at: datetime
    ended_at: datetime


class Effect(BaseModel):
    """One outside write."""

    id: int
    step: str
    system: str
    writer: str
    key: str
    state: EffectState
    attempts: int
    outside_id: str | None
    answer: Json | None
    error: Json | None
    intended_at: datetime
    settled_at: datetime | None


class WholeRun(Run):
    """One run with every try of every step and every outside write."""

    history: list[StepTry]
    effects: list[Effect]


class RunNow(BaseModel):
    """A run and its state now."""

    run_id: int
    state: RunState


class Span(BaseModel):
    """One finished span; ``status`` is ok or the code of the error."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    status: str
    started_at: datetime
    ended_at: datetime
    attributes: Json


class Trace(BaseModel):
    """The spans of one trace, in the order they started."""

    trace_id: str
    spans: list[Span]


class AuditEntry(BaseModel):
    """Who did what to what; ``hash`` chains it to the entry before."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Json
    hash: str


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether everything behind the door answers: ``ok``, or what is wrong and what to do."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]
