"""A batch step, or a wait: many runs of one flow at one step, in one transaction.

One batch of a kind is done at a time in a process. Runs that come to the step meanwhile gather for the next one, which
is the larger the more there is to do.

If the batch fails it is halved until the run that fails is alone; the others commit. That run is treated by its
error like any other, and its next try is alone too.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from canonical_model.errors import TransientError
from flows.runtime import failures, metrics, moves, telemetry, waits
from flows.runtime.database import Database, UnitOfWork
from flows.runtime.flow import BatchStep, WaitStep
from flows.runtime.leases import Claim, LostLeaseError
from flows.runtime.moves import LaneOf, Move

WAITS: Final = 500

Committed = list[tuple[Move, bool]]
Kind = tuple[str, int, int, str | None]
"""Flow, version, step, and the word that the runs must share."""


class Batches:
    """Does the steps that many runs can do at once."""

    def __init__(self, database: Database, lane_of: LaneOf, lease_s: float) -> None:
        self._database = database
        self._lane_of = lane_of
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._turns: dict[Kind, threading.Lock] = {}
        self._gathering: dict[Kind, list[Claim]] = {}

    def head(self, claims: Sequence[Claim]) -> Claim | None:
        """The first of these runs that more could join."""
        return next((claim for claim in claims if _joins(claim)), None)

    def room(self, head: Claim, taken: int) -> int:
        """How many more runs fit into the head's batch."""
        return max(_size(head) - taken, 0)

    def group(self, claims: Sequence[Claim]) -> list[list[Claim]]:
        """Runs to be carried on together; a run that does not stand at a batch step is a group of its own.

        Who comes first is done first: what another run needs mostly came before it.
        """
        groups: defaultdict[Kind | int, list[Claim]] = defaultdict(list)
        for claim in claims:
            groups[_kind(claim) if _joins(claim) else claim.run.id].append(claim)
        return [part for group in groups.values() for part in (_parts(group) if _joins(group[0]) else [group])]

    def is_batch(self, group: Sequence[Claim]) -> bool:
        """Whether the group is to be done as a batch, its own or one that gathers now."""
        return len(group) > 1 or (_joins(group[0]) and _kind(group[0]) in self._gathering)

    def hand_over(self, group: Sequence[Claim]) -> bool:
        """Leave the group to the thread that waits for the turn of its kind; False if none does, so wait yourself."""
        with self._lock:
            gathering = self._gathering.get(_kind(group[0]))
            if gathering is None:
                self._gathering[_kind(group[0])] = list(group)
                return False
            gathering += group
            return True

    @contextmanager
    def turn(self, kind_of: Claim) -> Iterator[list[Claim]]:
        """The turn of that kind, which nobody else of this process has meanwhile: all that gathered for it."""
        kind = _kind(kind_of)
        with self._lock:
            turn = self._turns.setdefault(kind, threading.Lock())
        with turn:
            with self._lock:
                gathered = self._gathering.pop(kind)
            yield gathered

    def carry(self, group: Sequence[Claim]) -> Committed:
        """Do the step for all of them; the committed moves, and whether someone asks the run to stop.

        Runs whose lease was lost are left out. TransientError: PostgreSQL is away, and nothing is known.
        """
        started_at = datetime.now(UTC)
        try:
            return self._together(group, started_at)
        except LostLeaseError as lost:
            metrics.LEASES_LOST.inc(len(lost.run_ids))
            rest = [claim for claim in group if claim.run.id not in lost.run_ids]
            return self.carry(rest) if rest else []
        except Exception as error:  # noqa: BLE001 - a step may raise anything; the type decides
            if len(group) == 1 or (isinstance(error, TransientError) and error.code == "database.away"):
                return self._failed(group, error, started_at)
            half = len(group) // 2
            return self.carry(group[:half]) + self.carry(group[half:])

    def carry_alone(self, claim: Claim) -> tuple[Move, bool]:
        """Do the step for one run. LostLeaseError as ``moves.commit``."""
        started_at = datetime.now(UTC)
        try:
            (committed,) = self._together([claim], started_at)
        except LostLeaseError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            (committed,) = self._failed([claim], error, started_at)
        return committed

    def _together(self, group: Sequence[Claim], started_at: datetime) -> Committed:
        first = group[0]
        step = first.step
        with (
            telemetry.span(
                f"{first.flow.name}.{step.name}",
                traceparent=first.run.traceparent,
                attributes={"yipan.flow": first.flow.name, "yipan.step": step.name, "yipan.runs": len(group)},
                links=(claim.run.traceparent for claim in group[1:]),
            ),
            self._database.unit() as uow,
        ):
            decided = waits.begin(uow, self._decide(uow, group, started_at))
            built = [self._spread(move, len(group)) for move in decided]
            cancels = moves.commit(uow, built, self._lease_s)
        return [(move, cancels[move.claim.run.id]) for move in built]

    def _decide(self, uow: UnitOfWork, group: Sequence[Claim], started_at: datetime) -> list[Move]:
        step = group[0].step
        if isinstance(step, WaitStep):
            return waits.listen(uow, group, step, started_at, self._lane_of)
        assert isinstance(step, BatchStep)
        results = step.call([claim.run for claim in group], uow)
        return [
            moves.after(claim, result, started_at, self._lane_of) for claim, result in zip(group, results, strict=True)
        ]

    def _spread(self, move: Move, size: int) -> Move:
        """After the last step that many can do at once, let every worker have a part of the runs."""
        step = move.claim.flow.steps[move.position]
        if size == 1 or move.state != "running" or isinstance(step, BatchStep | WaitStep):
            return move
        return replace(move, state="ready", attempt=0)

    def _failed(self, group: Sequence[Claim], error: Exception, started_at: datetime) -> Committed:
        built = [failures.move_for(claim, claim.step, error, started_at, self._lane_of) for claim in group]
        with self._database.unit() as uow:
            cancels = moves.commit(uow, built, self._lease_s)
        return [(move, cancels[move.claim.run.id]) for move in built]


def _joins(claim: Claim) -> bool:
    return (
        isinstance(claim.step, BatchStep | WaitStep)
        and not claim.undoing
        and claim.run.attempt == 1
        and not claim.cancel_requested
        and (isinstance(claim.step, WaitStep) or claim.step.together is None or claim.company is not None)
    )


def _kind(claim: Claim) -> Kind:
    return claim.flow.name, claim.flow.version, claim.position, claim.company


def _size(claim: Claim) -> int:
    return claim.step.size if isinstance(claim.step, BatchStep) else WAITS


def _parts(group: list[Claim]) -> list[list[Claim]]:
    size = _size(group[0])
    return [group[start : start + size] for start in range(0, len(group), size)]
