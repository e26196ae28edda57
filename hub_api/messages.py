"""What came in: the inbox as operations read it. Personal fields are masked here, whoever asks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from psycopg import sql

from canonical_model.errors import NotFoundError
from canonical_model.ports import StreamSpec
from flows.runtime import inbox
from flows.runtime.database import UnitOfWork
from flows.runtime.sealing import Sealed
from hub_api.masking import hide_undeclared, mask_fields

_HEADS: Final = sql.SQL(
    "SELECT id, system, stream, idempotency_key, media_type, state, records, accepted, quarantined, ignored, error,"
    " traceparent, received_at, applied_at FROM message WHERE owner = %(owner)s AND brand = %(brand)s"
)
_FILTERS: Final[Mapping[str, sql.SQL]] = {
    "system": sql.SQL(" AND system = %(system)s"),
    "stream": sql.SQL(" AND stream = %(stream)s"),
    "state": sql.SQL(" AND state = %(state)s"),
    "since": sql.SQL(" AND received_at >= %(since)s"),
}
_OLDER: Final = sql.SQL(" AND id < %(before)s")
_NEWEST: Final = sql.SQL(" ORDER BY id DESC LIMIT %(limit)s")
# The same order for our ids, but one that only ix_message_stream serves (flows/runtime/revision_tables.py says why).
_OLDER_OF_STREAM: Final = sql.SQL(" AND id ~<~ %(before)s")
_NEWEST_OF_STREAM: Final = sql.SQL(" ORDER BY id USING ~>~ LIMIT %(limit)s")


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages to list; None means any. ``since`` is aware."""

    system: str | None = None
    stream: str | None = None
    state: str | None = None
    since: datetime | None = None


def list_messages(
    uow: UnitOfWork, owner: str, brand: str, wanted: MessageFilter, *, before: str | None, limit: int
) -> list[dict[str, Any]]:
    """Messages, newest first, older than the message ``before``."""
    values = asdict(wanted) | {"owner": owner, "brand": brand, "before": before, "limit": limit}
    of_stream = wanted.system is not None and wanted.stream is not None
    older, newest = (_OLDER_OF_STREAM, _NEWEST_OF_STREAM) if of_stream else (_OLDER, _NEWEST)
    conditions = [condition for name, condition in _FILTERS.items() if values[name] is not None]
    if before is not None:
        conditions.append(older)
    return uow.execute(sql.Composed([_HEADS, *conditions, newest]), values).fetchall()


def get_message(uow: UnitOfWork, owner: str, brand: str, message_id: str) -> dict[str, Any]:
    """One message without its body. NotFoundError if there is none of that id."""
    values = {"owner": owner, "brand": brand, "id": message_id}
    row = uow.execute(_HEADS + sql.SQL(" AND id = %(id)s"), values).fetchone()
    if row is None:
        raise NotFoundError(f"there is no message {message_id!r}", code="message.unknown", message_id=message_id)
    return row


def read_raw(uow: UnitOfWork, owner: str, brand: str, message_id: str) -> tuple[bytes, str]:
    """Body and media type as received; a personal message as JSON lines, its personal fields masked."""
    message = get_message(uow, owner, brand, message_id)
    row = uow.execute("SELECT body FROM message WHERE id = %s", (message_id,)).fetchone()
    if row is not None and row["body"] is not None:
        return inbox.read_body(row), message["media_type"]
    stream = uow.services.estate.stream(message["system"], message["stream"])
    schema = uow.services.estate.connector(message["system"]).schemas[stream.name]
    records = _open_masked(uow, message_id, stream, schema)
    return b"\n".join(orjson.dumps(record) for record in records), "application/x-ndjson"


def _open_masked(
    uow: UnitOfWork, message_id: str, stream: StreamSpec, schema: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    rows = uow.execute(
        "SELECT key_id, sealed FROM message_record WHERE message_id = %s ORDER BY position", (message_id,)
    ).fetchall()
    opened = uow.services.vault.open_many(uow.connection, [Sealed(row["key_id"], row["sealed"]) for row in rows])
    return [
        {"erased": True}
        if plain is None
        else hide_undeclared(mask_fields(orjson.loads(plain), stream.personal), schema)
        for plain in opened
    ]
