"""The inbox: what arrives is stored before it is answered, once however often it is sent."""

import secrets
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import jmespath
import orjson
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, LimitError, RecordError, RejectedError
from canonical_model.ports import Connector, Manifest, StreamSpec
from connectors.kit.documents import extract_records, parse_document
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.runs import start_runs
from flows.runtime.sealing import Sealed, Secret, Vault

INGEST_FLOW: Final = "ingest.message"
MAX_KEY_CHARACTERS: Final = 200
_COMPRESSION: Final = 1


@dataclass(frozen=True, slots=True)
class Incoming:
    """One push or pulled page. ``received_at`` is aware; ``idempotency_key`` is the sender's, if it gave one."""

    system: str
    stream: str
    body: bytes
    media_type: str
    received_at: datetime
    idempotency_key: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """The message, new or seen before, the run that ingests it, and the answer to give (JSON)."""

    message_id: str
    new: bool
    run_id: int
    answer: dict[str, Any]


def new_message_id() -> str:
    """A unique name that sorts by time: 48 bits of milliseconds, 80 random bits, in hex."""
    return f"msg_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def receive(uow: UnitOfWork, incoming: Incoming) -> Received:
    """Store the message and start its ingest run in the caller's transaction; nothing is durable until it commits.

    The same key with the same body gives the first message's answer again. Raises NotFoundError (system or
    stream), LimitError, ConflictError (same key, other body), RecordError (a personal document, or one that
    must name itself, cannot be read), RejectedError (the stream requires a key and there is none).
    """
    estate = uow.services.estate
    spec = estate.stream(incoming.system, incoming.stream)
    connector = estate.connector(incoming.system)
    _check_size(incoming, connector.manifest)
    fingerprint = _fingerprint(uow.services.vault, incoming.body, spec)
    document = _document(incoming, connector.manifest, spec) if _is_read_at_the_door(incoming, spec) else None
    key = _idempotency_key(incoming, spec, document, fingerprint)
    message_id = _insert(uow, incoming, connector, spec, key, fingerprint)
    if message_id is None:
        return _seen_before(uow, incoming, connector, key, fingerprint)
    records = _seal_records(uow, message_id, connector, spec, document) if spec.personal else 0
    (started,) = start_runs(
        uow,
        [
            Start(
                flow=INGEST_FLOW,
                owner=connector.config.owner,
                brand=connector.config.brand,
                key=message_id,
                input={"message_id": message_id},
                traceparent=incoming.traceparent,
            )
        ],
    )
    return Received(message_id, True, started.run_id, _answer(message_id, "received", records=records))


def read_body(row: dict[str, Any]) -> bytes:
    """The raw body of a ``message`` row that is not personal."""
    return zlib.decompress(row["body"])


def _fingerprint(vault: Vault, body: bytes, spec: StreamSpec) -> str:
    """What tells the body from others; keyed if it is personal: else who knows the rest could try every number."""
    plain = sha256(body).hexdigest()
    return vault.token(plain) if spec.personal else plain


def _check_size(incoming: Incoming, manifest: Manifest) -> None:
    if len(incoming.body) > manifest.limits.body_bytes:
        raise LimitError(
            f"the body has {len(incoming.body)} bytes, {incoming.system} may send {manifest.limits.body_bytes};"
            " send smaller batches",
            code="limit.body",
            system=incoming.system,
        )


def _is_read_at_the_door(incoming: Incoming, spec: StreamSpec) -> bool:
    return bool(spec.personal) or (spec.message_key is not None and incoming.idempotency_key is None)


def _document(incoming: Incoming, manifest: Manifest, spec: StreamSpec) -> Any:
    """The parsed document; None when it cannot be read and may be stored as it is, to be looked at later."""
    try:
        return parse_document(incoming.body, incoming.media_type, limits=manifest.limits, lists=spec.lists)
    except (RecordError, LimitError):
        if spec.personal or spec.requires_message_key:
            raise
        return None


def _idempotency_key(incoming: Incoming, spec: StreamSpec, document: Any, fingerprint: str) -> str:
    key = incoming.idempotency_key or _own_number(spec, document)
    if key is None and spec.requires_message_key:
        raise RejectedError(
            f"{incoming.system}/{incoming.stream} needs an Idempotency-Key: the same change may rightly come twice",
            code="message.key_missing",
            system=incoming.system,
            stream=incoming.stream,
        )
    if key is None:
        return f"{'keyed' if spec.personal else 'sha256'}:{fingerprint}"
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or not key.isprintable():
        raise RejectedError(
            f"an idempotency key has 1 to {MAX_KEY_CHARACTERS} printable characters", code="message.key_invalid"
        )
    return key


