"""``ingest.message``: a stored message becomes canonical rows, in one transaction. ``ingest.refeed``: records that
waited in quarantine are fed again.

    message ──apply──> levels, SKUs, places, orders, signals   (the good records)
                 ├───> quarantine                              (the bad ones, each with every issue)
                 └───> ingest.refeed                           (when parents arrived, or records wait for one)
"""

from collections import defaultdict
from typing import Any, Final

from psycopg.types.json import Jsonb

from canonical_model.errors import LimitError, RecordError
from flows.ingest.batch import Batch, Outcome
from flows.ingest.intake import Intake, mapping_in_force, open_intake
from flows.ingest.messages import as_corrected, get_message, read_batch
from flows.ingest.pipeline import process, quarantine_document
from flows.ingest.refeed import REFEED_FLOW, feed_open, feed_unblocked, selection_of, start_refeed
from flows.runtime import metrics, quarantine, telemetry
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, Run, step, wait_for
from flows.runtime.inbox import INGEST_FLOW

INGEST_LANE: Final = "ingest"
NAMED_RECORDS: Final = 20
SECOND_LOOK_S: Final = 60.0  # no transaction lives that long: see STATEMENT_TIMEOUT_MS


@step()
def apply(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Take every good record, quarantine the bad ones; what was ignored is the result, by reason.

    A replay (a run under another key than the message's) also closes what is good by now.
    """
    row = get_message(uow.connection, str(run.input["message_id"]))
    estate = uow.services.estate
    connector, stream = estate.connector(row["system"]), estate.stream(row["system"], row["stream"])
    intake = open_intake(connector, stream, mapping_in_force(uow.connection, connector, stream))
    try:
        batch = read_batch(uow, row, intake.connector, intake.spec)
    except (RecordError, LimitError) as error:
        quarantine_document(uow, intake, row, error)
        _settle(uow, row["id"], "unreadable", records=0, quarantined=1, error=error)
        return {}
    is_replay = run.business_key != row["id"]
    outcome = _processed(uow, intake, as_corrected(uow, batch) if is_replay else batch)
    if is_replay:
        still_bad = [batch.positions[index] for index in outcome.refused]
        quarantine.close_message(uow.connection, row["id"], still_bad=still_bad)
    if outcome.linked or any(refusal.missing for refusal in outcome.refused.values()):
        start_refeed(uow, owner=run.owner, brand=run.brand, key=row["id"])
    _settle(
        uow,
        row["id"],
        "applied",
        records=len(batch.records),
        quarantined=len(outcome.refused),
        ignored=len(outcome.ignored),
    )
    return {"ignored": _ignored_positions(batch, outcome)}


def _processed(uow: UnitOfWork, intake: Intake, batch: Batch) -> Outcome:
    """Process under a span that names the records, so that a trace is found by an order's number."""
    head = batch.head
    attributes = {
        "yipan.system": head.system,
        "yipan.stream": head.stream,
        "yipan.message": head.id,
        "yipan.source_ids": [name for name in map(intake.source_id, batch.records[:NAMED_RECORDS]) if name],
    }
    with telemetry.span(f"ingest {head.system}/{head.stream}", attributes=attributes) as span:
        outcome = process(uow, intake, batch)
        counts = {"quarantined": len(outcome.refused), "ignored": len(outcome.ignored)}
        counts["accepted"] = len(batch.records) - sum(counts.values())
        for result, count in counts.items():
            span.set_attribute(f"yipan.{result}", count)
            metrics.RECORDS.labels(head.system, head.stream, result).inc(count)
    return outcome


def _ignored_positions(batch: Batch, outcome: Outcome) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = defaultdict(list)
    for index, reason in outcome.ignored.items():
        positions[str(reason)].append(batch.positions[index])
    return positions


def _settle(
    uow: UnitOfWork,
    message_id: str,
    state: str,
    *,
    records: int,
    quarantined: int,
    ignored: int = 0,
    error: RecordError | LimitError | None = None,
) -> None:
    uow.execute(
        "UPDATE message SET state = %s, records = %s, accepted = %s, quarantined = %s, ignored = %s, error = %s,"
        " applied_at = clock_timestamp() WHERE id = %s",
        (
            state,
            records,
            max(0, records - quarantined - ignored),
            quarantined,
            ignored,
            Jsonb({"code": error.code, "detail": error.detail}) if error else None,
            message_id,
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

INGEST_MESSAGE: Final = Flow(INGEST_FLOW, version=1, steps=(apply,), lane=INGEST_LANE)
REFEED: Final = Flow(REFEED_FLOW, version=1, steps=(feed, second_look, feed_again), lane=INGEST_LANE)
