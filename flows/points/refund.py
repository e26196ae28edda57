"""``points.refund``: points of a spend given back, to the lots that they came from.

1. *find*: what was spent, and what of it is left to give back. A spend that is still under way is waited for up to
   PATIENCE; then a person is asked.
2. *cancel*: a whole refund takes the goods back too; a supplier that has shipped them says no, and nothing happens.
3. *give_back*: the spend is reversed in whole or in part. What expired meanwhile lives as long again as the programme
   grants, or expires at once.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from canonical_model.errors import RejectedError, TransientError
from canonical_model.ports import Record
from canonical_model.store import ledger_reversal, ledger_views
from flows.points import store
from flows.points.expiry import grace_until
from flows.points.keys import ledger_key
from flows.points.requests import REFUND, SPEND, spend_key
from flows.points.rules import rules_of
from flows.points.spend import SPENT
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, OnReject, Park, Run, outside, step
from flows.runtime.runs import ENDED, find_run, get_run

REFUNDED: Final = "refunded"
PATIENCE: Final = timedelta(hours=1)


@step(on_reject=OnReject.UNDO, first_wait_s=1.0, max_wait_s=60.0)
def find(run: Run, uow: UnitOfWork) -> dict[str, Any] | Park:
    """The spend, as it was posted; one that is still under way is waited for."""
    order_no, points = run.input["order_no"], run.input["points"]
    spend = find_run(uow, run.owner, run.brand, SPEND, spend_key(run.brand, order_no))
    if spend is None or (spend["state"] in ENDED and spend["outcome"] != SPENT):
        raise RejectedError(f"nothing was spent under {order_no}; there is nothing to refund", code="points.not_spent")
    if spend["state"] not in ENDED:
        detail = f"the spend of {order_no}, run {spend['id']}, is still under way ({spend['state']})"
        if datetime.now(UTC) - get_run(uow, run.id)["created_at"] >= PATIENCE:
            return Park("points.under_way", f"{detail}; bring it to its end, then retry this run")
        raise TransientError(detail, code="points.under_way")
    transfer_id = spend["results"]["post"]["transfer_id"]
    left = store.left_of_spend(uow.connection, transfer_id)
    if (points or 1) > left:
        raise RejectedError(
            f"refund {run.input['refund_no']} of {order_no}: {left} points are left to give back; ask for at most that",
            code="points.over_reversed",
            available=left,
        )
    return {
        "transfer_id": transfer_id,
        "programme": spend["input"]["programme"],
        "writer": None if points else f"{spend['input']['supplier']}.cancel",
        "order_no": spend["business_key"],
        "document": spend["results"]["reserve"]["document"],
    }


def _writer(run: Run, uow: UnitOfWork) -> str | None:
    writer: str | None = run.results["find"]["writer"]
    return writer


@outside(_writer, on_reject=OnReject.UNDO, pivot=True)
def cancel(run: Run, uow: UnitOfWork) -> Record:
    """The supplier takes the goods back, if they have not left."""
    return {"order_no": run.results["find"]["order_no"], "document": run.results["find"]["document"]}


@step(on_reject=OnReject.UNDO)
def give_back(run: Run, uow: UnitOfWork) -> Finish:
    """Reverse the spend."""
    found = run.results["find"]
    programme = rules_of(uow.connection, run.owner).programme(found["programme"])
    happened_at, now = datetime.fromisoformat(run.input["happened_at"]), datetime.now(UTC)
    done = ledger_reversal.reverse(
        uow.connection,
        run.owner,
        run.brand,
        ledger_key("refund", run.business_key),
        found["transfer_id"],
        amount=run.input["points"],
        happened_at=happened_at,
        now=now,
        grace_until=grace_until(programme, min(happened_at, now)),
        detail={"programme": programme.name, "refund_no": run.input["refund_no"]},
    )
    back = ledger_views.get_transfer(uow.connection, run.owner, done.id)["postings"]
    points = sum(posting["amount"] for posting in back if posting["amount"] > 0)
    return Finish(REFUNDED, {"points": points, "transfer_id": done.id})


REFUND_POINTS: Final = Flow(REFUND, version=1, steps=(find, cancel, give_back))
