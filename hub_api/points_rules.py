"""The group's points rulebook as people work with it: in force and before, what is wrong with a text, publishing it.

The document is the group's, the caller a brand's: nobody changes another brand's programmes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import AccessError, ConflictError, Issue, RecordError
from canonical_model.store import rulebooks
from canonical_model.store.rulebooks import RulebookHead
from flows.points.rulebook import DEFAULT, PointsRulebook
from flows.points.rules import GROUP, get_rules, publish_rules, rules_of
from flows.runtime import revisions
from flows.runtime.bootstrap import Hub
from hub_api import audit
from hub_api.auth import Access
from hub_api.points import require_whole_brand
from hub_api.routing_rules import compared

MAX_HISTORY: Final = 50


@dataclass(frozen=True, slots=True)
class PointsRules:
    """A version with its text, and the newest ones there are. ``version`` 0 is what a group without a rulebook has.

    ``latest``: the one in force. ``lines``: the text beside that of the version before it.
    """

    version: int
    latest: int
    text: str
    fingerprint: str
    note: str
    published_by: str
    published_at: datetime | None
    programmes: Sequence[str]
    history: Sequence[RulebookHead]
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text would change, against version ``against``. With ``issues`` it cannot be published."""

    against: int
    issues: Sequence[Issue] = ()
    lines: Sequence[str] = ()


def rules_state(hub: Hub, access: Access, version: int | None = None) -> PointsRules:
    """The version asked for, or the one in force. NotFoundError (``rules.unknown``)."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        history = rulebooks.list_rulebooks(
            uow.connection, access.owner, GROUP, limit=MAX_HISTORY, kind=rulebooks.POINTS
        )
        latest = history[0].version if history else 0
        shown = latest if version is None else version
        book = get_rules(uow.connection, access.owner, shown) if shown else DEFAULT
        found = rulebooks.find_rulebook(uow.connection, access.owner, GROUP, shown, kind=rulebooks.POINTS)
        earlier = get_rules(uow.connection, access.owner, shown - 1) if shown > 1 else DEFAULT
    return PointsRules(
        version=shown,
        latest=latest,
        text=book.text,
        fingerprint=book.fingerprint,
        note=found.note if found else "",
        published_by=found.published_by if found else "",
        published_at=found.published_at if found else None,
        programmes=book.programmes,
        history=history,
        lines=compared(earlier.text, book.text) if shown else [],
    )


def list_versions(hub: Hub, access: Access, *, before: int | None, limit: int) -> list[RulebookHead]:
    """Every version below ``before`` without its text, newest first."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        return rulebooks.list_rulebooks(
            uow.connection, access.owner, GROUP, before=before, limit=limit, kind=rulebooks.POINTS
        )


def check_rules(hub: Hub, access: Access, text: str) -> Checked:
    """What is wrong with a text, or what it would change; nothing is stored."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        now = rules_of(uow.connection, access.owner)
    try:
        PointsRulebook(text)
    except RecordError as error:
        return Checked(now.version, issues=error.issues)
    return Checked(now.version, lines=compared(now.text, text))


def publish(hub: Hub, access: Access, text: str, note: str, *, against: int | None = None) -> int:
    """Put ``text`` in force for what happens from now on; its version. Needs ``points:rules``; audited.

    ``against``: only while that version is in force. Raises RecordError (all that is wrong with the text),
    ConflictError (``rules.overtaken``), AccessError (``points.brand``: it changes another brand's programmes;
    ``access.channel``) and RejectedError (``reason.short``).
    """
    require_whole_brand(access, "rules")
    revisions.check_reason(note)
    with hub.database.unit() as uow:
        before = rules_of(uow.connection, access.owner)
        _check_brand(access, before, PointsRulebook(text))
        published = publish_rules(uow, access.owner, text, note.strip(), access.actor)
        if against not in (None, before.version) or published.version not in (before.version, before.version + 1):
            raise ConflictError("somebody published other rules meanwhile; check yours again", code="rules.overtaken")
        detail = {"version": published.version, "fingerprint": published.fingerprint, "reason": note.strip()}
        audit.record(uow, access, "points.rules", f"points_rules:{published.version}", detail)
        uow.commit()
    return published.version


def _check_brand(access: Access, old: PointsRulebook, new: PointsRulebook) -> None:
    if access.kind == "cli":
        return
    changed = sorted(_of_others(access, old) ^ _of_others(access, new))
    if changed:
        raise AccessError(
            f"this changes {changed[0][0]}, which is another brand's; somebody of that brand, or the command line, may",
            code="points.brand",
        )


def _of_others(access: Access, book: PointsRulebook) -> set[tuple[str, str]]:
    """What the rulebook says of programmes and rates that are none of the caller's brand."""

    def is_own(name: str) -> bool:
        return name.partition("/")[0] == access.brand and "/" in name

    said: dict[str, Any] = {name: book.programme(name) for name in book.programmes if not is_own(name)}
    rates = [rule for rule in book.exchanges if not is_own(rule.from_) and not is_own(rule.to)]
    return {(name, repr(rules)) for name, rules in said.items()} | {
        (f"{rule.from_} into {rule.to}", repr(rule)) for rule in rates
    }
