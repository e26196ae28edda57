"""Putting right what went wrong with records: the record itself, or the mapping of its whole stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.runtime.bootstrap import Hub
from flows.runtime.quarantine import Selection
from hub_api.auth import Access


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


def preview(hub: Hub, access: Access, row_id: int, raw: bytes | None = None, mapping: str | None = None) -> Preview:
    """How a quarantined record would fare, with ``raw`` instead of what came and ``mapping`` (the text of a table)
    instead of the one in force. Needs ``data:write``."""
    raise NotImplementedError


def correct(hub: Hub, access: Access, row_id: int, raw: bytes) -> dict[str, Any]:
    """Keep ``raw`` beside what came and feed the record again: ``{"row_id", "correction_id", "run_id"}``.

    Values of personal fields that are still masked are taken from the original. Needs ``data:write``; audited.
    Raises NotFoundError, ConflictError (the row is not open), RecordError (not JSON, or a mask stands where none was).
    """
    raise NotImplementedError


def mapping_source(hub: Hub, access: Access, system: str, stream: str) -> str:
    """The text of the table in force."""
    raise NotImplementedError


def mapping_state(hub: Hub, access: Access, system: str, stream: str) -> MappingState:
    """The table in force, the packaged one, and every revision, newest first."""
    raise NotImplementedError


def try_mapping(
    hub: Hub, access: Access, system: str, stream: str, text: str, selection: Selection | None = None
) -> Trial:
    """What the table ``text`` would change for the open rows of ``selection`` (default: all of the stream) and for
    good records of the stream's latest messages. Nothing is stored. Needs ``data:write``."""
    raise NotImplementedError


def revise_mapping(hub: Hub, access: Access, system: str, stream: str, text: str, reason: str) -> Revision:
    """Store ``text`` and put it in force, in every process from its next message on. Needs ``data:write``; audited.

    Raises RejectedError (``mapping.invalid``: what is wrong with it; ``reason.short``).
    """
    raise NotImplementedError


def activate_mapping(
    hub: Hub, access: Access, system: str, stream: str, number: int | None, reason: str
) -> MappingState:
    """Put an earlier revision in force again, or with None the packaged table. Needs ``data:write``; audited."""
    raise NotImplementedError