def _own_number(spec: StreamSpec, document: Any) -> str | None:
    if spec.message_key is None or document is None:
        return None
    number = jmespath.search(spec.message_key, document)
    return str(number).strip() or None if isinstance(number, str | int) else None


def _insert(
    uow: UnitOfWork, incoming: Incoming, connector: Connector, spec: StreamSpec, key: str, fingerprint: str
) -> str | None:
    """The new message's id, or None when the key was used before. Waits for a concurrent twin to commit."""
    body = None if spec.personal else zlib.compress(incoming.body, _COMPRESSION)
    inserted = uow.execute(
        "INSERT INTO message (id, owner, brand, system, stream, idempotency_key, fingerprint, media_type, body,"
        " traceparent, received_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (owner, brand, system, stream, idempotency_key) DO NOTHING RETURNING id",
        (
            new_message_id(),
            connector.config.owner,
            connector.config.brand,
            incoming.system,
            incoming.stream,
            key,
            fingerprint,
            incoming.media_type[:MAX_KEY_CHARACTERS],
            body,
            incoming.traceparent,
            incoming.received_at,
        ),
    ).fetchone()
    return inserted["id"] if inserted else None


def _seen_before(uow: UnitOfWork, incoming: Incoming, connector: Connector, key: str, fingerprint: str) -> Received:
    row = uow.execute(
        "SELECT m.id, m.fingerprint, m.state, m.records, m.accepted, m.quarantined, m.ignored, r.id AS run_id"
        " FROM message m JOIN flow_run r ON (r.owner, r.brand, r.flow, r.business_key) = (m.owner, m.brand, %s, m.id)"
        " WHERE (m.owner, m.brand, m.system, m.stream, m.idempotency_key) = (%s, %s, %s, %s, %s)",
        (INGEST_FLOW, connector.config.owner, connector.config.brand, incoming.system, incoming.stream, key),
    ).fetchone()
    assert row is not None, "the message that conflicted, and its run, were committed together"
    if row["fingerprint"] != fingerprint:
        raise ConflictError(
            f"the key {key!r} was used before for another body (message {row['id']}); use a new key for new content",
            code="message.key_reused",
            message_id=row["id"],
        )
    counts = {name: row[name] for name in ("records", "accepted", "quarantined", "ignored")}
    return Received(row["id"], False, row["run_id"], _answer(row["id"], row["state"], **counts))


def _answer(message_id: str, state: str, **counts: int) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "state": state,
        "records": 0,
        "accepted": 0,
        "quarantined": 0,
        "ignored": 0,
    } | counts


def _seal_records(uow: UnitOfWork, message_id: str, connector: Connector, spec: StreamSpec, document: Any) -> int:
    records = extract_records(document, spec.records, limits=connector.manifest.limits)
    vault = uow.services.vault
    sealed = vault.seal_many(
        uow.connection, [Secret(orjson.dumps(record), subject_of(vault, spec, record)) for record in records]
    )
    _insert_sealed(uow.connection, message_id, sealed)
    uow.execute("UPDATE message SET records = %s WHERE id = %s", (len(sealed), message_id))
    return len(sealed)


def _insert_sealed(connection: Connection[DictRow], message_id: str, sealed: list[Sealed]) -> None:
    connection.execute(
        "INSERT INTO message_record (message_id, position, key_id, sealed)"
        " SELECT %s, n - 1, key_id, content"
        " FROM unnest(%s::bigint[], %s::bytea[]) WITH ORDINALITY AS r (key_id, content, n)",
        (message_id, [s.key_id for s in sealed], [s.content for s in sealed]),
    )


def subject_of(vault: Vault, spec: StreamSpec, record: Any) -> str | None:
    """The token of the person a record is about: its first personal field that has a value, in the manifest's order."""
    for path in spec.personal:
        found = jmespath.search(path, record)
        value = next(iter(found), None) if isinstance(found, list) else found
        if isinstance(value, str | int) and str(value).strip():
            return vault.token(str(value))
    return None
