"""The connected systems as operations watch them: streams, lanes, backlog, last error; pause and resume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.runtime.bootstrap import Hub
from hub_api.auth import Access


@dataclass(frozen=True, slots=True)
class Counts:
    """Records by what became of them, and the messages they came in."""

    messages: int = 0
    accepted: int = 0
    quarantined: int = 0
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream. ``lag_s``: from received to applied, the slowest of the latest messages, or the age of the oldest of
    them that still waits; None without messages. ``waiting``: how many of those are not applied yet.

    Of a pulled stream: ``cursor``, ``pulled_at``, and whether the schedule is ``overdue``.
    """

    name: str
    entity: str
    direction: str
    mapping: str
    mapping_version: str
    last_message_at: datetime | None
    lag_s: float | None
    waiting: int
    hour: Counts
    day: Counts
    open_quarantine: int
    schedule_s: float | None = None
    cursor: str | None = None
    pulled_at: datetime | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class LaneState:
    """The way out to a destination. ``state``: open, struggling (failures, still tried), resting (until
    ``rests_until``) or paused by a person. ``oldest_at``: since when the longest queued run is due.
    """

    name: str
    systems: Sequence[str]
    state: str
    paused: bool
    concurrency: int
    rate_per_s: float
    failures: int
    rests_until: datetime | None
    under_way: int
    queued: int
    oldest_at: datetime | None
    in_doubt: int
    last_error: Mapping[str, Any] | None
    advice: str


@dataclass(frozen=True, slots=True)
class SystemState:
    """One connected system. ``health``: well, waiting, struggling, resting, paused. ``advice``: what to do next, empty
    when all is well.
    """

    name: str
    title: str
    connector: str
    brand: str
    health: str
    advice: str
    streams: Sequence[StreamState]
    lanes: Sequence[LaneState]
    backlog: int
    in_doubt: int
    open_quarantine: int
    last_message_at: datetime | None
    last_error: Mapping[str, Any] | None


def systems(hub: Hub, access: Access) -> list[SystemState]:
    """Every system of the caller's brand, by name."""
    access.require("ops", "read")
    return []


def system(hub: Hub, access: Access, name: str) -> SystemState:
    """One of them. NotFoundError if the brand has none of that name."""
    raise NotImplementedError


def lanes(hub: Hub, access: Access) -> list[LaneState]:
    """Every lane of the brand's destinations, by name."""
    access.require("ops", "read")
    return []


def pause(hub: Hub, access: Access, lane: str) -> LaneState:
    """Send nothing more over ``lane``, in any process, until it is resumed; calls under way are finished.

    Needs ``estate:write``; audited. NotFoundError if the brand has no such lane, AccessError if another brand's
    system shares it.
    """
    raise NotImplementedError


def resume(hub: Hub, access: Access, lane: str) -> LaneState:
    """Send again, at once; a rest after failures ends too. Needs ``estate:write``; audited. Errors as ``pause``."""
    raise NotImplementedError


def pause_system(hub: Hub, access: Access, name: str) -> SystemState:
    """``pause`` for every lane of a system."""
    raise NotImplementedError


def resume_system(hub: Hub, access: Access, name: str) -> SystemState:
    """``resume`` for every lane of a system."""
    raise NotImplementedError
