"""What passes between the stages of ingest: a batch of raw records, and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from canonical_model.errors import Issue
from flows.runtime.quarantine import Missing
from flows.runtime.sealing import Sealed


class Ignored(StrEnum):
    """Why a good record changed nothing."""

    STALE = "stale"
    DUPLICATE = "duplicate"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class MessageHead:
    """The message that records came in. ``owner`` and ``brand``: whose goods they speak of."""

    id: str
    owner: str
    brand: str
    system: str
    stream: str
    received_at: datetime
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw records of one message. ``positions``: where each stood in it; ``sealed``: its sealed form, if personal.

    When records of several messages are applied together, ``heads`` has the message of each.
    """

    head: MessageHead
    positions: Sequence[int]
    records: Sequence[Any]
    sealed: Sequence[Sealed] | None = None
    heads: Sequence[MessageHead] | None = None

    def head_of(self, index: int) -> MessageHead:
        """The message that a record came in."""
        return self.head if self.heads is None else self.heads[index]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record is quarantined, and the parent it waits for, if that is all that is wrong."""

    issues: tuple[Issue, ...]
    missing: Missing | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a batch, by index in it; an index in neither mapping was accepted.

    ``linked``: parents arrived, so records that waited for them may go on.
    """

    refused: dict[int, Refusal] = field(default_factory=dict)
    ignored: dict[int, Ignored] = field(default_factory=dict)
    linked: bool = False

    def absorb(self, other: "Outcome") -> None:
        """Add what became of other records of the same batch."""
        self.refused |= other.refused
        self.ignored |= other.ignored
        self.linked |= other.linked


Values = Mapping[int, Mapping[str, Any]]
"""Canonical values (JSON) by index in the batch."""


def unknown_reference(missing: Missing, where: str) -> Refusal:
    """The refusal of a record whose parent is not known yet."""
    detail = (
        f"{missing.kind} {missing.outside_id!r} of {missing.scheme} is not known yet; it is fed again when that arrives"
    )
    return Refusal((Issue(where, f"{missing.kind}.unknown", detail),), missing)
