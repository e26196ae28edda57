"""A wait step: for a word, or for a time. A word sent early is kept; one that comes with the timeout wins or loses
under the run's row lock, never both."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from flows.runtime import failures, moves
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import WaitStep
from flows.runtime.leases import Claim
from flows.runtime.moves import LaneOf, Move


def listen(
    uow: UnitOfWork, claims: Sequence[Claim], step: WaitStep, started_at: datetime, lane_of: LaneOf
) -> list[Move]:
    """Each run goes on with the oldest word that it has not heard yet, or with the timeout; else it waits."""
    names = list(step.signals)
    words = {
        word["run_id"]: {"signal": word["name"], "payload": word["payload"]}
        for word in uow.execute("SELECT * FROM flow_signal_take(%s, %s)", ([claim.run.id for claim in claims], names))
    }
    clock = uow.execute("SELECT clock_timestamp() AS now").fetchone() if any(each.deadline for each in claims) else None
    now = clock["now"] if clock else None
    return [
        moves.after(claim, words[claim.run.id], started_at, lane_of)
        if claim.run.id in words
        else _wait_on(claim, step, now, started_at, lane_of)
        for claim in claims
    ]


def begin(uow: UnitOfWork, built: Sequence[Move]) -> list[Move]:
    """The moves of a batch; those that lead to a wait begin it in the same commit, so that each run is written once.

    Not those who need not wait: a word is there, the run is asked to stop, or the time is up at once.
    """
    waiting: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for move in built:
        step = move.claim.flow.steps[move.position]
        if isinstance(step, WaitStep) and move.state == "running" and move.direction == "forward":
            timeout_s = _timeout_s(move, step)
            if timeout_s > 0:
                waiting[move.position][move.claim.run.id] = timeout_s
    for position, timeouts in waiting.items():
        step = built[0].claim.flow.steps[position]
        assert isinstance(step, WaitStep)
        found = uow.execute("SELECT * FROM flow_may_wait(%s, %s) AS id", (list(timeouts), list(step.signals)))
        free = {row["id"] for row in found}
        built = [
            moves.straight_into(move, step, timeouts[move.claim.run.id])
            if move.position == position and move.claim.run.id in free
            else move
            for move in built
        ]
    return list(built)


def _timeout_s(move: Move, step: WaitStep) -> float:
    """How long the run will wait; 0 where that cannot be told, so that the wait itself fails, not what came before."""
    if not callable(step.timeout_s):
        return step.timeout_s
    claim = move.claim_after(cancel_requested=False)
    try:
        return step.timeout_s(claim.run) if claim is not None else 0.0
    except Exception:  # noqa: BLE001 - it is asked again, and heard, in the wait's own turn
        return 0.0


def _wait_on(claim: Claim, step: WaitStep, now: datetime | None, started_at: datetime, lane_of: LaneOf) -> Move:
    if claim.deadline is None or now is None:
        timeout_s = step.timeout_s(claim.run) if callable(step.timeout_s) else step.timeout_s
        if timeout_s > 0:
            return moves.wait(claim, step.signals, wake_in_s=timeout_s, begun=(started_at, {"timeout_s": timeout_s}))
        return _timed_out(claim, step, started_at, lane_of)
    left_s = (claim.deadline - now).total_seconds()
    if left_s > 0:
        return moves.wait(claim, step.signals, wake_in_s=left_s)
    return _timed_out(claim, step, started_at, lane_of)


def _timed_out(claim: Claim, step: WaitStep, started_at: datetime, lane_of: LaneOf) -> Move:
    on_timeout = step.on_timeout(claim.run) if callable(step.on_timeout) else step.on_timeout
    if on_timeout is None:
        return moves.after(claim, {"signal": None, "payload": None}, started_at, lane_of)
    told = {
        "code": "wait.timeout",
        "detail": f"none of {', '.join(step.signals)} came in time; find out why, then retry to wait again",
    }
    return failures.rejected(claim, replace(step, on_reject=on_timeout), told, started_at, lane_of)
