"""Seeing personal values in the clear: for a written reason, audited, and not too often."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import jmespath
import orjson

from canonical_model.errors import LimitError, NotFoundError, RejectedError
from canonical_model.store import members
from flows.ingest.telling import mobiles_in
from flows.runtime import quarantine
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from flows.runtime.revisions import MIN_REASON, check_reason
from flows.runtime.sealing import Sealed
from hub_api import audit
from hub_api.auth import Access

MOST_AN_HOUR: Final = 60
MAX_ID: Final = 2**62
TELLING: Final = 4
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.\w")
_BETWEEN: Final = re.compile(r"(?<=\d)[\s\-]+(?=[\dXx])")
_IDENTITY: Final = re.compile(
    r"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)"
)
KINDS: Final = ("order", "message", "quarantine", "member")

__all__ = ["KINDS", "MIN_REASON", "MOST_AN_HOUR", "count_look", "looked", "reveal"]


def reveal(hub: Hub, access: Access, what: str, subject_id: str, reason: str) -> dict[str, Any]:
    """The plain personal values of an ``order`` (its id), a ``message`` record (``msg_…:position``), a ``quarantine``
    row (its id) or a ``member`` (its id): ``{field: value}``. Needs ``data:unmask``.

    It is in the audit log, with the reason and the names of the fields, before anything is shown. Raises AccessError,
    NotFoundError (also once erased), RejectedError (``reason.short``; ``reason.personal``: it quotes what it asks
    for, or holds a mobile, e-mail or identity number of anybody), LimitError (``unmask.rate``: over MOST_AN_HOUR of
    this person's in an hour).
    """
    access.require("data", "unmask")
    check_reason(reason)
    refuse_numbers(reason)
    if access.channel is not None and what != "order":
        raise NotFoundError(f"there is no {what} {subject_id!r}", code=f"{what}.unknown")
    with hub.database.unit() as uow:
        _count(uow, access)
        values = _open(uow, access, what, subject_id)
        _refuse_quotes(reason, values)
        detail = {"reason": reason.strip(), "fields": sorted(values)}
        audit.record(uow, access, "personal.unmask", f"{what}:{subject_id}", detail)
        uow.commit()
    return values


def looked(uow: UnitOfWork, actor: str) -> int:
    """How often the actor looked at somebody in the last hour. Tries at once take turns until the caller commits."""
    uow.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 8))", (actor,))
    (row,) = uow.execute(
        "SELECT count(*) AS n FROM unmasking WHERE actor = %s AND shown_at > clock_timestamp() - interval '1 hour'",
        (actor,),
    ).fetchall()
    return int(row["n"])


def count_look(uow: UnitOfWork, actor: str) -> None:
    """The actor looked once more."""
    uow.execute("INSERT INTO unmasking (actor) VALUES (%s)", (actor,))


def _count(uow: UnitOfWork, access: Access) -> None:
    """One more for this person; LimitError when it is one too many."""
    if (shown := looked(uow, access.actor)) >= MOST_AN_HOUR:
        raise LimitError(
            f"you have unmasked {shown} in the last hour, the limit is {MOST_AN_HOUR}; wait, or ask an admin for an"
            " export",
            code="unmask.rate",
        )
    count_look(uow, access.actor)


def _open(uow: UnitOfWork, access: Access, what: str, subject_id: str) -> dict[str, Any]:
    match what:
        case "order":
            return _order(uow, access, _number(what, subject_id))
        case "message":
            message_id, _, position = subject_id.partition(":")
            return _message(uow, access, message_id, _number(what, position or "0", least=0))
        case "quarantine":
            return _quarantined(uow, access, _number(what, subject_id))
        case "member":
            return _member(uow, access, _number(what, subject_id))
    raise NotFoundError(f"{what!r} holds nothing personal; there are {', '.join(KINDS)}", code="unmask.unknown")


def _order(uow: UnitOfWork, access: Access, order_id: int) -> dict[str, Any]:
    row = uow.execute(
        "SELECT channel, receiver_key_id, receiver_sealed, extensions_sealed FROM sales_order"
        " WHERE owner = %s AND brand = %s AND id = %s",
        (access.owner, access.brand, order_id),
    ).fetchone()
    if row is None or access.channel not in (None, row["channel"]) or row["receiver_key_id"] is None:
        raise NotFoundError(f"there is no order {order_id} with anything personal", code="order.unknown")
    values: dict[str, Any] = {}
    for part in ("receiver", "extensions"):
        if row[f"{part}_sealed"] is not None:
            opened = _unsealed(uow, row["receiver_key_id"], row[f"{part}_sealed"])
            values |= {f"{part}.{name}": value for name, value in opened.items()}
    return values


def _message(uow: UnitOfWork, access: Access, message_id: str, position: int) -> dict[str, Any]:
    row = uow.execute(
        "SELECT m.system, m.stream, r.key_id, r.sealed FROM message m JOIN message_record r ON r.message_id = m.id"
        " WHERE m.id = %s AND m.owner = %s AND m.brand = %s AND r.position = %s",
        (message_id, access.owner, access.brand, position),
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"message {message_id!r} has no sealed record at position {position}", code="message.unknown"
        )
    return _personal(uow, row, _unsealed(uow, row["key_id"], row["sealed"]))


def _quarantined(uow: UnitOfWork, access: Access, row_id: int) -> dict[str, Any]:
    row = quarantine.get_latest(uow.connection, access.owner, access.brand, row_id)
    if row["key_id"] is None:
        raise NotFoundError(f"record {row_id} holds nothing personal; it is shown as it is", code="unmask.unknown")
    return _personal(uow, row, _unsealed(uow, row["key_id"], row["corrected"] or row["raw"]))


def _member(uow: UnitOfWork, access: Access, member_id: int) -> dict[str, Any]:
    row = members.get_member(uow.connection, access.owner, access.brand, member_id)
    values = _unsealed(uow, row["key_id"], row["sealed"])
    return dict(values)


def _unsealed(uow: UnitOfWork, key_id: int, content: bytes) -> Any:
    (plain,) = uow.services.vault.open_many(uow.connection, [Sealed(key_id, content)])
    if plain is None:
        raise NotFoundError("it was erased with its person; nobody can see it any more", code="record.erased")
    return orjson.loads(plain)


def _personal(uow: UnitOfWork, row: Mapping[str, Any], record: Any) -> dict[str, Any]:
    """The values at the personal paths of the row's stream."""
    paths = uow.services.estate.stream(row["system"], row["stream"]).personal
    found = {path: jmespath.search(path, record) for path in paths}
    return {path: value for path, value in found.items() if value is not None}


def _refuse_quotes(reason: str, values: Mapping[str, Any]) -> None:
    """The audit log is for ever, and must not hold what can be erased."""
    plain = [str(value) for value in values.values() if isinstance(value, str | int)]
    if any(value in reason for value in plain if len(value) >= TELLING or (not value.isascii() and len(value) > 1)):
        raise RejectedError("the reason repeats a personal value; say why, not whom", code="reason.personal")


def refuse_numbers(reason: str) -> None:
    """Nor what names somebody else."""
    text = unicodedata.normalize("NFKC", reason)
    if mobiles_in(text) or _EMAIL.search(text) or _IDENTITY.search(_BETWEEN.sub("", text)):
        raise RejectedError(
            "the reason holds what looks like a mobile number, an e-mail address or an identity number; say why, not"
            " whom",
            code="reason.personal",
        )


def _number(what: str, text: str, *, least: int = 1) -> int:
    if text.isascii() and text.isdecimal() and least <= int(text) < MAX_ID:
        return int(text)
    raise NotFoundError(f"there is no {what} {text!r}", code=f"{what}.unknown")
