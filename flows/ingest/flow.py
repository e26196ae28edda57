"""``ingest.message``: stored messages become canonical rows, in one transaction. ``ingest.refeed``: records that
waited in quarantine are fed again.

    message ──apply──> levels, SKUs, places, orders, signals   (the good records)
                 ├───> quarantine                              (the bad ones, each with every issue)
                 └───> ingest.refeed                           (when parents arrived, or records wait for one)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.types.json import Jsonb

from canonical_model.errors import LimitError, RecordError
from flows.ingest.batch import Batch, Outcome
from flows.ingest.intake import Intake, mapping_in_force, open_intake
from flows.ingest.messages import as_corrected, get_messages, read_batches
from flows.ingest.pipeline import process_many, quarantine_document
from flows.ingest.refeed import REFEED_FLOW, feed_open, feed_unblocked, selection_of, start_refeed
from flows.runtime import metrics, quarantine, telemetry
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, Run, batch_step, step, wait_for
from flows.runtime.inbox import INGEST_FLOW, TOGETHER

INGEST_LANE: Final = "ingest"
NAMED_RECORDS: Final = 20
MESSAGES: Final = 200
SECOND_LOOK_S: Final = 60.0  # no transaction lives that long: see STATEMENT_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message. ``positions``: of the records that were ignored, by reason."""

    state: str
    records: int
    quarantined: int
    ignored: int = 0
    positions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    error: RecordError | LimitError | None = None


@batch_step(size=MESSAGES, together=TOGETHER)
def apply(runs: Sequence[Run], uow: UnitOfWork) -> list[dict[str, Any]]:
    """Take every good record, quarantine the bad ones; what was ignored is the result, by reason.

    Messages that came together are of one stream. A replay (a run under another key than the message's) is alone, and
    also closes what is good by now.
    """
    rows = get_messages(uow.connection, [str(run.input["message_id"]) for run in runs])
    estate = uow.services.estate
    first = rows[0]
    connector, stream = estate.connector(first["system"]), estate.stream(first["system"], first["stream"])
    intake = open_intake(connector, stream, mapping_in_force(uow.connection, connector, stream))
    settled: dict[str, Settled] = {}
    batches: list[Batch] = []
    for row, batch in zip(rows, read_batches(uow, rows, connector, stream), strict=True):
        if isinstance(batch, Batch):
            batches.append(batch)
        else:
            quarantine_document(uow, intake, row, batch)
            settled[row["id"]] = Settled("unreadable", records=0, quarantined=1, error=batch)
    is_replay = any(run.business_key != run.input["message_id"] for run in runs)
    if is_replay:
        batches = [as_corrected(uow, batch) for batch in batches]
    outcomes = _processed(uow, intake, batches) if batches else []
    for batch, outcome in zip(batches, outcomes, strict=True):
        if is_replay:
            still_bad = [batch.positions[index] for index in outcome.refused]
            quarantine.close_message(uow.connection, batch.head.id, still_bad=still_bad)
        settled[batch.head.id] = Settled(
            "applied",
            len(batch.records),
            len(outcome.refused),
            len(outcome.ignored),
            _ignored_positions(batch, outcome),
        )
    _feed_those_who_wait(uow, batches, outcomes)
    _settle(uow, settled)
    return [{} if (end := settled[row["id"]]).error else {"ignored": end.positions} for row in rows]


