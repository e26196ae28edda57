"""Mapping tables corrected while the hub runs: a brand's revision of a packaged table, in force from the next message.

A revision is data. Before it may be in force it must parse, name only converters of the package, pass its own
examples, keep the packaged table's direction and entity, let no personal field reach a place where the packaged table
puts none, and be unable to blow records up. Which one is in force is one indexed query a message; compiled tables are
remembered by their text, so nothing has to be told to anyone.
"""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConfigurationError, NotFoundError, RejectedError
from canonical_model.ports import SystemConfig
from flows.runtime.database import Row, UnitOfWork
from mappings import reach
from mappings.engine import Mapping, load_mapping, revised_mapping, run_examples

MAX_TEXT: Final = 60_000
MAX_LISTED: Final = 200
MAX_REMEMBERED: Final = 256
MIN_REASON: Final = 10
MAX_REASON: Final = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """Which table of which brand: ``mappings/<connector>/<mapping>.toml``."""

    owner: str
    brand: str
    connector: str
    mapping: str

    @classmethod
    def of(cls, config: SystemConfig, mapping: str) -> "Place":
        """The place of a connected system's mapping; systems of one brand and connector share it."""
        return cls(config.owner, config.brand, config.connector, mapping)

    @property
    def packaged(self) -> Mapping:
        """The table that this release brings."""
        return load_mapping(self.connector, self.mapping)

    def key(self) -> tuple[str, str, str, str]:
        """The columns that name it."""
        return self.owner, self.brand, self.connector, self.mapping


def in_force(connection: Connection[DictRow], place: Place) -> Mapping:
    """The mapping to use now. ConfigurationError if a revision in force no longer fits this release."""
    active = connection.execute(
        "SELECT number, digest FROM mapping_revision"
        " WHERE (owner, brand, connector, mapping) = (%s, %s, %s, %s) AND active",
        place.key(),
    ).fetchone()
    if active is None:
        return place.packaged
    key = (place.connector, place.mapping, active["number"], active["digest"])
    return _compiled.get(key) or _remember(key, _compile_active(connection, place, active["number"]))


def compile_text(place: Place, text: str, number: int | None = None) -> Mapping:
    """A table that a person wrote, compiled but not checked. RejectedError (``mapping.invalid``) says what is wrong."""
    if len(text) > MAX_TEXT:
        raise RejectedError(f"the table has over {MAX_TEXT} characters; shorten it", code="mapping.invalid")
    label = ".try" if number is None else f".r{number}"
    try:
        return revised_mapping(place.connector, place.mapping, text, label=label)
    except ConfigurationError as error:
        raise RejectedError(error.detail, code="mapping.invalid") from error


def problems(place: Place, mapping: Mapping, personal: Sequence[str]) -> list[str]:
    """Why ``mapping`` may not be in force, a sentence each; empty if it may. ``personal``: the stream's fields."""
    return unfit(place, mapping, personal) or run_examples(mapping)


def unfit(place: Place, mapping: Mapping, personal: Sequence[str]) -> list[str]:
    """As ``problems``, whatever its examples say: why it may not even be tried."""
    packaged = place.packaged
    found = []
    if (mapping.direction, mapping.entity) != (packaged.direction, packaged.entity):
        found.append(f"the table must map {packaged.direction} and {packaged.entity}, as the packaged one does")
    if not any(example.out is not None for example in mapping.examples):
        found.append("the table has no example with an out; keep one, it is the proof that it works")
    found += _leaks(packaged, mapping, personal)
    most, total = reach.growth(mapping.table)
    if most > reach.MAX_GROWTH or total > reach.MAX_TOTAL_GROWTH:
        found.append("an expression repeats what it reads too often; split it, or write a converter")
    found += [
        f"{target} goes over the whole record once more for each element; start its each from the element"
        for target in reach.nested_from_record(mapping.table)
    ]
    return found


def _leaks(packaged: Mapping, mapping: Mapping, personal: Sequence[str]) -> list[str]:
    if not personal:
        return []
    sealed = reach.personal_targets(packaged.table, personal)
    reached = reach.personal_targets(mapping.table, personal)
    open_targets = sorted(
        target for target in reached if not any(f"{target}.".startswith(f"{known}.") for known in sealed)
    )
    allowed = ", ".join(sorted(sealed)) or "nothing"
    found = [
        f"{target} reads a personal field; only {allowed} may, because only that is sealed" for target in open_targets
    ]
    decided = reach.personal_decisions(mapping.table, personal) - reach.personal_decisions(packaged.table, personal)
    found += [
        f"{target} decides by a personal field; take it by a plain path and without codes, as it is"
        for target, _ in sorted(decided)
    ]
    loose = sorted(reach.unread(mapping.table, personal) - reach.unread(packaged.table, personal))
    return found + [f"the personal field {name} must be read by a rule, or it would lie open" for name in loose]


