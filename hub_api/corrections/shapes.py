"""What corrections answer: plain values, masked, every list bounded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Preview:
    """How one quarantined record would fare; nothing was stored. ``canonical`` is masked; None when not mappable."""

    accepted: bool
    canonical: Mapping[str, Any] | None
    issues: Sequence[Mapping[str, Any]]
    mapping_version: str


@dataclass(frozen=True, slots=True)
class Change:
    """A record that would come out otherwise. ``before`` and ``after``: masked canonical value, or None with issues."""

    message_id: str
    position: int
    source_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    issues: Sequence[Mapping[str, Any]]
    quarantine_id: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a mapping table would change; nothing was stored.

    ``problem``: why the table cannot be used at all (then the rest is empty). ``failures``: its examples that fail.
    ``open_rows``: how many the selection has; ``tried`` of them were; ``passing`` would map now. ``causes``: what is
    wrong with the others, by code. ``recent``: good records of the latest messages tried, ``broken`` of them would no
    longer map, ``changed`` would come out otherwise. The lists show the first of each.
    """

    usable: bool
    problem: str
    failures: Sequence[str]
    version: str
    open_rows: int = 0
    tried: int = 0
    passing: int = 0
    causes: Mapping[str, int] | None = None
    healed: Sequence[Change] = ()
    unhealed: Sequence[Change] = ()
    recent: int = 0
    changed: int = 0
    broken: int = 0
    differences: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """One correction of a mapping. ``based_on``: the packaged version its author saw."""

    number: int
    version: str
    author: str
    reason: str
    based_on: str
    active: bool
    created_at: datetime
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class MappingState:
    """Which table a stream uses. ``active``: the number of the revision, None for the packaged table.

    ``outdated``: the active revision was made from another packaged table than this release brings.
    """

    system: str
    stream: str
    mapping: str
    version: str
    text: str
    active: int | None
    packaged_version: str
    packaged_text: str
    outdated: bool
    revisions: Sequence[Revision]