def _feed_those_who_wait(uow: UnitOfWork, batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> None:
    """Start one refeed for all messages of a batch when parents arrived, or records wait for one."""
    for batch, outcome in zip(batches, outcomes, strict=True):
        if outcome.linked or any(refusal.missing for refusal in outcome.refused.values()):
            start_refeed(uow, owner=batch.head.owner, brand=batch.head.brand, key=batch.head.id)
            return


def _processed(uow: UnitOfWork, intake: Intake, batches: Sequence[Batch]) -> list[Outcome]:
    """Process under a span that names the records, so that a trace is found by an order's number."""
    head = batches[0].head
    records = [record for batch in batches for record in batch.records]
    attributes = {
        "yipan.system": head.system,
        "yipan.stream": head.stream,
        "yipan.message": head.id,
        "yipan.source_ids": [name for name in map(intake.source_id, records[:NAMED_RECORDS]) if name],
    }
    with telemetry.span(f"ingest {head.system}/{head.stream}", attributes=attributes) as span:
        outcomes = process_many(uow, intake, batches)
        counts = {
            "quarantined": sum(len(outcome.refused) for outcome in outcomes),
            "ignored": sum(len(outcome.ignored) for outcome in outcomes),
        }
        counts["accepted"] = len(records) - sum(counts.values())
        for result, count in counts.items():
            span.set_attribute(f"yipan.{result}", count)
            metrics.RECORDS.labels(head.system, head.stream, result).inc(count)
    return outcomes


def _ignored_positions(batch: Batch, outcome: Outcome) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = defaultdict(list)
    for index, reason in outcome.ignored.items():
        positions[str(reason)].append(batch.positions[index])
    return positions


def _settle(uow: UnitOfWork, settled: Mapping[str, Settled]) -> None:
    ends = settled.values()
    uow.execute(
        "UPDATE message AS m SET state = s.state, records = s.records, accepted = s.accepted,"
        " quarantined = s.quarantined, ignored = s.ignored, error = s.error, applied_at = clock_timestamp()"
        " FROM unnest(%s::text[], %s::text[], %s::int[], %s::int[], %s::int[], %s::int[], %s::jsonb[])"
        " AS s (id, state, records, accepted, quarantined, ignored, error) WHERE m.id = s.id",
        (
            list(settled),
            [end.state for end in ends],
            [end.records for end in ends],
            [max(0, end.records - end.quarantined - end.ignored) for end in ends],
            [end.quarantined for end in ends],
            [end.ignored for end in ends],
            [Jsonb({"code": end.error.code, "detail": end.error.detail}) if end.error else None for end in ends],
        ),
    )


def _feed_page(run: Run, uow: UnitOfWork, name: str) -> Goto | Finish | dict[str, int]:
    """Feed one page of rows again, each row at most once in a pass; ends the run when nothing is left to look for."""
    so_far = run.results.get(name, {"after": 0, "fed": 0, "accepted": 0})
    selection = run.input.get("selection")
    if selection:
        report = feed_open(uow, selection_of(selection), after=so_far["after"])
    else:
        report = feed_unblocked(uow, run.owner, run.brand, after=so_far["after"])
    if report.linked:
        start_refeed(uow, owner=run.owner, brand=run.brand, key=f"{run.business_key}:{name}:{so_far['after']}")
    result = {
        "after": report.last_id,
        "fed": so_far["fed"] + report.fed,
        "accepted": so_far["accepted"] + report.accepted,
    }
    if report.more:
        return Goto(name, result)
    if selection or not quarantine.is_anything_awaited(uow.connection, run.owner, run.brand):
        return Finish("fed", result)
    return result


@step()
def feed(run: Run, uow: UnitOfWork) -> Goto | Finish | dict[str, int]:
    """Feed what was selected, or every record whose parent has arrived."""
    return _feed_page(run, uow, "feed")


@step()
def feed_again(run: Run, uow: UnitOfWork) -> Goto | Finish | dict[str, int]:
    """Feed what a parent unblocked that was just being committed at the first look."""
    return _feed_page(run, uow, "feed_again")


second_look = wait_for("second_look", (), SECOND_LOOK_S, on_timeout=None)

_ALONE: Final = step(name=apply.name)(lambda run, uow: apply.call([run], uow)[0])
_RETIRED: Final = Flow(INGEST_FLOW, version=1, steps=(_ALONE,), lane=INGEST_LANE)
INGEST_MESSAGE: Final = Flow(INGEST_FLOW, version=2, steps=(apply,), lane=INGEST_LANE, retired=(_RETIRED,))
REFEED: Final = Flow(REFEED_FLOW, version=1, steps=(feed, second_look, feed_again), lane=INGEST_LANE)
