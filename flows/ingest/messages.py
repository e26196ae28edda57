"""A stored message back to records, and the per-record answer about it."""

from collections import defaultdict
from collections.abc import Sequence
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
    (row,) = get_messages(connection, [message_id])
    return row


def get_messages(connection: Connection[DictRow], message_ids: Sequence[str]) -> list[DictRow]:
    """The whole ``message`` rows, in that order. NotFoundError if one is missing."""
    found = connection.execute("SELECT * FROM message WHERE id = ANY(%s)", (list(message_ids),))
    rows = {row["id"]: row for row in found}
    if missing := next((each for each in message_ids if each not in rows), None):
        raise NotFoundError(f"there is no message {missing!r}", code="message.unknown", message_id=missing)
    return [rows[each] for each in message_ids]


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
    (batch,) = read_batches(uow, [row], connector, spec)
    if isinstance(batch, Batch):
        return batch
    raise batch


def read_batches(
    uow: UnitOfWork, rows: Sequence[DictRow], connector: Connector, spec: StreamSpec
) -> list[Batch | RecordError | LimitError]:
    """As ``read_batch`` for many messages of one stream, in order; the error in the place of one that cannot be
    read."""
    if spec.personal:
        return [*_read_sealed(uow, rows)]
    return [_read_open(uow, row, connector, spec) for row in rows]


def _read_open(
    uow: UnitOfWork, row: DictRow, connector: Connector, spec: StreamSpec
) -> Batch | RecordError | LimitError:
    try:
        records = parse_records(read_body(row), row["media_type"], connector, spec)
    except (RecordError, LimitError) as error:
        corrected = quarantine.find_corrected(uow.connection, row["id"]).get(WHOLE_MESSAGE)
        if corrected is None:
            return error
        try:
            records = parse_records(quarantine.read_latest(corrected), row["media_type"], connector, spec)
        except (RecordError, LimitError) as still:
            return still
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


def _read_sealed(uow: UnitOfWork, rows: Sequence[DictRow]) -> list[Batch]:
    found = uow.execute(
        "SELECT message_id, position, key_id, sealed FROM message_record WHERE message_id = ANY(%s)"
        " ORDER BY message_id, position",
        ([row["id"] for row in rows],),
    ).fetchall()
    sealed = [Sealed(record["key_id"], record["sealed"]) for record in found]
    plain = uow.services.vault.open_many(uow.connection, sealed)
    kept: defaultdict[str, list[tuple[int, Any, Sealed]]] = defaultdict(list)
    for record, cover, content in zip(found, sealed, plain, strict=True):
        if content is not None:
            kept[record["message_id"]].append((record["position"], orjson.loads(content), cover))
    return [
        Batch(
            head_of(row),
            [position for position, _, _ in kept[row["id"]]],
            [record for _, record, _ in kept[row["id"]]],
            [cover for _, _, cover in kept[row["id"]]],
        )
        for row in rows
    ]


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
