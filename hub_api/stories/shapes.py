"""What a search finds and a story tells: plain values, personal fields masked, every list bounded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote

Kind = Literal["order", "message", "run", "sku", "trace", "member"]

KINDS: Final[tuple[Kind, ...]] = ("order", "message", "run", "sku", "trace", "member")


def url_of(kind: str, story_id: object) -> str:
    """The stable address of a story in the console."""
    return f"/console/story/{kind}/{quote(str(story_id), safe='')}"


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing found. ``matched`` says by what (order_no, waybill, phone …); ``exact`` is False for a prefix."""

    kind: Kind
    id: str
    title: str
    when: datetime | None
    url: str
    matched: str
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Bar:
    """One span of a waterfall; offset from the beginning of its trace. ``status`` is ok or the code of the error."""

    span_id: str
    parent_id: str | None
    name: str
    kind: str
    depth: int
    offset_ms: float
    duration_ms: float
    status: str
    failed: bool
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One trace, its spans in the order of the tree: each below its parent."""

    trace_id: str
    started_at: datetime
    duration_ms: float
    bars: Sequence[Bar]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class RecordStory:
    """One record of a message beside what the mapping makes of it today.

    ``raw`` is JSON text with personal fields masked (None once erased); ``canonical`` likewise masked, None when the
    record cannot be mapped. ``became``: the orders, SKUs and runs it led to. ``quarantine_id``: its row there.
    """

    position: int
    status: str
    source_id: str | None
    raw: str | None
    canonical: Mapping[str, Any] | None
    issues: Sequence[Mapping[str, Any]]
    became: Sequence[Hit] = ()
    quarantine_id: int | None = None


@dataclass(frozen=True, slots=True)
class MessageStory:
    """One message as it came. ``body`` is its text, masked when personal; ``body_cut``: it is longer than shown."""

    id: str
    system: str
    stream: str
    state: str
    idempotency_key: str
    media_type: str
    received_at: datetime
    applied_at: datetime | None
    counts: Mapping[str, int]
    error: Mapping[str, Any] | None
    mapping_version: str
    body: str
    body_cut: bool
    records: Sequence[RecordStory]
    records_cut: bool
    url: str


@dataclass(frozen=True, slots=True)
class StepStory:
    """One try of one step."""

    step: str
    direction: str
    attempt: int
    outcome: str
    started_at: datetime
    ended_at: datetime
    result: Any
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class EffectStory:
    """One outside write: ``state`` is intended, confirmed, refused, failed or in_doubt."""

    id: int
    run_id: int
    step: str
    system: str
    writer: str
    key: str
    state: str
    attempts: int
    outside_id: str | None
    answer: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    intended_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunStory:
    """One run with every try of every step and every outside write.

    ``can``: what a person may do with it now: retry, cancel, settle. ``steps_ahead``: the flow's steps by name, in
    order, to show what is still to come and to choose one to resume from.
    """

    id: int
    flow: str
    version: int
    business_key: str
    state: str
    direction: str
    position: int
    lane: str
    attempt: int
    outcome: str | None
    waiting_for: Sequence[str]
    wake_at: datetime | None
    deadline: datetime | None
    cancel_requested: bool
    parent_id: int | None
    error: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    flow_steps: Sequence[str]
    steps: Sequence[StepStory]
    effects: Sequence[EffectStory]
    can: Sequence[str]
    url: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one thing. ``summary`` is its own row; parts that do not apply are empty.

    holds, levels, observations, movements, events: rows as dicts. ``cut``: names of parts that are longer than shown.
    """

    kind: Kind
    id: str
    title: str
    state: str
    when: datetime | None
    url: str
    summary: Mapping[str, Any]
    messages: Sequence[MessageStory] = ()
    runs: Sequence[RunStory] = ()
    events: Sequence[Mapping[str, Any]] = ()
    holds: Sequence[Mapping[str, Any]] = ()
    levels: Sequence[Mapping[str, Any]] = ()
    observations: Sequence[Mapping[str, Any]] = ()
    movements: Sequence[Mapping[str, Any]] = ()
    waterfalls: Sequence[Waterfall] = ()
    related: Sequence[Hit] = ()
    cut: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What the destination said when asked whether a write landed.

    ``answer``: landed, absent, unable (its writer cannot ask, so look over there), or away (it did not answer).
    """

    answer: Literal["landed", "absent", "unable", "away"]
    asked_at: datetime
    outside_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a person needs to settle a write in doubt. ``sent`` is its body, masked; None once erased."""

    effect: EffectStory
    idempotency: str
    sent: Any
    read_back: ReadBack | None
    advice: str
