"""Fixing one quarantined record: what it looks like, how it would fare, and feeding it again corrected."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from connectors.kit.documents import parse_document
from flows.ingest.batch import Batch, Outcome
from flows.ingest.intake import Intake, judge, mapping_in_force, open_intake
from flows.ingest.messages import get_message, head_of, parse_records
from flows.ingest.pipeline import process
from flows.ingest.refeed import start_refeed
from flows.ingest.telling import texts_of
from flows.runtime import inbox, quarantine, revisions
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from flows.runtime.quarantine import WHOLE_MESSAGE, Selection
from flows.runtime.sealing import Sealed
from hub_api import audit
from hub_api.auth import Access
from hub_api.corrections.masked import unmask_untouched
from hub_api.corrections.shapes import Preview
from hub_api.corrections.streams import Stream, as_text, shown_issues, stream_of
from mappings.engine import Mapping

MAX_ISSUES: Final = 100
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Case:
    """A quarantined row with its message and stream. ``latest``: its plain bytes, corrected or as they came."""

    row: Row
    message: Row
    stream: Stream
    latest: bytes

    @property
    def whole(self) -> bool:
        return bool(self.row["position"] == WHOLE_MESSAGE)


def read_editable(hub: Hub, access: Access, row_id: int) -> dict[str, Any]:
    """A row for the desk: its columns, ``raw`` (as it came) and ``edited`` (as last corrected), both as masked text,
    and ``corrections`` (who and when). The texts are None once erased. NotFoundError if the brand has no such row."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        row = quarantine.get_latest(uow.connection, access.owner, access.brand, row_id)
        stream = stream_of(hub, access, row["system"], row["stream"])
        shown = {name: value for name, value in row.items() if name not in ("key_id", "raw", "corrected")}
        return {
            **shown,
            "raw": _text(uow, stream, row, corrected=False),
            "edited": _text(uow, stream, row, corrected=True),
            "corrections": quarantine.list_corrections(uow.connection, row_id),
            "personal": bool(stream.spec.personal),
        }


def preview(hub: Hub, access: Access, row_id: int, raw: bytes | None = None, mapping: str | None = None) -> Preview:
    """How a quarantined record would fare, with ``raw`` instead of what came and ``mapping`` (the text of a table)
    instead of the one in force; nothing is stored. Needs ``data:write``. The answer to who may not see personal values
    (``data:unmask``) does not depend on those that were left masked.

    Raises NotFoundError (also once erased), RecordError (``raw`` cannot be read), RejectedError (``mapping.invalid``).
    """
    access.require("data", "write")
    with hub.database.unit() as uow:
        case = _open(hub, uow, access, row_id, lock=False)
        content = case.latest if raw is None else _merged(case, raw)
        table = _table(uow, case.stream, mapping)
        discreet = bool(case.stream.spec.personal) and not access.covers("data:unmask")
        intake = replace(open_intake(case.stream.connector, case.stream.spec, table), discreet=discreet)
        batch = _batch(case, intake, content)
        values, judged = judge(intake, batch)
        with uow.connection.transaction(force_rollback=True):
            outcome = process(uow, intake, batch)
    typed = _typed(case, content) if discreet else ()
    canonical = None if case.whole else case.stream.canonical(values.get(0), table, typed)
    return Preview(not outcome.refused, canonical, _issues(outcome or judged), table.version)


def correct(hub: Hub, access: Access, row_id: int, raw: bytes) -> dict[str, Any]:
    """Keep ``raw`` beside what came and feed the record again: ``{"row_id", "correction_id", "run_id"}``.

    Values of personal fields that are still masked are taken from the original. Needs ``data:write``; audited.
    Raises NotFoundError, ConflictError (the row is not open), RecordError (not JSON, or a mask stands where none was).
    """
    access.require("data", "write")
    with hub.database.unit() as uow:
        case = _open(hub, uow, access, row_id, lock=True)
        if case.row["state"] != "open":
            raise ConflictError(
                f"record {row_id} is {case.row['state']}; only an open one can be corrected", code="quarantine.closed"
            )
        content = _merged(case, raw)
        correction_id = quarantine.correct(uow.connection, case.row, _sealed(uow, case, content), access.actor)
        selection = Selection(access.owner, access.brand, ids=[row_id])
        run_id = start_refeed(
            uow, owner=access.owner, brand=access.brand, key=f"corrected:{correction_id}", selection=selection
        )
        audit.record(
            uow,
            access,
            "quarantine.correct",
            f"quarantine:{row_id}",
            {"correction": correction_id, "run": run_id, "fields": _changed(case, content)},
        )
        uow.commit()
    return {"row_id": row_id, "correction_id": correction_id, "run_id": run_id}


