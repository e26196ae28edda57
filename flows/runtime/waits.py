"""A wait step: for a word, or for a time. A word sent early is kept; one that comes with the timeout wins or loses
under the run's row lock, never both."""

from dataclasses import replace
from datetime import datetime

from flows.runtime import failures, moves
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import WaitStep
from flows.runtime.leases import Claim
from flows.runtime.moves import LaneOf, Move


def listen(uow: UnitOfWork, claim: Claim, step: WaitStep, started_at: datetime, lane_of: LaneOf) -> Move:
    """Go on with the oldest word not heard yet, or with the timeout; else wait."""
    word = uow.execute("SELECT * FROM flow_signal_take(%s, %s)", (claim.run.id, list(step.signals))).fetchone()
    if word is not None:
        heard = {"signal": word["name"], "payload": word["payload"]}
        return moves.after(claim, heard, started_at, lane_of)
    if claim.deadline is None:
        timeout_s = step.timeout_s(claim.run) if callable(step.timeout_s) else step.timeout_s
        if timeout_s > 0:
            return moves.wait(claim, step.signals, wake_in_s=timeout_s, begun=(started_at, {"timeout_s": timeout_s}))
        return _timed_out(claim, step, started_at, lane_of)
    (clock,) = uow.execute("SELECT clock_timestamp() AS now").fetchall()
    left_s = (claim.deadline - clock["now"]).total_seconds()
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
