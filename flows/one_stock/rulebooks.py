"""The rulebook in force for a brand. A process learns of a new one at its next decision; nobody has to tell it."""

import threading
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import Issue, NotFoundError, RecordError
from canonical_model.store import rulebooks
from flows.one_stock.routing.rulebook import DEFAULT, Rulebook
from flows.runtime.database import UnitOfWork

MAX_NOTE: Final = 1_000
MAX_REMEMBERED: Final = 256

_remembered: dict[tuple[str, str, int, str], Rulebook] = {}
_remembering: Final = threading.Lock()


def rulebook_of(connection: Connection[DictRow], owner: str, brand: str) -> Rulebook:
    """The newest rulebook of a brand; DEFAULT while it has published none. One small query if nothing is new."""
    newest = rulebooks.newest(connection, owner, brand)
    if newest is None:
        return DEFAULT
    version, fingerprint = newest
    key = (owner, brand, version, fingerprint)
    return _remembered.get(key) or _remember(key, get_rulebook(connection, owner, brand, version))


def get_rulebook(connection: Connection[DictRow], owner: str, brand: str, version: int) -> Rulebook:
    """A published version. NotFoundError if the brand has none of that number."""
    found = rulebooks.find_rulebook(connection, owner, brand, version)
    if found is None:
        raise NotFoundError(
            f"there is no rulebook version {version}; `yipan rules history` lists them", code="rules.unknown"
        )
    return Rulebook(found.body, found.version)


def publish_rulebook(uow: UnitOfWork, owner: str, brand: str, text: str, note: str, by: str) -> Rulebook:
    """Put ``text`` in force when the transaction commits; the same text again is the same version.

    RecordError lists everything that is wrong with it.
    """
    if len(note) > MAX_NOTE or "\0" in note:
        raise RecordError([Issue("note", "rules.note", f"a note is plain text of at most {MAX_NOTE} characters")])
    checked = Rulebook(text)
    published = rulebooks.publish(
        uow.connection, owner, brand, body=text, fingerprint=checked.fingerprint, note=note, by=by
    )
    return Rulebook(text, published.version)


def _remember(key: tuple[str, str, int, str], book: Rulebook) -> Rulebook:
    with _remembering:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        _remembered[key] = book
    return book
