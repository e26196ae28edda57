"""Where a run goes next. Building a move is pure; ``commit`` makes it durable together with the step's own work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, LiteralString

import orjson
import psycopg

from canonical_model.errors import ConfigurationError
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import ERROR, ChildrenStep, Finish, Goto, Json, OutsideStep, Park, Step, Undo, WaitStep
from flows.runtime.leases import Claim, LostLeaseError

CHILDREN: Final = "@children"
CANCELLED: Final = {"code": "run.cancelled", "detail": "someone asked this run to stop"}
MAX_RESULT_BYTES: Final = 1024 * 1024

_MOVE_ALL: Final[LiteralString] = "SELECT * FROM flow_move_all(%s, %s, %s)"
_OWN: Final[tuple[str, ...]] = ("id", "fence", "results", "step_result")
_SPARSE: Final = (
    "results",
    "forget",
    "outcome",
    "wake_in_s",
    "waiting_for",
    "deadline_in_s",
    "keep_deadline",
    "error",
)

LaneOf = Callable[[Step, bool], str | None]
"""The destination's lane in which a step is done or, if the flag is true, taken back; None: the flow's own lane."""


@dataclass(slots=True, kw_only=True)
class Move:
    """One run's next place, and the history row that explains it (``step_outcome`` None: nothing to tell).

    ``begun``: the wait that the run begins in the same commit, with its name and what its history row tells.

    Never changed once built; not frozen only because building thousands of them is what a batch spends its time on.
    """

    claim: Claim
    state: str
    position: int
    lane: str
    direction: str
    attempt: int = 0
    results: Mapping[str, Any] | None = None
    forget: Sequence[str] | None = None
    outcome: str | None = None
    wake_in_s: float | None = None
    waiting_for: Sequence[str] | None = None
    deadline_in_s: float | None = None
    keep_deadline: bool | None = None
    error: Mapping[str, Any] | None = None
    step_outcome: str | None = None
    step_result: Json = None
    step_error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    begun: Mapping[str, Any] | None = None

    def row(self) -> dict[str, Any]:
        """What ``flow_move`` reads; what is left out is null."""
        claim = self.claim
        row: dict[str, Any] = {
            "id": claim.run.id,
            "fence": claim.fence,
            "state": self.state,
            "direction": self.direction,
            "position": self.position,
            "lane": self.lane,
            "attempt": self.attempt,
        }
        for name in _SPARSE:
            value = getattr(self, name)
            if value is not None:
                row[name] = value
        if self.step_outcome is not None:
            row["step"] = claim.step.name
            row["step_direction"] = claim.direction
            row["step_attempt"] = claim.run.attempt
            row["step_outcome"] = self.step_outcome
            row["started_at"] = self.started_at
            if self.step_result is not None:
                row["step_result"] = {"value": self.step_result}
            if self.step_error is not None:
                row["step_error"] = self.step_error
        if self.begun is not None:
            row["begun"] = self.begun
        return row

    @property
    def results_after(self) -> dict[str, Any]:
        """The run's results once this move is committed."""
        kept = dict(self.claim.run.results)
        for name in self.forget or ():
            kept.pop(name, None)
        return kept | dict(self.results or {})

    def claim_after(self, *, cancel_requested: bool) -> Claim | None:
        """The lease as it stands after the commit; None if the move gave it up."""
        if self.state != "running":
            return None
        before = self.claim
        return Claim(
            run=replace(before.run, results=self.results_after, attempt=self.attempt),
            flow=before.flow,
            fence=before.fence + 1,
            lane=self.lane,
            position=self.position,
            direction=self.direction,
            deadline=None,
            cancel_requested=cancel_requested,
            error=self.error,
        )


def commit(uow: UnitOfWork, moves: Sequence[Move], lease_s: float) -> dict[int, bool]:
    """Commit the unit of work and these moves; by run id, whether someone asks the run to stop.

    LostLeaseError: at least one lease is gone, and nothing of this unit of work is kept.
    """
    rows = [move.row() for move in moves]
    try:
        if len(rows) == 1:
            moved = uow.commit_with("SELECT * FROM flow_move(%s, %s)", (dumps(rows[0]), lease_s))
            return {row["run_id"]: row["must_cancel"] for row in moved}
        *others, last = _alike(rows, lease_s)
        moved = [row for each in others for row in uow.execute(_MOVE_ALL, each)]
        moved += uow.commit_with(_MOVE_ALL, last)
    except psycopg.Error as error:
        raise LostLeaseError.read(error) or error from error
    return {row["run_id"]: row["must_cancel"] for row in moved}


