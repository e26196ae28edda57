"""Messages as told in stories: each record as it came beside what the mapping makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from canonical_model.errors import LimitError, NotFoundError, RecordError
from canonical_model.ports import EntityName
from flows.ingest.batch import Batch
from flows.ingest.intake import judge, mapping_in_force, open_intake
from flows.ingest.messages import read_batch, record_results
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import messages
from hub_api.auth import Access
from hub_api.corrections.streams import Stream, as_text, stream_of
from hub_api.stories.shapes import Hit, MessageStory, RecordStory, url_of

MAX_RECORDS: Final = 50
MAX_BODY: Final = 64 * 1024
COUNTS: Final = ("records", "accepted", "quarantined", "ignored")


def message_row(uow: UnitOfWork, access: Access, message_id: str) -> Row:
    """The whole row. NotFoundError if the brand has none of that id."""
    row = uow.execute(
        "SELECT * FROM message WHERE id = %s AND owner = %s AND brand = %s", (message_id, access.owner, access.brand)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no message {message_id!r}", code="message.unknown", message_id=message_id)
    return row


def tell_message(
    hub: Hub, uow: UnitOfWork, access: Access, row: Row, *, only: Sequence[str] | None = None
) -> MessageStory:
    """One message with its first MAX_RECORDS records; ``only`` keeps those with one of these names at the source."""
    stream = stream_of(hub, access, row["system"], row["stream"])
    body, media_type = messages.read_raw(uow, access.owner, access.brand, row["id"])
    records, cut, version = _records(uow, access, row, stream, only)
    return MessageStory(
        id=row["id"],
        system=row["system"],
        stream=row["stream"],
        state=row["state"],
        idempotency_key=row["idempotency_key"],
        media_type=media_type,
        received_at=row["received_at"],
        applied_at=row["applied_at"],
        counts={name: row[name] for name in COUNTS},
        error=row["error"],
        mapping_version=version,
        body=body[:MAX_BODY].decode("utf-8", "replace"),
        body_cut=len(body) > MAX_BODY,
        records=records,
        records_cut=cut,
        url=url_of("message", row["id"]),
    )


def _records(
    uow: UnitOfWork, access: Access, row: Row, stream: Stream, only: Sequence[str] | None
) -> tuple[list[RecordStory], bool, str]:
    table = mapping_in_force(uow.connection, stream.connector, stream.spec)
    intake = open_intake(stream.connector, stream.spec, table)
    try:
        batch = read_batch(uow, row, stream.connector, stream.spec)
    except (RecordError, LimitError):
        return _unreadable(uow, row), False, table.version
    names = [intake.source_id(record) for record in batch.records]
    wanted = [index for index, name in enumerate(names) if only is None or name in only]
    cut, wanted = len(wanted) > MAX_RECORDS, wanted[:MAX_RECORDS]
    batch = _picked(batch, wanted)
    values, _ = judge(intake, batch)
    results = {each["position"]: each for each in record_results(uow, row["id"])} if row["applied_at"] else {}
    rows = _quarantine_ids(uow, row["id"])
    became = _became(uow, access, stream, values)
    stories = []
    for index, position in enumerate(batch.positions):
        known = results.get(position, {"status": "waiting", "issues": []})
        stories.append(
            RecordStory(
                position=position,
                status=known["status"],
                source_id=names[wanted[index]],
                raw=as_text(stream.raw(batch.records[index])),
                canonical=stream.canonical(values.get(index), table),
                issues=known["issues"],
                became=became.get(index, ()),
                quarantine_id=rows.get(position),
            )
        )
    return stories, cut, table.version


def _picked(batch: Batch, indexes: Sequence[int]) -> Batch:
    return replace(
        batch,
        positions=[batch.positions[index] for index in indexes],
        records=[batch.records[index] for index in indexes],
        sealed=None,
    )


def _unreadable(uow: UnitOfWork, row: Row) -> list[RecordStory]:
    """A document that could not be read is one entry."""
    if row["applied_at"] is None:
        return []
    rows = _quarantine_ids(uow, row["id"])
    return [
        RecordStory(each["position"], each["status"], each["source_id"], None, None, each["issues"], (), rows.get(-1))
        for each in record_results(uow, row["id"])
    ]


def _quarantine_ids(uow: UnitOfWork, message_id: str) -> dict[int, int]:
    found = uow.execute("SELECT id, position FROM quarantine WHERE message_id = %s", (message_id,))
    return {row["position"]: row["id"] for row in found}


def _became(
    uow: UnitOfWork, access: Access, stream: Stream, values: Mapping[int, Mapping[str, Any]]
) -> dict[int, list[Hit]]:
    """What there is now of each canonical value, by index: an order, a SKU, a parcel's run."""
    names = {index: _name(stream.spec.entity, value) for index, value in values.items()}
    asked = [{"n": index, "a": name[0], "b": name[1]} for index, name in names.items() if name is not None]
    query = _FIND.get(stream.spec.entity)
    if query is None or not asked:
        return {}
    given = {"owner": access.owner, "brand": access.brand, "asked": orjson.dumps(asked).decode()}
    found: dict[int, list[Hit]] = {}
    for row in uow.execute(query, given):
        kind = row["kind"]
        hit = Hit(kind, str(row["id"]), row["title"], row["at"], url_of(kind, row["id"]), "record")
        found.setdefault(row["n"], []).append(hit)
    return found


def _name(entity: EntityName, value: Mapping[str, Any]) -> tuple[str, str] | None:
    match entity:
        case EntityName.ORDER:
            return value["channel"], value["order_no"]
        case EntityName.PRODUCT:
            return "", value["code"]
        case EntityName.STOCK:
            return value["source"]["system"], value["sku"]
        case EntityName.CONFIRMATION:
            return "", value["parcel_no"]
    return None


_ASKED: Final = " FROM jsonb_to_recordset(%(asked)s) AS asked (n integer, a text, b text)"
_FIND: Final = {
    EntityName.ORDER: "SELECT asked.n, 'order' AS kind, o.id::text, o.channel || ' ' || o.order_no || ' · ' || o.status"
    " AS title, o.created_at AS at" + _ASKED + " JOIN sales_order o ON (o.owner, o.brand, o.channel, o.order_no)"
    " = (%(owner)s, %(brand)s, asked.a, asked.b)",
    EntityName.PRODUCT: "SELECT asked.n, 'sku' AS kind, s.code AS id, s.code || ' · ' || s.name AS title,"
    " s.updated_at AS at" + _ASKED + " JOIN sku s ON (s.owner, s.brand, s.code) = (%(owner)s, %(brand)s, asked.b)",
    EntityName.STOCK: "SELECT DISTINCT asked.n, 'sku' AS kind, s.code AS id, s.code || ' · ' || s.name AS title,"
    " s.updated_at AS at" + _ASKED + " JOIN crosswalk c ON (c.owner, c.brand, c.outside_id, c.kind)"
    " = (%(owner)s, %(brand)s, asked.b, 'sku') JOIN sku s ON s.id = c.inner_id",
    EntityName.CONFIRMATION: "SELECT asked.n, 'order' AS kind, o.id::text, o.channel || ' ' || o.order_no || ' · '"
    " || p.parcel_no AS title, o.created_at AS at" + _ASKED + " JOIN parcel p ON (p.owner, p.brand, p.parcel_no)"
    " = (%(owner)s, %(brand)s, asked.b) JOIN sales_order o ON o.id = p.order_id",
}
