"""A stored message back to records, and the per-record answer about it."""

from dataclasses import replace
from typing import Any

import orjson
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import LimitError, NotFoundError, RecordError
from canonical_model.ports import Connector, StreamSpec
from connectors.kit.documents import extract_records, parse_document
from flows.ingest.batch import Batch, MessageHead
from flows.ingest.intake import open_intake
from flows.runtime import quarantine
from flows.runtime.database import UnitOfWork
from flows.runtime.inbox import INGEST_FLOW, read_body
from flows.runtime.quarantine import WHOLE_MESSAGE
from flows.runtime.sealing import Sealed


def get_message(connection: Connection[DictRow], message_id: str) -> DictRow:
    """The whole ``message`` row. NotFoundError if there is none."""
    row = connection.execute("SELECT * FROM message WHERE id = %s", (message_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no message {message_id!r}", code="message.unknown", message_id=message_id)
    return row


def head_of(row: DictRow) -> MessageHead:
    """What the stages of ingest know of a message."""
    return MessageHead(
        row["id"],
        row["owner"],
        row["brand"],
        row["system"],
        row["stream"],
        row["received_at"],
        row["traceparent"],
    )


def read_batch(uow: UnitOfWork, row: DictRow, connector: Connector, spec: StreamSpec) -> Batch:
    """Every record of a message. An erased record is left out; a document that was corrected reads as corrected.

    RecordError or LimitError when the document cannot be read.
    """
    if spec.personal:
        return _read_sealed(uow, row)
    try:
        records = parse_records(read_body(row), row["media_type"], connector, spec)
    except (RecordError, LimitError):
        corrected = quarantine.find_corrected(uow.connection, row["id"]).get(WHOLE_MESSAGE)
        if corrected is None:
            raise
        records = parse_records(quarantine.read_latest(corrected), row["media_type"], connector, spec)
    return Batch(head_of(row), range(len(records)), records)


def as_corrected(uow: UnitOfWork, batch: Batch) -> Batch:
    """The batch with the records that a person corrected as they are now; for feeding a message once more."""
    corrected = quarantine.find_corrected(uow.connection, batch.head.id)
    corrected.pop(WHOLE_MESSAGE, None)
    if not corrected:
        return batch
    if batch.sealed is None:
        plain: list[bytes | None] = [quarantine.read_latest(row) for row in corrected.values()]
    else:
        sealed = [Sealed(row["key_id"], row["corrected"]) for row in corrected.values()]
        plain = uow.services.vault.open_many(uow.connection, sealed)
    now = {
        position: orjson.loads(content)
        for position, content in zip(corrected, plain, strict=True)
        if content is not None
    }
    places = zip(batch.positions, batch.records, strict=True)
    return replace(batch, records=[now.get(position, record) for position, record in places])


def parse_records(body: bytes, media_type: str, connector: Connector, spec: StreamSpec) -> list[Any]:
    """The records of a document as the stream declares them. Raises RecordError or LimitError."""
    limits = connector.manifest.limits
    document = parse_document(body, media_type, limits=limits, lists=spec.lists)
    return extract_records(document, spec.records, limits=limits)


def _read_sealed(uow: UnitOfWork, row: DictRow) -> Batch:
    found = uow.execute(
        "SELECT position, key_id, sealed FROM message_record WHERE message_id = %s ORDER BY position", (row["id"],)
    ).fetchall()
    sealed = [Sealed(record["key_id"], record["sealed"]) for record in found]
    plain = uow.services.vault.open_many(uow.connection, sealed)
    kept = [index for index, content in enumerate(plain) if content is not None]
    return Batch(
        head_of(row),
        [found[index]["position"] for index in kept],
        [orjson.loads(plain[index] or b"null") for index in kept],
        [sealed[index] for index in kept],
    )


def record_results(uow: UnitOfWork, message_id: str) -> list[dict[str, Any]]:
    """What became of each record of an applied message, in order.

    Each is ``{"position", "status", "source_id", "issues"}``; status is accepted, ignored or the state of its
    quarantine row (open rows: quarantined). A document that could not be read is one entry at position -1.
    """
    row = get_message(uow.connection, message_id)
    estate = uow.services.estate
    intake = open_intake(estate.connector(row["system"]), estate.stream(row["system"], row["stream"]))
    entries = {entry["position"]: entry for entry in _quarantined(uow, message_id)}
    if WHOLE_MESSAGE in entries and row["state"] == "unreadable":
        return [entries[WHOLE_MESSAGE]]
    batch = read_batch(uow, row, intake.connector, intake.spec)
    ignored = _ignored(uow, row)
    return [
        entries.get(position)
        or {
            "position": position,
            "status": ignored.get(position, "accepted"),
            "source_id": intake.source_id(record),
            "issues": [],
        }
        for position, record in zip(batch.positions, batch.records, strict=True)
    ]


def _quarantined(uow: UnitOfWork, message_id: str) -> list[dict[str, Any]]:
    rows = uow.execute(
        "SELECT position, CASE state WHEN 'open' THEN 'quarantined' ELSE state END AS status, source_id, issues"
        " FROM quarantine WHERE message_id = %s",
        (message_id,),
    )
    return [dict(row) for row in rows]


def _ignored(uow: UnitOfWork, message: DictRow) -> dict[int, str]:
    run = uow.execute(
        "SELECT results FROM flow_run WHERE (owner, brand, flow, business_key) = (%s, %s, %s, %s)",
        (message["owner"], message["brand"], INGEST_FLOW, message["id"]),
    ).fetchone()
    by_reason = run["results"].get("apply", {}).get("ignored", {}) if run else {}
    return {position: reason for reason, positions in by_reason.items() for position in positions}