def _alike(rows: Sequence[dict[str, Any]], lease_s: float) -> list[tuple[str, str, float]]:
    """Parameters of ``flow_move_all``: moves that differ only in what is each run's own go together."""
    groups: dict[bytes, list[dict[str, Any]]] = {}
    for row in rows:
        own = {name: row.pop(name) for name in _OWN if name in row}
        groups.setdefault(orjson.dumps(row), []).append(own)
    return [(shared.decode(), dumps(sorted(runs, key=itemgetter("id"))), lease_s) for shared, runs in groups.items()]


def dumps(value: Any) -> str:
    """JSON for a statement's parameter."""
    return orjson.dumps(value).decode()


def after(claim: Claim, result: Json, started_at: datetime, lane_of: LaneOf) -> Move:
    """What a step returned, a directive or a result, as the run's next place."""
    match result:
        case Park():
            return park(claim, {"code": result.code, "detail": result.detail}, started_at)
        case Undo():
            if claim.pivoted:
                detail = f"{result.detail} (a pivot step is done, so the run cannot be undone)"
                return park(claim, {"code": result.outcome, "detail": detail}, started_at)
            return undo(claim, result.outcome, {"detail": result.detail}, started_at, lane_of, step_outcome="undo")
        case Finish():
            value = _plain(result.result)
            return Move(
                claim=claim,
                state="done",
                position=claim.position,
                lane=claim.flow.lane,
                direction=claim.direction,
                results={claim.step.name: value},
                outcome=result.outcome,
                step_outcome="done",
                step_result=value,
                started_at=started_at,
            )
        case Goto():
            return _goto(claim, result, started_at, lane_of)
        case _:
            return _forward(claim, _plain(result), started_at, lane_of)


def _goto(claim: Claim, goto: Goto, started_at: datetime, lane_of: LaneOf) -> Move:
    names = [step.name for step in claim.flow.steps]
    if goto.step not in names[: claim.position + 1]:
        raise ConfigurationError(
            f"{claim.flow.name}.{claim.step.name} goes to {goto.step!r}, which is no earlier step; correct the flow"
        )
    target = names.index(goto.step)
    value = _plain(goto.result)
    return _at(
        claim,
        target,
        lane_of,
        results={claim.step.name: value} if value is not None else None,
        forget=names[target:],
        step_outcome="goto",
        step_result={"goto": goto.step, "result": value},
        started_at=started_at,
    )


def _forward(claim: Claim, value: Json, started_at: datetime, lane_of: LaneOf) -> Move:
    results = {claim.step.name: value}
    told: dict[str, Any] = {"step_outcome": "done", "step_result": value, "started_at": started_at}
    if claim.position + 1 == len(claim.flow.steps):
        if claim.cancel_requested and not claim.pivoted and not claim.step.pivot:
            done = replace(claim, run=replace(claim.run, results={**claim.run.results, **results}))
            told["results"] = results | {ERROR: {"step": claim.step.name, **CANCELLED}}
            return _back(done, claim.position, lane_of, told | {"outcome": "cancelled"})
        return Move(
            claim=claim,
            state="done",
            position=claim.position,
            lane=claim.flow.lane,
            direction=claim.direction,
            results=results,
            outcome="done",
            **told,
        )
    return _at(claim, claim.position + 1, lane_of, results=results, **told)


def undo(
    claim: Claim,
    outcome: str,
    error: Mapping[str, Any],
    started_at: datetime,
    lane_of: LaneOf,
    *,
    step_outcome: str = "rejected",
) -> Move:
    """Turn round: the steps done so far are taken back, last first, and the run ends as undone."""
    told: dict[str, Any] = {
        "results": {ERROR: {"step": claim.step.name, **error}},
        "outcome": outcome,
        "step_outcome": step_outcome,
        "step_error": error,
        "started_at": started_at,
    }
    last = claim.position if isinstance(claim.step, ChildrenStep) else claim.position - 1
    written = [n for n, step in enumerate(claim.flow.steps) if n > last and _wrote(step, claim.run.results)]
    return _back(claim, max(written, default=last), lane_of, told)