def revise(uow: UnitOfWork, place: Place, text: str, personal: Sequence[str], *, author: str, reason: str) -> Row:
    """Store ``text`` as the next revision and put it in force when the transaction commits; its row.

    RejectedError (``mapping.invalid``, ``reason.short``) says what is wrong, all of it.
    """
    check_reason(reason)
    _lock(uow, place)
    (last,) = uow.execute(
        "SELECT coalesce(max(number), 0) AS number FROM mapping_revision"
        " WHERE (owner, brand, connector, mapping) = (%s, %s, %s, %s)",
        place.key(),
    ).fetchall()
    number = last["number"] + 1
    mapping = compile_text(place, text, number)
    if wrong := problems(place, mapping, personal):
        raise RejectedError("; ".join(wrong), code="mapping.invalid")
    _deactivate(uow, place)
    row = uow.execute(
        "INSERT INTO mapping_revision (owner, brand, connector, mapping, number, text, digest, version, based_on,"
        " author, reason, active, activated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, true, clock_timestamp()) RETURNING *",
        (
            *place.key(),
            number,
            text,
            hashlib.sha256(text.encode()).hexdigest(),
            mapping.version,
            place.packaged.version,
            author,
            reason.strip(),
        ),
    ).fetchone()
    assert row is not None
    return row


def activate(uow: UnitOfWork, place: Place, number: int | None, personal: Sequence[str]) -> None:
    """Put an earlier revision in force, or with None the packaged table, when the transaction commits.

    Raises NotFoundError; RejectedError (``mapping.invalid``) when this release no longer takes that revision.
    """
    _lock(uow, place)
    if number is None:
        _deactivate(uow, place)
        return
    row = get(uow.connection, place, number)
    if wrong := problems(place, compile_text(place, row["text"], number), personal):
        raise RejectedError("; ".join(wrong), code="mapping.invalid")
    _deactivate(uow, place)
    uow.execute(
        "UPDATE mapping_revision SET active = true, activated_at = clock_timestamp() WHERE id = %s", (row["id"],)
    )


def get(connection: Connection[DictRow], place: Place, number: int) -> Row:
    """One revision with its text. NotFoundError if there is none of that number."""
    row = connection.execute(
        "SELECT * FROM mapping_revision WHERE (owner, brand, connector, mapping, number) = (%s, %s, %s, %s, %s)",
        (*place.key(), number),
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"mappings/{place.connector}/{place.mapping}.toml has no revision {number}", code="mapping.unknown_revision"
        )
    return row


def find_active(connection: Connection[DictRow], place: Place) -> Row | None:
    """The revision in force with its text; None when the packaged table is."""
    return connection.execute(
        "SELECT * FROM mapping_revision WHERE (owner, brand, connector, mapping) = (%s, %s, %s, %s) AND active",
        place.key(),
    ).fetchone()


def list_revisions(connection: Connection[DictRow], place: Place) -> list[Row]:
    """Revisions without their text, newest first; at most MAX_LISTED."""
    return connection.execute(
        "SELECT number, version, author, reason, based_on, active, created_at, activated_at FROM mapping_revision"
        " WHERE (owner, brand, connector, mapping) = (%s, %s, %s, %s) ORDER BY number DESC LIMIT %s",
        (*place.key(), MAX_LISTED),
    ).fetchall()


def check_reason(reason: str) -> None:
    """RejectedError (``reason.short``) unless the reason says something."""
    if not MIN_REASON <= len(reason.strip()) <= MAX_REASON:
        raise RejectedError(
            f"say why in {MIN_REASON} to {MAX_REASON} characters; whoever looks at the audit log will want to know",
            code="reason.short",
        )


_Key = tuple[str, str, int, str]
_compiled: dict[_Key, Mapping] = {}
_remembering = threading.Lock()


def _compile_active(connection: Connection[DictRow], place: Place, number: int) -> Mapping:
    row = get(connection, place, number)
    try:
        return compile_text(place, row["text"], number)
    except RejectedError as error:
        raise ConfigurationError(
            f"revision {number} of {place.connector}/{place.mapping} does not fit this release ({error.detail});"
            " activate the packaged table or another revision",
            code="mapping.outdated",
        ) from error


def _remember(key: _Key, mapping: Mapping) -> Mapping:
    with _remembering:
        if len(_compiled) >= MAX_REMEMBERED:
            _compiled.clear()
        _compiled[key] = mapping
    return mapping


def _lock(uow: UnitOfWork, place: Place) -> None:
    uow.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", ("/".join(place.key()),))


def _deactivate(uow: UnitOfWork, place: Place) -> None:
    uow.execute(
        "UPDATE mapping_revision SET active = false"
        " WHERE (owner, brand, connector, mapping) = (%s, %s, %s, %s) AND active",
        place.key(),
    )
