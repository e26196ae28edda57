"""The way of a batch: judge each record, apply the good ones, put the bad ones in quarantine."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final

import orjson
import psycopg
from psycopg.rows import DictRow

from canonical_model.errors import Issue, LimitError, RecordError
from canonical_model.ports import EntityName
from flows.ingest.batch import Batch, MessageHead, Outcome, Refusal, Values
from flows.ingest.confirmations import apply_confirmations
from flows.ingest.intake import Intake, judge
from flows.ingest.master_data import apply_locations, apply_products
from flows.ingest.members import apply_members
from flows.ingest.messages import head_of
from flows.ingest.orders import apply_orders
from flows.ingest.points import apply_points
from flows.ingest.stock import apply_stock
from flows.ingest.transfers import apply_transfers
from flows.runtime import quarantine
from flows.runtime.database import UnitOfWork
from flows.runtime.inbox import read_body
from flows.runtime.quarantine import WHOLE_MESSAGE, Bad, Origin

Apply = Callable[[UnitOfWork, Intake, Batch, Values], Outcome]

APPLY: Final[Mapping[EntityName, Apply]] = {
    EntityName.PRODUCT: apply_products,
    EntityName.LOCATION: apply_locations,
    EntityName.STOCK: apply_stock,
    EntityName.ORDER: apply_orders,
    EntityName.CONFIRMATION: apply_confirmations,
    EntityName.TRANSFER: apply_transfers,
    EntityName.MEMBER: apply_members,
    EntityName.POINTS: apply_points,
}


def process(uow: UnitOfWork, intake: Intake, batch: Batch) -> Outcome:
    """Take what can be taken, quarantine the rest, all in the caller's transaction."""
    (outcome,) = process_many(uow, intake, [batch])
    return outcome


def process_many(uow: UnitOfWork, intake: Intake, batches: Sequence[Batch]) -> list[Outcome]:
    """As ``process`` for several messages of one stream, whose good records are applied together; in order."""
    judged = [judge(intake, batch) for batch in batches]
    outcomes = [outcome for _, outcome in judged]
    whole, values = (batches[0], judged[0][0]) if len(batches) == 1 else _joined(batches, [good for good, _ in judged])
    if values:
        applied = _apply(uow, intake, whole, values)
        _share_out(applied, batches, outcomes)
    for batch, outcome in zip(batches, outcomes, strict=True):
        bad = (_bad(intake, batch, *item) for item in outcome.refused.items())
        quarantine.put(uow.connection, _origin(intake, batch.head), bad)
    return outcomes


def _joined(batches: Sequence[Batch], values: Sequence[Values]) -> tuple[Batch, Values]:
    """All of them as one; an index counts on from where the batch before ended."""
    sealed = [cover for batch in batches for cover in batch.sealed or ()]
    whole = Batch(
        batches[0].head,
        [position for batch in batches for position in batch.positions],
        [record for batch in batches for record in batch.records],
        None if batches[0].sealed is None else sealed,
        [batch.head for batch in batches for _ in batch.records],
    )
    starts = accumulate((len(batch.records) for batch in batches), initial=0)
    return whole, {
        start + index: value for start, good in zip(starts, values, strict=False) for index, value in good.items()
    }


def _share_out(applied: Outcome, batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> None:
    """Add to each message's outcome what became of its own records. One of them tells of new parents for all."""
    places = [(outcome, index) for batch, outcome in zip(batches, outcomes, strict=True) for index in _indexes(batch)]
    for whole, refusal in applied.refused.items():
        outcome, index = places[whole]
        outcome.refused[index] = refusal
    for whole, reason in applied.ignored.items():
        outcome, index = places[whole]
        outcome.ignored[index] = reason
    outcomes[0].linked |= applied.linked


def _indexes(batch: Batch) -> range:
    return range(len(batch.records))


def quarantine_document(uow: UnitOfWork, intake: Intake, message: DictRow, error: RecordError | LimitError) -> None:
    """Put a whole message away whose document cannot be read, so that nothing that was accepted is lost."""
    issues = error.issues if isinstance(error, RecordError) else (Issue("", error.code, error.detail),)
    head = head_of(message)
    quarantine.put(
        uow.connection,
        _origin(intake, head),
        [Bad(WHOLE_MESSAGE, read_body(message), issues, source_id=message["idempotency_key"])],
    )


def _apply(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Apply all at once; when PostgreSQL refuses a value, halve until it stands alone."""
    try:
        with uow.connection.transaction():
            return APPLY[intake.spec.entity](uow, intake, batch, values)
    except psycopg.DataError as error:
        if len(values) == 1:
            detail = (
                f"PostgreSQL cannot store a value of this record ({type(error).__name__}); correct it at the source"
            )
            return Outcome({index: Refusal((Issue("", "record.unstorable", detail),)) for index in values})
    indexes = list(values)
    middle = len(indexes) // 2
    outcome = Outcome()
    for half in (indexes[:middle], indexes[middle:]):
        outcome.absorb(_apply(uow, intake, batch, {index: values[index] for index in half}))
    return outcome


def _origin(intake: Intake, head: MessageHead) -> Origin:
    return Origin(head.owner, head.brand, head.system, head.stream, head.id, intake.mapping.version)


def _bad(intake: Intake, batch: Batch, index: int, refusal: Refusal) -> Bad:
    record = batch.records[index]
    sealed = batch.sealed[index] if batch.sealed is not None else None
    return Bad(
        position=batch.positions[index],
        raw=sealed.content if sealed else orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS),
        issues=refusal.issues,
        source_id=intake.source_id(record),
        key_id=sealed.key_id if sealed else None,
        missing=refusal.missing,
    )
