"""Stock facts of a message into levels, movements and observations."""

from datetime import datetime, timedelta
from typing import Final

from canonical_model.errors import Issue
from canonical_model.store import stock
from flows.ingest.batch import Batch, Ignored, Outcome, Refusal, Values, unknown_reference
from flows.ingest.intake import Intake
from flows.one_stock.shortfall import start_resolving
from flows.runtime.database import UnitOfWork
from flows.runtime.quarantine import Missing

LEAST_SKEW_S: Final = 60.0


def apply_stock(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Apply the facts; refuse those whose SKU or place is unknown; start a run for each promise that broke."""
    spec = intake.spec
    assert spec.stock is not None, "load_manifest refuses a stock stream that does not say what its figure means"
    ahead = _ahead(values, batch.head.received_at + timedelta(seconds=max(spec.stock.clock_skew_s, LEAST_SKEW_S)))
    indexes = [index for index in values if index not in ahead]
    applied = stock.apply_facts(
        uow.connection,
        [values[index] for index in indexes],
        owner=batch.head.owner,
        brand=batch.head.brand,
        system=batch.head.system,
        message_id=batch.head.id,
        sku_scheme=spec.sku_scheme or batch.head.system,
        location_scheme=spec.location_scheme or batch.head.system,
        meaning=spec.stock,
    )
    start_resolving(
        uow,
        batch.head.owner,
        batch.head.brand,
        applied.shortfalls,
        cause=batch.head.id,
    )
    outcome = Outcome(refused=ahead, ignored={indexes[position]: Ignored.STALE for position in applied.ignored})
    for lost in applied.unresolved:
        missing = Missing(lost.scheme, lost.kind, lost.outside_id)
        outcome.refused[indexes[lost.position]] = unknown_reference(missing, lost.kind)
    return outcome


def _ahead(values: Values, latest: datetime) -> dict[int, Refusal]:
    """Figures dated after ``latest``: one of them, taken, would make every honest later count look stale."""
    moments = {value["as_of"] for value in values.values()}
    wrong = {moment for moment in moments if datetime.fromisoformat(moment) > latest}
    if not wrong:
        return {}
    return {
        index: Refusal(
            (Issue("as_of", "stock.ahead", f"{value['as_of']} is later than we got it; correct the source's clock"),)
        )
        for index, value in values.items()
        if value["as_of"] in wrong
    }
