"""The inbox: what arrives is stored before it is answered, once however often it is sent."""

import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import jmespath
import orjson

from canonical_model.errors import ConflictError, HubError, LimitError, RecordError, RejectedError
from canonical_model.ports import Connector, EntityName, Manifest, StreamSpec
from connectors.kit.documents import extract_records, parse_document
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.runs import Started, start_runs
from flows.runtime.sealing import Secret, Vault

INGEST_FLOW: Final = "ingest.message"
TOGETHER: Final = "together"
SMALL_BYTES: Final = 16 * 1024
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
    """The message, new or seen before, the run that ingests it, and the answer to give (JSON).

    ``together``: the run is best carried on with others of its kind.
    """

    message_id: str
    new: bool
    run_id: int
    answer: dict[str, Any]
    together: bool = False


def new_message_id() -> str:
    """A unique name that sorts by time: 48 bits of milliseconds, 80 random bits, in hex."""
    return f"msg_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


@dataclass(frozen=True, slots=True)
class _Letter:
    """An incoming document that may be stored; ``records`` is None unless the stream is personal."""

    incoming: Incoming
    connector: Connector
    spec: StreamSpec
    key: str
    fingerprint: str
    records: list[Any] | None
    message_id: str

    @property
    def place(self) -> tuple[str, str, str]:
        """Where its key must be unique; letters are inserted in this order, so that two writers never deadlock."""
        return self.incoming.system, self.incoming.stream, self.key


def receive(uow: UnitOfWork, incoming: Incoming) -> Received:
    """Store the message and start its ingest run in the caller's transaction; nothing is durable until it commits.

    The same key with the same body gives the first message's answer again. Raises NotFoundError (system or
    stream), LimitError, ConflictError (same key, other body), RecordError (a personal document, or one that
    must name itself, cannot be read), RejectedError (the stream requires a key and there is none).
    """
    (answer,) = receive_many(uow, [incoming])
    if isinstance(answer, HubError):
        raise answer
    return answer


def receive_many(uow: UnitOfWork, incoming: Sequence[Incoming]) -> list[Received | HubError]:
    """As ``receive`` for many, in a handful of statements; for each, in order, its answer or why it is refused.

    A refusal leaves the others as they are.
    """
    judged = [_judged(uow, each) for each in incoming]
    letters = sorted((each for each in judged if isinstance(each, _Letter)), key=lambda letter: letter.place)
    stored = _insert(uow, letters)
    new = [letter for letter in letters if letter.message_id in stored]
    _seal_records(uow, [letter for letter in new if letter.records])
    runs = {start.key: started.run_id for start, started in _started(uow, new)}
    return [
        each
        if isinstance(each, HubError)
        else _new(each, runs[each.message_id])
        if each.message_id in runs
        else _seen_before(uow, each)
        for each in judged
    ]


def _judged(uow: UnitOfWork, incoming: Incoming) -> _Letter | HubError:
    try:
        return _read(uow, incoming)
    except HubError as refusal:
        return refusal


def _read(uow: UnitOfWork, incoming: Incoming) -> _Letter:
    estate = uow.services.estate
    spec = estate.stream(incoming.system, incoming.stream)
    connector = estate.connector(incoming.system)
    _check_size(incoming, connector.manifest)
    fingerprint = _fingerprint(uow.services.vault, incoming.body, spec)
    document = _document(incoming, connector.manifest, spec) if _is_read_at_the_door(incoming, spec) else None
    key = _idempotency_key(incoming, spec, document, fingerprint)
    records = extract_records(document, spec.records, limits=connector.manifest.limits) if spec.personal else None
    return _Letter(incoming, connector, spec, key, fingerprint, records, new_message_id())


def _started(uow: UnitOfWork, letters: Sequence[_Letter]) -> Iterator[tuple[Start, Started]]:
    starts = [
        Start(
            flow=INGEST_FLOW,
            owner=letter.connector.config.owner,
            brand=letter.connector.config.brand,
            key=letter.message_id,
            input={"message_id": letter.message_id} | _company(letter),
            traceparent=letter.incoming.traceparent,
        )
        for letter in letters
    ]
    return zip(starts, start_runs(uow, starts), strict=True)


