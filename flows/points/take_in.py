"""``points.take_in``: an entry that a source told and the ledger refused; a person is asked.

*post*: tries it, and parks with why it is refused. Once what is in its way is put right, a retry posts it; or a person
adjusts the member's points by hand and cancels the run. Every other entry goes in without a run, many at a time.
"""

from datetime import UTC, datetime
from typing import Final

from canonical_model.errors import RejectedError
from canonical_model.store import points
from flows.points import intake
from flows.points.requests import TAKE_IN
from flows.points.rules import rules_of
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Park, Run, step

TAKEN: Final = "taken"


@step()
def post(run: Run, uow: UnitOfWork) -> Finish | Park:
    """The entry's transfer, or why there is none."""
    entry = points.get_entry(uow.connection, run.input["entry_id"])
    rules = rules_of(uow.connection, run.owner)
    (answer,) = intake.post(uow, run.owner, run.brand, rules, [entry], now=datetime.now(UTC))
    if isinstance(answer, RejectedError):
        return Park(
            answer.code,
            f"points entry {entry['source_id']} of {entry['system']} is not in the ledger: {answer.detail}. Put right"
            " what is in its way and retry this run, or adjust the member's points by hand and cancel it",
        )
    return Finish(TAKEN, {"points": entry["points"], "transfer_id": answer.id})


TAKE_IN_POINTS: Final = Flow(TAKE_IN, version=1, steps=(post,))
