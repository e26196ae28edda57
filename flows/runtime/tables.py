"""Tables of the runtime: messages, runs, signals, outside effects, lanes, keys, spans."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _id, _json, _now, _strings, _time, _time_or_null, mirror_defaults

# Tables that are rewritten all day: dead rows go before claims must step over many of them.
BUSY: Final = {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_cost_delay": 0}


def _bytes() -> Any:
    return Field(default=None, sa_column=Column(BYTEA, nullable=True))


def _json_or_null() -> Any:
    return Field(default=None, sa_column=Column(JSONB, nullable=True))


class MessageRow(SQLModel, table=True):
    """The inbox: one push or pulled page, stored raw before it is answered.

    ``body`` is zlib-compressed; None when the stream is personal (then its records are in ``message_record``).
    ``idempotency_key`` is the sender's key, the document's own number, or the fingerprint of the body.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "system", "stream", "idempotency_key"),
        Index("ix_message_received", "received_at"),
    )
    id: str = Field(primary_key=True)
    owner: str
    brand: str
    system: str
    stream: str
    idempotency_key: str
    fingerprint: str
    media_type: str
    body: bytes | None = _bytes()
    state: str = "received"
    records: int = 0
    accepted: int = 0
    quarantined: int = 0
    ignored: int = 0
    error: dict[str, Any] | None = _json_or_null()
    traceparent: str | None = None
    received_at: datetime = _now()
    applied_at: datetime | None = _time_or_null()


class MessageRecordRow(SQLModel, table=True):
    """One sealed record of a personal stream."""

    __tablename__ = "message_record"
    message_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    key_id: int = _big()
    sealed: bytes | None = _bytes()


class DataKeyRow(SQLModel, table=True):
    """The data key of one sealed record, wrapped by the master key; destroying it erases every copy."""

    __tablename__ = "data_key"
    __table_args__ = (Index("ix_data_key_subject", "subject_token"),)
    id: int | None = _id()
    subject_token: str | None = None
    wrapped: bytes | None = _bytes()
    destroyed_at: datetime | None = _time_or_null()


class QuarantineRow(SQLModel, table=True):
    """A record that could not be taken, with every issue, its raw value and the mapping version."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "message_id", "position"),
        Index(
            "ix_quarantine_missing",
            "missing_scheme",
            "missing_kind",
            "missing_id",
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_quarantine_cause", "system", "stream", "cause"),
    )
    id: int | None = _id()
    owner: str
    brand: str
    system: str
    stream: str
    message_id: str
    position: int
    source_id: str | None = None
    raw: bytes | None = _bytes()
    key_id: int | None = Field(default=None, sa_type=BigInteger)
    issues: list[dict[str, Any]] = _json("'[]'::jsonb")
    cause: str
    mapping_version: str
    state: str = "open"
    attempts: int = 1
    missing_scheme: str | None = None
    missing_kind: str | None = None
    missing_id: str | None = None
    created_at: datetime = _now()
    closed_at: datetime | None = _time_or_null()


class CursorRow(SQLModel, table=True):
    """How far a pulled stream has been read. Until ``pulling_until`` the process that set it has the pull to itself."""

    __tablename__ = "stream_cursor"
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    system: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    cursor: str | None = None
    pulling_until: datetime | None = _time_or_null()
    updated_at: datetime = _now()


class RunRow(SQLModel, table=True):
    """One durable run of a flow: the whole truth about where it stands.

    state: ready, running, waiting, parked, done, undone. ``position`` is the step it does next (or takes back
    next, when ``direction`` is undo); ``lane`` the lane of that step. ``fence`` rises with every claim and every
    commit; a commit with an older fence is refused. ``wake_at`` is when a ready run is due, or when a waiting one
    stops waiting; ``deadline`` is when the wait for a signal, once begun, times out.
    """

    __tablename__ = "flow_run"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "flow", "business_key"),
        CheckConstraint("state IN ('ready','running','waiting','parked','done','undone')", name="ck_flow_run_state"),
        Index("ix_flow_run_ready", "lane", "wake_at", "id", postgresql_where=text("state = 'ready'")),
        Index("ix_flow_run_running", "lane", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_flow_run_waiting", "wake_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_flow_run_parked", "flow", "id", postgresql_where=text("state = 'parked'")),
        Index("ix_flow_run_parent", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index(
            "ix_flow_run_order",
            "flow",
            "order_key",
            "id",
            postgresql_where=text("order_key IS NOT NULL AND state NOT IN ('done','undone')"),
        ),
        Index(
            "ix_flow_run_points",
            "owner",
            "brand",
            "order_key",
            "id",
            postgresql_where=text("order_key IS NOT NULL AND flow IN ('points.earn','points.claw_back')"),
        ),
        {"postgresql_with": {"fillfactor": 70, **BUSY}},
    )
    id: int | None = _id()
    owner: str
    brand: str
    flow: str
    version: int
    business_key: str
    state: str = "ready"
    direction: str = "forward"
    position: int = 0
    lane: str = "local"
    input: dict[str, Any] = _json()
    results: dict[str, Any] = _json()
    outcome: str | None = None
    attempt: int = 0
    wake_at: datetime | None = _time_or_null()
    waiting_for: list[str] = _strings()
    deadline: datetime | None = _time_or_null()
    cancel_requested: bool = False
    lease_owner: str | None = None
    lease_until: datetime | None = _time_or_null()
    fence: int = Field(default=0, sa_type=BigInteger)
    parent_id: int | None = Field(default=None, sa_type=BigInteger)
    order_key: str | None = None
    error: dict[str, Any] | None = _json_or_null()
    traceparent: str | None = None
    created_at: datetime = _now()
    updated_at: datetime = _now()


class RunStepRow(SQLModel, table=True):
    """One finished or failed try of a step: the run's history, append-only."""

    __tablename__ = "flow_step"
    __table_args__ = (Index("ix_flow_step_run", "run_id", "id"),)
    id: int | None = _id()
    run_id: int = _big()
    step: str
    direction: str = "forward"
    attempt: int
    outcome: str
    result: dict[str, Any] | None = _json_or_null()
    error: dict[str, Any] | None = _json_or_null()
    started_at: datetime = _time()
    ended_at: datetime = _now()


