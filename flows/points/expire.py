"""``points.expire``: what was due by a business date leaves its lots, at the moments at which it was due.

*expire*: so many lots a transaction, again and again until none is left. Whenever it runs, the result is the same.
"""

from datetime import UTC, datetime
from typing import Final

from canonical_model.store import ledger_expiry
from flows.points.requests import EXPIRE
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, Run, step

EXPIRED: Final = "expired"


@step()
def expire(run: Run, uow: UnitOfWork) -> Goto | Finish:
    """The next lots, and how many there were in all."""
    as_of = datetime.fromisoformat(run.input["as_of"])
    lots = ledger_expiry.expire_lots(uow.connection, run.owner, as_of=as_of, now=datetime.now(UTC))
    total = run.results.get("expire", {}).get("lots", 0) + lots
    return Goto("expire", {"lots": total}) if lots else Finish(EXPIRED, {"lots": total})


EXPIRE_POINTS: Final = Flow(EXPIRE, version=1, steps=(expire,))
