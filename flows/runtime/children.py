"""A children step: starts runs and joins them. The last child to end wakes its parent.

The parent looks at its children, and a child that ends looks at its parent, under the parent's row lock; so the
wake-up cannot be lost. Locks are taken child first. When the parent is undone, its live children are asked to stop,
and the parent waits until all have ended: a child past its pivot goes on to its end.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import ConflictError
from flows.runtime import moves
from flows.runtime.database import Row, UnitOfWork
from flows.runtime.flow import ChildrenStep
from flows.runtime.leases import Claim
from flows.runtime.moves import CHILDREN, LaneOf, Move
from flows.runtime.runs import ENDED, start_runs

_STARTED: Final = """
SELECT s.result -> 'value' -> 'children' AS ids
  FROM flow_step s
 WHERE s.run_id = %s AND s.step = %s AND s.outcome = 'started'
   AND NOT EXISTS (SELECT 1 FROM flow_step d
                    WHERE d.run_id = s.run_id AND d.id > s.id
                      AND (d.outcome = 'goto' OR (d.step = s.step AND d.outcome = 'done' AND NOT %s)))
 ORDER BY s.id DESC LIMIT 1
"""


def join(uow: UnitOfWork, claim: Claim, step: ChildrenStep, started_at: datetime, lane_of: LaneOf) -> Move:
    """Start the children, once; go on when all have ended."""
    begun = None
    ids = _started(uow, claim)
    if ids is None:
        ids = [child.run_id for child in start_runs(uow, step.call(claim.run, uow), parent_id=claim.run.id)]
        begun = (started_at, {"children": ids})
    rows = _locked(uow, claim, ids)
    if strangers := [row["business_key"] for row in rows if row["parent_id"] != claim.run.id]:
        raise ConflictError(
            f"{claim.flow.name}.{step.name}: the runs {strangers} have another parent; give the children other keys",
            code="child.taken",
        )
    if any(row["state"] not in ENDED for row in rows):
        return moves.wait(claim, [CHILDREN], begun=begun)
    return moves.after(claim, _results(ids, rows), started_at, lane_of)


def take_back(uow: UnitOfWork, claim: Claim, step: ChildrenStep, started_at: datetime, lane_of: LaneOf) -> Move:
    """Ask the children to stop and wait for their end; then the step's own undo, which sees their results."""
    ids = _started(uow, claim, ended_too=True) or []
    uow.execute("SELECT flow_cancel(%s::bigint[])", (ids,))
    rows = _locked(uow, claim, ids)
    if any(row["state"] not in ENDED for row in rows):
        return moves.wait(claim, [CHILDREN])
    run = replace(claim.run, results={**claim.run.results, step.name: _results(ids, rows)})
    return moves.undone(claim, step.undo(run, uow) if step.undo else None, started_at, lane_of)


def _started(uow: UnitOfWork, claim: Claim, *, ended_too: bool = False) -> list[int] | None:
    row = uow.execute(_STARTED, (claim.run.id, claim.step.name, ended_too)).fetchone()
    return [int(each) for each in row["ids"]] if row else None


def _locked(uow: UnitOfWork, claim: Claim, ids: Sequence[int]) -> list[Row]:
    uow.execute("SELECT 1 FROM flow_run WHERE id = %s FOR UPDATE", (claim.run.id,))
    return uow.execute(
        "SELECT id, flow, business_key, state, outcome, results, parent_id FROM flow_run WHERE id = ANY(%s)",
        (list(ids),),
    ).fetchall()


def _results(ids: Sequence[int], rows: Sequence[Row]) -> list[dict[str, Any]]:
    by_id = {row["id"]: row for row in rows}
    return [
        {
            "key": by_id[each]["business_key"],
            "flow": by_id[each]["flow"],
            "outcome": by_id[each]["outcome"],
            "state": by_id[each]["state"],
            "results": by_id[each]["results"],
        }
        for each in ids
    ]
