"""The points rulebook in force for a group. A process learns of a new one at its next use; nobody has to tell it."""

import threading
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import Issue, NotFoundError, RecordError
from canonical_model.ledger import AssetKind
from canonical_model.store import ledger, rulebooks
from flows.points.rulebook import DEFAULT, PointsRulebook
from flows.runtime.database import UnitOfWork

GROUP: Final = ""
MAX_NOTE: Final = 1_000
MAX_REMEMBERED: Final = 256

_remembered: dict[tuple[str, int, str], PointsRulebook] = {}
_remembering: Final = threading.Lock()


def rules_of(connection: Connection[DictRow], owner: str) -> PointsRulebook:
    """The newest points rulebook of a group; DEFAULT, without a programme, while it has published none. One small
    query if nothing is new."""
    newest = rulebooks.newest(connection, owner, GROUP, kind=rulebooks.POINTS)
    if newest is None:
        return DEFAULT
    version, fingerprint = newest
    key = (owner, version, fingerprint)
    return _remembered.get(key) or _remember(key, get_rules(connection, owner, version))


def get_rules(connection: Connection[DictRow], owner: str, version: int) -> PointsRulebook:
    """A published version. NotFoundError if the group has none of that number."""
    found = rulebooks.find_rulebook(connection, owner, GROUP, version, kind=rulebooks.POINTS)
    if found is None:
        raise NotFoundError(
            f"there is no points rulebook version {version}; name a published one", code="rules.unknown"
        )
    return PointsRulebook(found.body, found.version)


def publish_rules(uow: UnitOfWork, owner: str, text: str, note: str, by: str) -> PointsRulebook:
    """Put ``text`` in force when the transaction commits, with an asset for each programme and outside unit; the same
    text again is the same version.

    RecordError lists everything that is wrong with it.
    """
    if len(note) > MAX_NOTE or "\0" in note:
        raise RecordError([Issue("note", "rules.note", f"a note is plain text of at most {MAX_NOTE} characters")])
    checked = PointsRulebook(text)
    published = rulebooks.publish(
        uow.connection,
        owner,
        GROUP,
        body=text,
        fingerprint=checked.fingerprint,
        note=note,
        by=by,
        kind=rulebooks.POINTS,
    )
    for name in checked.programmes:
        brand, _, code = name.partition("/")
        title = checked.programme(name).title
        ledger.ensure_asset(uow.connection, owner, brand, code, AssetKind.POINTS, title)
    for unit in sorted(checked.outside):
        ledger.ensure_asset(uow.connection, owner, GROUP, unit, AssetKind.OUTSIDE)
    return PointsRulebook(text, published.version)


def asset_ids(connection: Connection[DictRow], owner: str) -> dict[str, int]:
    """The group's assets by name: ``brand/code``, or ``code`` for an outside unit."""
    return {asset_name(row["brand"], row["code"]): row["id"] for row in ledger.assets(connection, owner)}


def asset_name(brand: str, code: str) -> str:
    """The asset's name in rules and at the doors."""
    return f"{brand}/{code}" if brand else code


def _remember(key: tuple[str, int, str], book: PointsRulebook) -> PointsRulebook:
    with _remembering:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        _remembered[key] = book
    return book
