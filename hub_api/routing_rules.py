"""The brand's rulebook as people work with it: in force and before, what a text would change, and putting it in force.

Reading needs ``ops:read``, publishing ``data:write``; what was published by whom and why is in the audit log.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import ConflictError, Issue, RecordError
from canonical_model.store import rulebooks
from canonical_model.store.rulebooks import RulebookHead
from flows.one_stock.routing.rulebook import BASE, DEFAULT, Rulebook, Rules
from flows.one_stock.rulebooks import get_rulebook, publish_rulebook, rulebook_of
from flows.runtime import revisions
from flows.runtime.bootstrap import Hub
from hub_api import audit
from hub_api.auth import Access

MAX_HISTORY: Final = 50
MAX_CHANGES: Final = 200
SKIPPED: Final = " …"


@dataclass(frozen=True, slots=True)
class RulesState:
    """A version, and the newest ones there are. ``version`` 0 is what a brand without a rulebook has.

    ``latest``: the version in force. ``base``: the rules of every channel that has none of its own; ``own``: what
    channels say otherwise. ``lines`` is the text beside that of the version before: ``+``, ``-`` or a blank, then the
    line.
    """

    version: int
    latest: int
    text: str
    fingerprint: str
    note: str
    published_by: str
    published_at: datetime | None
    base: Rules
    channels: Sequence[str]
    own: Sequence["Change"]
    history: Sequence[RulebookHead]
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change:
    """A rule of a channel (``base``: of all that do not say otherwise) that becomes another. None: was or is not."""

    channel: str
    rule: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text would change, against version ``against``. With ``issues`` it cannot be published."""

    against: int
    issues: Sequence[Issue] = ()
    changes: Sequence[Change] = ()
    lines: Sequence[str] = field(default=())


def rules_state(hub: Hub, access: Access, version: int | None = None) -> RulesState:
    """The version asked for, or the one in force. NotFoundError (``rules.unknown``)."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        mine = (uow.connection, access.owner, access.brand)
        history = rulebooks.list_rulebooks(*mine, limit=MAX_HISTORY)
        latest = history[0].version if history else 0
        shown = latest if version is None else version
        book = get_rulebook(*mine, shown) if shown else DEFAULT
        found = rulebooks.find_rulebook(*mine, shown) if shown else None
        earlier = get_rulebook(*mine, shown - 1) if shown > 1 else DEFAULT
    return RulesState(
        version=shown,
        latest=latest,
        text=book.text,
        fingerprint=book.fingerprint,
        note=found.note if found else "",
        published_by=found.published_by if found else "",
        published_at=found.published_at if found else None,
        base=book.rules(),
        channels=book.channels,
        own=[change for name in book.channels for change in _of_channel(name, book.rules(), book.rules(name))],
        history=history,
        lines=compared(earlier.text, book.text) if shown else [],
    )


def check_rules(hub: Hub, access: Access, text: str) -> Checked:
    """What would be other than now if ``text`` were in force; nothing is stored."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        now = rulebook_of(uow.connection, access.owner, access.brand)
    try:
        book = Rulebook(text)
    except RecordError as error:
        return Checked(now.version, issues=error.issues)
    changes = list(_changes(now, book))[:MAX_CHANGES]
    return Checked(now.version, changes=changes, lines=compared(now.text, text))


def publish_rules(hub: Hub, access: Access, text: str, reason: str, *, against: int) -> int:
    """Put ``text`` in force from each order's next decision on; its version. Needs ``data:write``; audited.

    ``against``: the version that was in force when the text was checked. Raises ConflictError (``rules.overtaken``)
    when another one is by now, RecordError (what is wrong with the text), RejectedError (``reason.short``).
    """
    access.require("data", "write")
    revisions.check_reason(reason)
    with hub.database.unit() as uow:
        newest = rulebooks.newest(uow.connection, access.owner, access.brand)
        before = newest[0] if newest else 0
        published = publish_rulebook(uow, access.owner, access.brand, text, reason.strip(), access.actor)
        if before != against or published.version not in (before, before + 1):
            raise ConflictError("somebody published other rules meanwhile; check yours again", code="rules.overtaken")
        detail = {"version": published.version, "fingerprint": published.fingerprint, "reason": reason.strip()}
        audit.record(uow, access, "rules.publish", f"rules:{published.version}", detail)
        uow.commit()
    return published.version


def compared(old: str, new: str) -> list[str]:
    """The lines of ``new`` beside those of ``old``, each after ``+``, ``-`` or a blank; ``…`` for those left out."""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3))[3:]
    return [SKIPPED if line.startswith("@@") else line for line in lines]


def _changes(old: Rulebook, new: Rulebook) -> Iterator[Change]:
    """Rule by rule, the base first; a channel shows only what does not follow from a change of the base."""
    base = list(_of_channel(BASE, old.rules(), new.rules()))
    yield from base
    known = {(change.rule, str(change.before), str(change.after)) for change in base}
    for channel in sorted({*old.channels, *new.channels}):
        for change in _of_channel(channel, old.rules(channel), new.rules(channel)):
            if (change.rule, str(change.before), str(change.after)) not in known:
                yield change


def _of_channel(channel: str, old: Rules, new: Rules) -> Iterator[Change]:
    before, after = dict(_flat("", old.model_dump(mode="json"))), dict(_flat("", new.model_dump(mode="json")))
    for rule in sorted({*before, *after}):
        if before.get(rule) != after.get(rule):
            yield Change(channel, rule, before.get(rule), after.get(rule))


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield prefix + key, sorted(value) if isinstance(value, list) and key != "tiers" else value
