"""A warehouse's word that parcels left, handed to the runs that wait for it."""

from typing import Final

from canonical_model.errors import NotFoundError
from flows.ingest.batch import Batch, Ignored, Outcome, Values, unknown_reference
from flows.ingest.intake import Intake
from flows.runtime.database import UnitOfWork
from flows.runtime.quarantine import Missing
from flows.runtime.runs import signal

SHIP_PARCEL: Final = "one_stock.ship_parcel"
CONFIRMED: Final = "confirmed"


def apply_confirmations(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Signal each parcel's run once; a word about a parcel that is not known is refused and waits for it."""
    outcome = Outcome()
    for index, value in values.items():
        try:
            new = signal(
                uow,
                owner=batch.head.owner,
                brand=batch.head.brand,
                flow=SHIP_PARCEL,
                key=value["parcel_no"],
                name=CONFIRMED,
                signal_key=value["source"]["id"],
                payload=value,
            )
        except NotFoundError:
            outcome.refused[index] = unknown_reference(
                Missing(batch.head.system, "parcel", value["parcel_no"]), "parcel_no"
            )
        else:
            if not new:
                outcome.ignored[index] = Ignored.DUPLICATE
    return outcome