class SignalRow(SQLModel, table=True):
    """A word sent to a run; kept until the run asks for it."""

    __tablename__ = "flow_signal"
    __table_args__ = (
        Index("ix_flow_signal_open", "run_id", "name", postgresql_where=text("consumed_at IS NULL")),
        UniqueConstraint("run_id", "name", "key"),
    )
    id: int | None = _id()
    run_id: int = _big()
    name: str
    key: str
    payload: dict[str, Any] = _json()
    sent_at: datetime = _now()
    consumed_at: datetime | None = _time_or_null()


class OutboxRow(SQLModel, table=True):
    """A wake-up that commits with the fact it announces; the relay hands it to the broker."""

    __tablename__ = "outbox"
    __table_args__ = ({"postgresql_with": BUSY},)
    id: int | None = _id()
    lane: str
    created_at: datetime = _now()


class EffectRow(SQLModel, table=True):
    """The ledger of outside writes: ``intended`` before sending, then ``confirmed`` (it landed), ``refused`` (the
    answer was no), ``failed`` (certainly not landed, will be sent again) or ``in_doubt`` (may have landed)."""

    __tablename__ = "effect"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "system", "writer", "key"),
        Index("ix_effect_run", "run_id"),
        Index("ix_effect_doubt", "system", postgresql_where=text("state = 'in_doubt'")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    run_id: int = _big()
    step: str
    system: str
    writer: str
    key: str
    state: str = "intended"
    attempts: int = 1
    body: bytes | None = _bytes()
    body_key_id: int | None = Field(default=None, sa_type=BigInteger)
    outside_id: str | None = None
    answer: dict[str, Any] | None = _json_or_null()
    error: dict[str, Any] | None = _json_or_null()
    traceparent: str | None = None
    intended_at: datetime = _now()
    settled_at: datetime | None = _time_or_null()


class LaneRow(SQLModel, table=True):
    """Flow control of one destination, shared by every worker."""

    __tablename__ = "lane"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50, **BUSY}},)
    name: str = Field(primary_key=True)
    concurrency: int = 4
    rate_per_s: float = 0.0
    tokens: float = 0.0
    refilled_at: datetime = _now()
    failures: int = 0
    blocked_until: datetime | None = _time_or_null()
    paused: bool = False
    last_error: dict[str, Any] | None = _json_or_null()


class ApiKeyRow(SQLModel, table=True):
    """An API key by its hash; ``scopes`` are ``operation:system`` words such as ``ingest:wms`` or ``orders:read``."""

    __tablename__ = "api_key"
    id: str = Field(primary_key=True)
    owner: str
    brand: str
    name: str
    hash: str = Field(unique=True)
    scopes: list[str] = _strings()
    created_at: datetime = _now()
    expires_at: datetime | None = _time_or_null()
    revoked_at: datetime | None = _time_or_null()


class SpanRow(SQLModel, table=True):
    """A finished span, kept locally so that a trace can be shown with nothing else installed."""

    __tablename__ = "span"
    __table_args__ = (Index("ix_span_started", "started_at"),)
    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    parent_id: str | None = None
    name: str
    kind: str
    status: str
    started_at: datetime = _time()
    ended_at: datetime = _time()
    attributes: dict[str, Any] = _json()


mirror_defaults(SQLModel.metadata)