def undone(claim: Claim, value: Json, started_at: datetime, lane_of: LaneOf) -> Move:
    """The present step is taken back; go on with the one before it."""
    told: dict[str, Any] = {
        "outcome": None,
        "step_outcome": "undone",
        "step_result": _plain(value),
        "started_at": started_at,
    }
    return _back(claim, claim.position - 1, lane_of, told)


def _back(claim: Claim, last: int, lane_of: LaneOf, told: dict[str, Any]) -> Move:
    steps = claim.flow.steps
    for position in range(last, -1, -1):
        if _can_be_undone(steps[position], claim.run.results):
            return _at(claim, position, lane_of, direction="undo", **told)
    return Move(claim=claim, state="undone", position=0, lane=claim.flow.lane, direction="undo", **told)


def _can_be_undone(step: Step, results: Mapping[str, Any]) -> bool:
    if isinstance(step, ChildrenStep):
        return True
    return _wrote(step, results) or (step.undo is not None and step.name in results)


def _wrote(step: Step, results: Mapping[str, Any]) -> bool:
    """Whether the step has written outside and can take that back. A person who restarted the run at an earlier step
    has not undone that."""
    return isinstance(step, OutsideStep) and step.undo_outside is not None and results.get(step.name) is not None


def _at(claim: Claim, position: int, lane_of: LaneOf, *, direction: str | None = None, **told: Any) -> Move:
    """Keep the lease for the step at ``position`` or, if it belongs to a destination, queue in that lane."""
    way = direction or claim.direction
    lane = lane_of(claim.flow.steps[position], way == "undo")
    return Move(
        claim=claim,
        state="ready" if lane else "running",
        position=position,
        lane=lane or claim.flow.lane,
        direction=way,
        attempt=0 if lane else 1,
        **told,
    )


def park(claim: Claim, error: Mapping[str, Any], started_at: datetime) -> Move:
    """Stop where it is and ask a person."""
    return Move(
        claim=claim,
        state="parked",
        position=claim.position,
        lane=claim.lane,
        direction=claim.direction,
        attempt=claim.run.attempt,
        keep_deadline=True,
        error=error,
        step_outcome="parked",
        step_error=error,
        started_at=started_at,
    )


def retry(claim: Claim, error: Mapping[str, Any], wait_s: float, started_at: datetime) -> Move:
    """Try the same step again after ``wait_s``."""
    return Move(
        claim=claim,
        state="ready",
        position=claim.position,
        lane=claim.lane,
        direction=claim.direction,
        attempt=claim.run.attempt,
        wake_in_s=wait_s,
        keep_deadline=True,
        error=error,
        step_outcome="retry",
        step_error=error,
        started_at=started_at,
    )


def hop(claim: Claim, lane: str) -> Move:
    """Queue in another lane; the try has not begun."""
    return Move(
        claim=claim,
        state="ready",
        position=claim.position,
        lane=lane,
        direction=claim.direction,
        attempt=claim.run.attempt - 1,
        keep_deadline=True,
        error=claim.error,
    )


def wait(
    claim: Claim,
    waiting_for: Sequence[str],
    *,
    wake_in_s: float | None = None,
    begun: tuple[datetime, Json] | None = None,
) -> Move:
    """Wait for these words; ``begun`` tells the history when the wait began and what was started for it."""
    return Move(
        claim=claim,
        state="waiting",
        position=claim.position,
        lane=claim.flow.lane,
        direction=claim.direction,
        wake_in_s=wake_in_s,
        waiting_for=waiting_for,
        deadline_in_s=wake_in_s,
        step_outcome="started" if begun else None,
        step_result=begun[1] if begun else None,
        started_at=begun[0] if begun else None,
    )


def straight_into(move: Move, step: WaitStep, timeout_s: float) -> Move:
    """The same move, which had led to this wait, as one that begins it too."""
    return replace(
        move,
        state="waiting",
        attempt=0,
        wake_in_s=timeout_s,
        waiting_for=step.signals,
        deadline_in_s=timeout_s,
        begun={"step": step.name, "result": {"value": {"timeout_s": timeout_s}}},
    )


def _plain(value: Json) -> Json:
    """The value as it will be read back: JSON types only."""
    text = orjson.dumps(value)
    if len(text) > MAX_RESULT_BYTES:
        raise ConfigurationError(
            f"a step returned {len(text)} bytes, more than {MAX_RESULT_BYTES}; keep it in a table and return its id",
            code="result.too_large",
        )
    return orjson.loads(text)