def _open(hub: Hub, uow: UnitOfWork, access: Access, row_id: int, *, lock: bool) -> _Case:
    row = quarantine.get_latest(uow.connection, access.owner, access.brand, row_id, lock=lock)
    stream = stream_of(hub, access, row["system"], row["stream"])
    latest = _plain(uow, row, corrected=True)
    if latest is None:
        raise NotFoundError(f"record {row_id} was erased with its person", code="record.erased", id=row_id)
    return _Case(row, get_message(uow.connection, row["message_id"]), stream, latest)


def _plain(uow: UnitOfWork, row: Row, *, corrected: bool) -> bytes | None:
    """The bytes of a row as they came or as last corrected; None once erased."""
    kept = (row["corrected"] if corrected else None) or row["raw"]
    if row["key_id"] is None:
        return quarantine.read_raw({"raw": kept})
    (plain,) = uow.services.vault.open_many(uow.connection, [Sealed(row["key_id"], kept)])
    return plain


def _text(uow: UnitOfWork, stream: Stream, row: Row, *, corrected: bool) -> str | None:
    plain = _plain(uow, row, corrected=corrected)
    if plain is None:
        return None
    if row["position"] == WHOLE_MESSAGE:
        return plain.decode("utf-8", "replace")
    return as_text(stream.raw(orjson.loads(plain)))


def _merged(case: _Case, raw: bytes) -> bytes:
    """What to keep of an edited record: JSON within the stream's limits, masks replaced by what they hide."""
    limits = case.stream.connector.manifest.limits
    if case.whole:
        parse_records(raw, case.message["media_type"], case.stream.connector, case.stream.spec)
        return raw
    edited = parse_document(raw, JSON, limits=limits)
    if isinstance(edited, dict) and case.stream.spec.personal:
        original = orjson.loads(case.latest)
        edited = unmask_untouched(edited, case.stream.raw(original), original)
    return orjson.dumps(edited)


def _typed(case: _Case, content: bytes) -> Collection[str]:
    """The words of an edited record that are not in the record as it was."""
    return set(texts_of(orjson.loads(content))) - set(texts_of(orjson.loads(case.latest)))


def _sealed(uow: UnitOfWork, case: _Case, content: bytes) -> bytes:
    """The content under the row's own key, which from now on belongs to the person that the corrected record names."""
    key_id = case.row["key_id"]
    if key_id is None:
        return content
    vault = uow.services.vault
    sealed = vault.seal_under(uow.connection, key_id, content)
    if subject := inbox.subject_of(vault, case.stream.spec, orjson.loads(content)):
        uow.execute("UPDATE data_key SET subject_token = %s WHERE id = %s", (subject, key_id))
    return sealed


def _table(uow: UnitOfWork, stream: Stream, mapping: str | None) -> Mapping:
    if mapping is None:
        return mapping_in_force(uow.connection, stream.connector, stream.spec)
    table = revisions.compile_text(stream.place, mapping)
    if wrong := revisions.unfit(stream.place, table, stream.personal):
        raise RejectedError("; ".join(wrong), code="mapping.invalid")
    return table


def _batch(case: _Case, intake: Intake, content: bytes) -> Batch:
    head = head_of(case.message)
    if case.whole:
        records = parse_records(content, case.message["media_type"], intake.connector, intake.spec)
        return Batch(head, range(len(records)), records)
    key_id = case.row["key_id"]
    sealed = None if key_id is None else [Sealed(key_id, case.row["raw"])]
    return Batch(head, [case.row["position"]], [orjson.loads(content)], sealed)


def _issues(outcome: Outcome) -> list[dict[str, str]]:
    issues = [issue for refusal in outcome.refused.values() for issue in refusal.issues]
    return shown_issues(issues[:MAX_ISSUES])


def _changed(case: _Case, content: bytes) -> list[str]:
    """The declared fields whose values differ: names for the audit log, never values."""
    if case.whole:
        return []
    old, new = orjson.loads(case.latest), orjson.loads(content)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return []
    return [name for name in case.stream.declared if old.get(name) != new.get(name)]
