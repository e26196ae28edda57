"""A wait step: for a word, or for a time. A word sent early is kept; one that comes with the timeout wins or loses
under the run's row lock, never both."""

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
