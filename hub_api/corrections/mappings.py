"""Fixing the mapping of a stream while it runs: see it, try it, put it in force, take it back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from canonical_model.errors import LimitError, RecordError, RejectedError
from flows.ingest.batch import Batch, Refusal
from flows.ingest.intake import Intake, judge, mapping_in_force, open_intake
from flows.ingest.messages import head_of, read_batch
from flows.runtime import quarantine, revisions
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from flows.runtime.quarantine import WHOLE_MESSAGE, Selection
from flows.runtime.sealing import Sealed
from hub_api import audit
from hub_api.auth import Access
from hub_api.corrections.shapes import Change, MappingState, Revision, Trial
from hub_api.corrections.streams import Stream, shown_issues, stream_of
from mappings.engine import Mapping as Table
from mappings.engine import read_table, run_examples

SAMPLE: Final = 1_000
RECENT_MESSAGES: Final = 20
RECENT_RECORDS: Final = 500
SHOWN: Final = 20


def mapping_source(hub: Hub, access: Access, system: str, stream: str) -> str:
    """The text of the table in force."""
    return mapping_state(hub, access, system, stream).text


def mapping_state(hub: Hub, access: Access, system: str, stream: str) -> MappingState:
    """The table in force, the packaged one, and every revision, newest first. Needs ``ops:read``."""
    access.require("ops", "read")
    found = stream_of(hub, access, system, stream)
    with hub.database.unit() as uow:
        return _state(uow, found)


def try_mapping(
    hub: Hub, access: Access, system: str, stream: str, text: str, selection: Selection | None = None
) -> Trial:
    """What the table ``text`` would change for the open rows of ``selection`` (default: all of the stream) and for
    good records of the stream's latest messages. Nothing is stored. Needs ``data:write``.

    It tells whether records map and keep to the canonical model; whether the SKUs and places they name are known
    shows when they are fed.
    """
    access.require("data", "write")
    found = stream_of(hub, access, system, stream)
    try:
        table = revisions.compile_text(found.place, text)
    except RejectedError as error:
        return Trial(usable=False, problem=error.detail, failures=(), version="")
    failures = run_examples(table)
    if wrong := revisions.unfit(found.place, table, found.personal):
        return Trial(usable=False, problem="; ".join(wrong), failures=failures, version=table.version)
    chosen = replace(selection or Selection(access.owner, access.brand), system=system, stream=stream)
    chosen = replace(chosen, owner=access.owner, brand=access.brand)
    with hub.database.unit() as uow:
        trial = _Trial(uow, found, mapping_in_force(uow.connection, found.connector, found.spec), table)
        total = quarantine.count_open(uow.connection, chosen)
        rows = quarantine.take(uow.connection, chosen, after=0, limit=SAMPLE, lock=False)
        trial.feed([row for row in rows if row["position"] != WHOLE_MESSAGE])
        trial.compare_recent(access)
    return Trial(
        usable=not failures,
        problem="",
        failures=failures,
        version=table.version,
        open_rows=total,
        tried=trial.tried,
        passing=trial.passing,
        causes=dict(trial.causes.most_common(SHOWN)),
        healed=trial.healed,
        unhealed=trial.unhealed,
        recent=trial.recent,
        changed=trial.changed,
        broken=trial.broken,
        differences=trial.differences,
    )


def revise_mapping(hub: Hub, access: Access, system: str, stream: str, text: str, reason: str) -> Revision:
    """Store ``text`` and put it in force, in every process from its next message on. Needs ``data:write``; audited.

    Raises RejectedError (``mapping.invalid``: what is wrong with it; ``reason.short``).
    """
    access.require("data", "write")
    found = stream_of(hub, access, system, stream)
    place = found.place
    with hub.database.unit() as uow:
        row = revisions.revise(uow, place, text, found.personal, author=access.actor, reason=reason)
        detail = {"revision": row["number"], "version": row["version"], "reason": row["reason"]}
        audit.record(uow, access, "mapping.revise", _subject(found), detail)
        uow.commit()
    return _revision(row)


def activate_mapping(
    hub: Hub, access: Access, system: str, stream: str, number: int | None, reason: str
) -> MappingState:
    """Put an earlier revision in force again, or with None the packaged table. Needs ``data:write``; audited.

    Raises NotFoundError; RejectedError (``mapping.invalid``: this release no longer takes it; ``reason.short``).
    """
    access.require("data", "write")
    revisions.check_reason(reason)
    found = stream_of(hub, access, system, stream)
    with hub.database.unit() as uow:
        revisions.activate(uow, found.place, number, found.personal)
        state = _state(uow, found)
        detail = {"revision": number, "version": state.version, "reason": reason.strip()}
        audit.record(uow, access, "mapping.activate", _subject(found), detail)
        uow.commit()
    return state


def _subject(stream: Stream) -> str:
    return f"mapping:{stream.place.connector}/{stream.place.mapping}"


def _state(uow: UnitOfWork, stream: Stream) -> MappingState:
    place = stream.place
    packaged = place.packaged
    packaged_text = read_table(place.connector, place.mapping)
    active = revisions.find_active(uow.connection, place)
    return MappingState(
        system=stream.connector.config.name,
        stream=stream.spec.name,
        mapping=f"{place.connector}/{place.mapping}",
        version=active["version"] if active else packaged.version,
        text=active["text"] if active else packaged_text,
        active=active["number"] if active else None,
        packaged_version=packaged.version,
        packaged_text=packaged_text,
        outdated=active is not None and active["based_on"] != packaged.version,
        revisions=[_revision(row) for row in revisions.list_revisions(uow.connection, place)],
    )


def _revision(row: Row) -> Revision:
    names = ("number", "version", "author", "reason", "based_on", "active", "created_at", "activated_at")
    return Revision(**{name: row[name] for name in names})


@dataclass(slots=True)
class _Trial:
    """Counts how records fare under ``new`` beside ``old``; keeps the first of each kind to show."""

    uow: UnitOfWork
    stream: Stream
    old: Table
    new: Table
    tried: int = 0
    passing: int = 0
    recent: int = 0
    changed: int = 0
    broken: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    healed: list[Change] = field(default_factory=list)
    unhealed: list[Change] = field(default_factory=list)
    differences: list[Change] = field(default_factory=list)

    def feed(self, rows: Sequence[Row]) -> None:
        """Judge quarantined rows, message by message."""
        ids = list({row["message_id"] for row in rows})
        for message in self.uow.execute("SELECT * FROM message WHERE id = ANY(%s)", (ids,)).fetchall():
            mine = [row for row in rows if row["message_id"] == message["id"]]
            plain = self._plain(mine)
            known = [(row, content) for row, content in zip(mine, plain, strict=True) if content is not None]
            records = [orjson.loads(content) for _, content in known]
            batch = Batch(head_of(message), [row["position"] for row, _ in known], records)
            values, refused = self._judge(self.new, batch)
            for index, (row, _) in enumerate(known):
                self._note_row(row, values.get(index), refused.get(index))

    def compare_recent(self, access: Access) -> None:
        """Judge the records of the latest messages under both tables."""
        rows = self.uow.execute(
            "SELECT * FROM message WHERE (owner, brand, system, stream) = (%s, %s, %s, %s)"
            " ORDER BY id USING ~>~ LIMIT %s",
            (access.owner, access.brand, self.stream.connector.config.name, self.stream.spec.name, RECENT_MESSAGES),
        ).fetchall()
        for row in rows:
            try:
                batch = read_batch(self.uow, row, self.stream.connector, self.stream.spec)
            except (RecordError, LimitError):
                continue
            room = RECENT_RECORDS - self.recent
            batch = replace(batch, positions=batch.positions[:room], records=batch.records[:room], sealed=None)
            if batch.records:
                self._compare(batch)

    def _compare(self, batch: Batch) -> None:
        before, _ = self._judge(self.old, batch)
        after, refused = self._judge(self.new, batch)
        intake = self._intake(self.new)
        for index, old in before.items():
            self.recent += 1
            new = after.get(index)
            self.broken += new is None
            self.changed += new is not None and new != old
            if new != old and len(self.differences) < SHOWN:
                position, name = batch.positions[index], intake.source_id(batch.records[index])
                self.differences.append(self._change(batch.head.id, position, name, old, new, refused.get(index)))

    def _note_row(self, row: Row, value: Mapping[str, Any] | None, refusal: Refusal | None) -> None:
        self.tried += 1
        self.passing += refusal is None
        if refusal is not None:
            self.causes[refusal.issues[0].code] += 1
        into = self.healed if refusal is None else self.unhealed
        if len(into) < SHOWN:
            change = self._change(row["message_id"], row["position"], row["source_id"], None, value, refusal)
            into.append(replace(change, quarantine_id=row["id"]))

    def _change(
        self,
        message_id: str,
        position: int,
        source_id: str | None,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
        refusal: Refusal | None,
    ) -> Change:
        before, after = self.stream.canonical(old, self.old), self.stream.canonical(new, self.new)
        issues = shown_issues(refusal.issues if refusal else ())
        return Change(message_id, position, source_id, before, after, issues)

    def _plain(self, rows: Sequence[Row]) -> list[bytes | None]:
        if not self.stream.spec.personal:
            return [quarantine.read_latest(row) for row in rows]
        sealed = [Sealed(row["key_id"], row["corrected"] or row["raw"]) for row in rows]
        return self.uow.services.vault.open_many(self.uow.connection, sealed)

    def _judge(self, table: Table, batch: Batch) -> tuple[dict[int, Any], Mapping[int, Refusal]]:
        values, outcome = judge(self._intake(table), batch)
        return dict(values), outcome.refused

    def _intake(self, table: Table) -> Intake:
        return open_intake(self.stream.connector, self.stream.spec, table)
