"""The error type decides what happens next. Pure: an error and a claim in, a move out."""

import logging
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import ConfigurationError, HubError, RejectedError, TransientError, UncertainError
from flows.runtime import moves
from flows.runtime.flow import OnReject, Step
from flows.runtime.leases import Claim
from flows.runtime.moves import LaneOf, Move

MAX_AFTER_S: Final = 3600.0
MAX_DETAIL: Final = 2000
UNKNOWN: Final = "unknown"

_log = logging.getLogger(__name__)


def describe(error: BaseException) -> dict[str, Any]:
    """The error as it is stored: its code, and what to do next."""
    if isinstance(error, HubError):
        known = {"code": error.code, "detail": _storable(error.detail), "recovery": error.recovery}
        return known | ({"over": True} if error.context.get("over") else {})
    detail = f"{type(error).__name__} in the step's own code: {error}"
    return {"code": UNKNOWN, "detail": _storable(detail), "recovery": "person"}


def _storable(detail: str) -> str:
    """As PostgreSQL can keep it: no NUL, no half of a surrogate pair, not endless."""
    return detail[:MAX_DETAIL].replace("\x00", "").encode("utf-8", "replace").decode()


def backoff_s(step: Step, attempt: int, wish_s: float | None = None) -> float:
    """How long to wait after that try: what the other side wished, else doubling with jitter, capped."""
    if wish_s is not None:
        return min(max(wish_s, 0.0), MAX_AFTER_S)
    full = step.first_wait_s * 2.0 ** min(attempt - 1, 30)
    return min(full, step.max_wait_s) * random.uniform(0.5, 1.0)


def wish_s(error: BaseException) -> float | None:
    """How long the other side asks us to wait, if it said so."""
    wish = error.context.get("after_s") if isinstance(error, HubError) else None
    return float(wish) if wish is not None else None


def move_for(claim: Claim, step: Step, error: Exception, started_at: datetime, lane_of: LaneOf) -> Move:
    """The run's next place after its step failed with ``error``. ``step`` is what failed: the step or its undo."""
    told = describe(error)
    match error:
        case TransientError() | UncertainError():
            wait_s = backoff_s(step, claim.run.attempt, wish_s(error))
            return moves.retry(claim, _count(claim, told), wait_s, started_at)
        case RejectedError():
            return rejected(claim, step, told, started_at, lane_of)
        case ConfigurationError():
            return moves.park(claim, told, started_at)
        case _:
            return unknown(claim, step, error, started_at)


def rejected(claim: Claim, step: Step, told: Mapping[str, Any], started_at: datetime, lane_of: LaneOf) -> Move:
    """The answer is no: undo, ask a person, or let the parent choose again, as the step declares."""
    if claim.undoing or claim.pivoted or step.on_reject is OnReject.PARK:
        return moves.park(claim, told, started_at)
    outcome = "refused" if step.on_reject is OnReject.RESOURCE else "rejected"
    return moves.undo(claim, outcome, told, started_at, lane_of)


def unknown(claim: Claim, step: Step, error: Exception, started_at: datetime) -> Move:
    """Nobody foresaw this: a few tries, then a person."""
    _log.error("%s.%s of %s failed", claim.flow.name, claim.step.name, claim.run.business_key, exc_info=error)
    told = _count(claim, describe(error), UNKNOWN)
    if told[UNKNOWN] >= step.attempts:
        return moves.park(claim, told, started_at)
    return moves.retry(claim, told, backoff_s(step, told[UNKNOWN]), started_at)


def _count(claim: Claim, told: dict[str, Any], what: str | None = None) -> dict[str, Any]:
    """Carry the step's count of unknown failures on, so that an outage in between does not spend its tries."""
    before = int((claim.error or {}).get(UNKNOWN, 0))
    counted = before + (what == UNKNOWN)
    return told | {UNKNOWN: counted} if counted else told