def _company(letter: _Letter) -> dict[str, str]:
    """With which other messages this one may be applied in one transaction: small ones of the same stream of orders.

    Other entities lock rows that are there already, in an order that holds within one message only.
    """
    if letter.spec.entity is not EntityName.ORDER or len(letter.incoming.body) > SMALL_BYTES:
        return {}
    return {TOGETHER: f"{letter.incoming.system}/{letter.incoming.stream}"}


def _new(letter: _Letter, run_id: int) -> Received:
    return Received(
        letter.message_id,
        True,
        run_id,
        _answer(letter.message_id, "received", records=len(letter.records or ())),
        together=bool(_company(letter)),
    )


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


def _insert(uow: UnitOfWork, letters: Sequence[_Letter]) -> set[str]:
    """The message ids that are new; the keys of the others were used before. Waits for a concurrent twin to commit."""
    if not letters:
        return set()
    bodies = [None if each.spec.personal else zlib.compress(each.incoming.body, _COMPRESSION) for each in letters]
    inserted = uow.execute(
        "INSERT INTO message (id, owner, brand, system, stream, idempotency_key, fingerprint, media_type, body,"
        " traceparent, received_at, records) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[],"
        " %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::timestamptz[], %s::int[])"
        " ON CONFLICT (owner, brand, system, stream, idempotency_key) DO NOTHING RETURNING id",
        (
            [each.message_id for each in letters],
            [each.connector.config.owner for each in letters],
            [each.connector.config.brand for each in letters],
            [each.incoming.system for each in letters],
            [each.incoming.stream for each in letters],
            [each.key for each in letters],
            [each.fingerprint for each in letters],
            [each.incoming.media_type[:MAX_KEY_CHARACTERS] for each in letters],
            bodies,
            [each.incoming.traceparent for each in letters],
            [each.incoming.received_at for each in letters],
            [len(each.records or ()) for each in letters],
        ),
    )
    return {row["id"] for row in inserted}


def _seen_before(uow: UnitOfWork, letter: _Letter) -> Received | ConflictError:
    config = letter.connector.config
    row = uow.execute(
        "SELECT m.id, m.fingerprint, m.state, m.records, m.accepted, m.quarantined, m.ignored, r.id AS run_id"
        " FROM message m JOIN flow_run r ON (r.owner, r.brand, r.flow, r.business_key) = (m.owner, m.brand, %s, m.id)"
        " WHERE (m.owner, m.brand, m.system, m.stream, m.idempotency_key) = (%s, %s, %s, %s, %s)",
        (INGEST_FLOW, config.owner, config.brand, *letter.place),
    ).fetchone()
    assert row is not None, "the message that conflicted, and its run, were committed together"
    if row["fingerprint"] != letter.fingerprint:
        return ConflictError(
            f"the key {letter.key!r} was used before for another body (message {row['id']});"
            " use a new key for new content",
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


def _seal_records(uow: UnitOfWork, letters: Sequence[_Letter]) -> None:
    if not letters:
        return
    vault = uow.services.vault
    places = [(each, position, record) for each in letters for position, record in enumerate(each.records or ())]
    sealed = vault.seal_many(
        uow.connection,
        [Secret(orjson.dumps(record), subject_of(vault, each.spec, record)) for each, _, record in places],
    )
    uow.execute(
        "INSERT INTO message_record (message_id, position, key_id, sealed)"
        " SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bytea[])",
        (
            [each.message_id for each, _, _ in places],
            [position for _, position, _ in places],
            [cover.key_id for cover in sealed],
            [cover.content for cover in sealed],
        ),
    )


def subject_of(vault: Vault, spec: StreamSpec, record: Any) -> str | None:
    """The token of the person a record is about: its first personal field that has a value, in the manifest's order."""
    for path in spec.personal:
        found = jmespath.search(path, record)
        value = next(iter(found), None) if isinstance(found, list) else found
        if isinstance(value, str | int) and str(value).strip():
            return vault.token(str(value))
    return None
