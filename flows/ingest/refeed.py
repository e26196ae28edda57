"""Feeding quarantined records again, as a person corrected them and under the mapping of today; doing so twice
changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
from psycopg.rows import DictRow

from canonical_model.errors import LimitError, RecordError
from canonical_model.ports import Connector, StreamSpec
from flows.ingest.batch import Batch, Outcome
from flows.ingest.intake import Intake, mapping_in_force, open_intake
from flows.ingest.messages import head_of, parse_records
from flows.ingest.pipeline import process, quarantine_document
from flows.runtime import quarantine
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.quarantine import WHOLE_MESSAGE, Selection
from flows.runtime.runs import start_runs
from flows.runtime.sealing import Sealed

REFEED_FLOW: Final = "ingest.refeed"
PAGE: Final = 1000


@dataclass(slots=True)
class Report:
    """How a page of rows fared. ``more``: rows after ``last_id`` may be left. ``linked``: new outside names exist."""

    fed: int = 0
    accepted: int = 0
    last_id: int = 0
    more: bool = False
    linked: bool = False


def start_refeed(uow: UnitOfWork, *, owner: str, brand: str, key: str, selection: Selection | None = None) -> int:
    """Start a run that feeds the selected open rows again, or by default all whose missing parent has arrived.

    The id of the run. The same key starts once.
    """
    (started,) = start_runs(
        uow,
        [
            Start(
                flow=REFEED_FLOW,
                owner=owner,
                brand=brand,
                key=key,
                input={"selection": asdict(selection) if selection else None},
            )
        ],
    )
    return started.run_id


def selection_of(stored: Mapping[str, Any]) -> Selection:
    """The selection that a run keeps as JSON."""
    return Selection(**stored)


def feed_open(uow: UnitOfWork, selection: Selection, *, after: int = 0, dry_run: bool = False) -> Report:
    """Feed up to PAGE selected open rows again, now. ``dry_run`` tells the result and changes nothing."""
    with uow.connection.transaction(force_rollback=dry_run):
        return _feed(uow, quarantine.take(uow.connection, selection, after=after, limit=PAGE), after)


def feed_unblocked(uow: UnitOfWork, owner: str, brand: str, *, after: int = 0) -> Report:
    """Feed up to PAGE rows whose missing parent has arrived."""
    return _feed(uow, quarantine.take_unblocked(uow.connection, owner, brand, after=after, limit=PAGE), after)


def _feed(uow: UnitOfWork, rows: Sequence[DictRow], after: int) -> Report:
    report = Report(fed=len(rows), last_id=rows[-1]["id"] if rows else after, more=len(rows) == PAGE)
    ids = list({row["message_id"] for row in rows})
    for message in uow.execute("SELECT * FROM message WHERE id = ANY(%s) ORDER BY id", (ids,)).fetchall():
        connector, stream = _stream(uow, message)
        intake = open_intake(connector, stream, mapping_in_force(uow.connection, connector, stream))
        of_message = [row for row in rows if row["message_id"] == message["id"]]
        documents = [row for row in of_message if row["position"] == WHOLE_MESSAGE]
        records = [row for row in of_message if row["position"] != WHOLE_MESSAGE]
        if documents:
            _feed_document(uow, intake, message, documents[0], report)
        if records:
            _feed_records(uow, intake, message, records, report)
    return report


def _stream(uow: UnitOfWork, message: DictRow) -> tuple[Connector, StreamSpec]:
    estate = uow.services.estate
    return estate.connector(message["system"]), estate.stream(message["system"], message["stream"])


def _feed_records(uow: UnitOfWork, intake: Intake, message: DictRow, rows: Sequence[DictRow], report: Report) -> None:
    kept, sealed = rows, None
    if intake.spec.personal:
        sealed = [Sealed(row["key_id"], row["corrected"] or row["raw"]) for row in rows]
        plain = uow.services.vault.open_many(uow.connection, sealed)
        quarantine.close(
            uow.connection, [r["id"] for r, p in zip(rows, plain, strict=True) if p is None], state="erased"
        )
        kept = [row for row, content in zip(rows, plain, strict=True) if content is not None]
        sealed = [cover for cover, content in zip(sealed, plain, strict=True) if content is not None]
        raw = [content for content in plain if content is not None]
    else:
        raw = [quarantine.read_latest(row) for row in rows]
    batch = Batch(head_of(message), [row["position"] for row in kept], [orjson.loads(r) for r in raw], sealed)
    outcome = process(uow, intake, batch)
    taken = [row["id"] for index, row in enumerate(kept) if index not in outcome.refused]
    quarantine.close(uow.connection, taken, state="accepted")
    _note(report, outcome, len(taken))
    _count(
        uow, message["id"], accepted=len(taken) - len(outcome.ignored), ignored=len(outcome.ignored), left=len(taken)
    )


def _feed_document(uow: UnitOfWork, intake: Intake, message: DictRow, row: DictRow, report: Report) -> None:
    try:
        records = parse_records(quarantine.read_latest(row), message["media_type"], intake.connector, intake.spec)
    except (RecordError, LimitError) as error:
        quarantine_document(uow, intake, message, error)
        return
    quarantine.close(uow.connection, [row["id"]], state="accepted")
    outcome = process(uow, intake, Batch(head_of(message), range(len(records)), records))
    _note(report, outcome, 1)
    refused, ignored = len(outcome.refused), len(outcome.ignored)
    uow.execute(
        "UPDATE message SET state = 'applied', error = NULL, records = %s WHERE id = %s", (len(records), message["id"])
    )
    _count(uow, message["id"], accepted=len(records) - refused - ignored, ignored=ignored, left=1 - refused)


def _note(report: Report, outcome: Outcome, accepted: int) -> None:
    report.accepted += accepted
    report.linked |= outcome.linked


def _count(uow: UnitOfWork, message_id: str, *, accepted: int, ignored: int, left: int) -> None:
    """The message's counts follow its records out of quarantine; ``left``: how many are no longer there."""
    uow.execute(
        "UPDATE message SET accepted = accepted + %s, ignored = ignored + %s, quarantined = quarantined - %s"
        " WHERE id = %s",
        (accepted, ignored, left, message_id),
    )
