"""Carries runs on: claims them, does step after step under the lease, and commits each step with the next place.

Local steps are done in the flow's own lane. An outside step belongs to its destination's lane: the run queues there,
and whoever claims it holds one of the lane's slots during the call. So nobody waits on a destination but its own
lane. The unit that a step works in commits together with where the run goes; if the lease was lost meanwhile,
everything rolls back.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.errors import ConfigurationError, TransientError
from canonical_model.ports import LaneSpec
from flows.runtime import children, failures, metrics, moves, runs, telemetry, waits
from flows.runtime.batches import Batches, Committed
from flows.runtime.catalogue import Catalogue
from flows.runtime.database import Database, UnitOfWork
from flows.runtime.flow import BatchStep, ChildrenStep, Flow, LocalStep, OutsideStep, Start, WaitStep
from flows.runtime.leases import Claim, Leases, LostLeaseError
from flows.runtime.moves import LaneOf, Move
from flows.runtime.outside import Destination, Outside

CLAIM_SIZE: Final = 8
SWEEP_SIZE: Final = 1_000
LOST_LIMIT: Final = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands: its state, and what it has to show."""

    run_id: int
    state: str
    outcome: str | None
    results: Mapping[str, Any]
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was asked for; ``new`` is False if the same key had started it before."""

    run_id: int
    new: bool
    claim: Claim | None


class Runner:
    """Carries runs on in the threads that call ``work``. Safe to share between threads; ``close`` it when done.

    ``writers`` finds a destination by ``system.writer``; ``lanes`` are the limits of the destinations' lanes.
    ``on_backlog`` is told when a claim was full, so that more workers can be woken.
    """

    def __init__(
        self,
        database: Database,
        flows: Mapping[str, Flow],
        writers: Callable[[str], Destination],
        *,
        lanes: Mapping[str, LaneSpec] | None = None,
        lease_s: float = 30.0,
        claim_size: int = CLAIM_SIZE,
    ) -> None:
        database.flows = flows
        self.catalogue = Catalogue(flows)
        self.lanes: Mapping[str, LaneSpec] = lanes or {}
        if both := self.catalogue.lanes & self.lanes.keys():
            raise ConfigurationError(f"{sorted(both)} are lanes of a flow and of a destination; rename one of them")
        self.on_backlog: Callable[[str], None] | None = None
        self._database = database
        self._claim_size = claim_size
        self._leases = Leases(database, self.catalogue, lease_s)
        self._outside = Outside(database, writers, lease_s)
        self._lane_of: LaneOf = self._outside.lane_of
        self._batches = Batches(database, self._lane_of, lease_s)
        self._lease_s = lease_s
        self._stopping = threading.Event()
        self._strange: frozenset[str] = frozenset()

    def stop(self) -> None:
        """Begin nothing new; ``work`` returns after its present step and gives back what it had not begun."""
        self._stopping.set()

    def resume(self) -> None:
        """Work again after a stop."""
        self._stopping.clear()

    def close(self) -> None:
        """Stop, and end the thread that prolongs leases."""
        self.stop()
        self._leases.close()

    def work(self, lane: str, limit: int | None = None) -> int:
        """Claim due runs of ``lane`` and carry them on until none is left, or ``limit`` were taken.

        How many steps were committed. TransientError: PostgreSQL is away. ConfigurationError: unknown lane.
        """
        steps = taken = 0
        more = True
        while more and not self._stopping.is_set() and (limit is None or taken < limit):
            claims, more = self._claim(lane)
            if more and self.on_backlog is not None:
                self.on_backlog(lane)
            taken += len(claims)
            try:
                steps += self._carry_all(claims)
            finally:
                self._leases.forget(claims)
        return steps

    def run(self, start: Start) -> RunState:
        """Start a run and carry it on in this thread, as ``begin`` and ``run_now`` do."""
        with self._database.unit() as uow:
            begun = self.begin(uow, start, commit=True)
        return self.run_now(begun)

    def begin(self, uow: UnitOfWork, start: Start, *, commit: bool = False) -> Begun:
        """Start a run in the caller's transaction, to be carried on by ``run_now`` as soon as that has committed.

        It is started under this process's lease, which saves the claim; should the process die, another takes over
        when the lease has run out. An order key or an earlier start of the same key leave the run to the workers.
        ``commit`` ends the caller's transaction in the same round trip.
        """
        started, claim = self._leases.begin(uow, start, commit=commit)
        return Begun(started.run_id, started.new, claim)

    def run_now(self, run: int | Begun) -> RunState:
        """Carry exactly that run on in this thread, until it ends, waits, or queues for a destination.

        If another worker holds it, or it is not due, its state is returned as it is. NotFoundError: no such run.
        """
        run_id, claim = (run.run_id, run.claim) if isinstance(run, Begun) else (run, None)
        if claim is not None:
            self._leases.hold([claim])
        else:
            claim = next(iter(self._leases.claim_these([run_id])), None)
        if claim is not None:
            try:
                move, _ = self._carry(claim)
            finally:
                self._leases.forget([claim])
            if move is not None:
                return RunState(run_id, move.state, move.outcome, move.results_after, move.error)
        with self._database.unit() as uow:
            row = runs.get_run(uow, run_id)
        return RunState(run_id, row["state"], row["outcome"], row["results"], row["error"])

    def run_many(self, run_ids: Sequence[int]) -> None:
        """Carry exactly those runs on in this thread, together where they stand at the same batch step.

        Those that another worker holds, or that are not due, are left to it.
        """
        claims = self._leases.claim_these(run_ids)
        try:
            self._carry_all(claims)
        finally:
            self._leases.forget(claims)

    def sweep(self) -> list[str]:
        """Free the runs of dead workers and end overdue waits; the lanes in which runs are due now."""
        (swept,) = self._database.run("SELECT * FROM flow_sweep(%s, %s)", (SWEEP_SIZE, LOST_LIMIT))
        if swept["leases"]:
            _log.warning("%d runs of lost workers were taken over", swept["leases"])
        due = self._database.run("SELECT * FROM flow_due(%s)", (self.catalogue.known,))
        self._tell_strange(frozenset(name for row in due for name in row["strange"] or ()))
        return [row["lane"] for row in due]

    def drain(self) -> int:
        """Work on every lane until nothing is due; for commands and tests. How many steps were committed."""
        steps = 0
        while lanes := [lane for lane in self.sweep() if lane in self.catalogue.lanes or lane in self.lanes]:
            done = sum(self.work(lane) for lane in lanes)
            if not done:
                break
            steps += done
        return steps

    def _tell_strange(self, strange: frozenset[str]) -> None:
        """Say once that runs wait for a flow, or a version of it, that this process does not have."""
        for name in sorted(strange - self._strange):
            _log.error(
                "runs of %s are due, but this release does not have it; deploy it, or retire it in the flow", name
            )
        self._strange = strange

    def _claim(self, lane: str) -> tuple[list[Claim], bool]:
        """Due runs, and whether there may be more. Those that come later announce themselves."""
        if lane in self.catalogue.lanes:
            claims = self._leases.claim(lane, self._claim_size)
            more = len(claims) == self._claim_size
            if more and (head := self._batches.head(claims)):
                claims += self._leases.claim_batch(head, self._batches.room(head, len(claims)))
            return claims, more
        spec = self.lanes.get(lane)
        if spec is None:
            raise ConfigurationError(f"no flow and no connected system has the lane {lane!r}", code="lane.unknown")
        claims = self._leases.claim_slot(lane, spec)
        return claims, bool(claims)

    def _carry_all(self, claims: list[Claim]) -> int:
        steps = 0
        groups = self._batches.group(claims)
        adopted: list[Claim] = []
        try:
            while groups:
                group = groups.pop(0)
                if self._stopping.is_set():
                    self._leases.give_back([claim for each in (group, *groups) for claim in each])
                    break
                if self._batches.is_batch(group):
                    committed = self._carry_gathered(group, adopted)
                    steps += len(committed)
                    still = [move.claim_after(cancel_requested=cancel) for move, cancel in committed]
                    groups += self._batches.group([claim for claim in still if claim is not None])
                else:
                    (claim,) = group
                    steps += self._carry(claim)[1]
        finally:
            self._leases.forget(adopted)
        return steps

    def _carry_gathered(self, group: list[Claim], adopted: list[Claim]) -> Committed:
        """Do a batch with all who gather for it, who are ``adopted``; nothing if another thread takes these along."""
        self._leases.hold(group)
        if self._batches.hand_over(group):
            return []
        with self._batches.turn(group[0]) as gathered:
            adopted += gathered
            if self._stopping.is_set():
                self._leases.give_back(gathered)
                return []
            return [done for part in self._batches.group(gathered) for done in self._carry_batch(part)]

    def _carry_batch(self, group: list[Claim]) -> Committed:
        first = group[0]
        with metrics.step_seconds(first.flow.name, first.step.name).time():
            committed = self._batches.carry(group)
        for move, _ in committed:
            _count(move)
        return committed

    def _carry(self, begun: Claim) -> tuple[Move | None, int]:
        """Step after step until the run gives its lease up; the last move, and how many were committed."""
        last: Move | None = None
        steps = 0
        claim: Claim | None = begun
        try:
            while claim is not None:
                last, cancel_requested = self._step(claim)
                steps += 1
                claim = last.claim_after(cancel_requested=cancel_requested)
                if claim is not None and self._stopping.is_set():
                    self._leases.give_back([claim])
                    break
        except LostLeaseError as error:
            metrics.LEASES_LOST.inc()
            _log.warning("%s", error)
            last = None
        except TransientError as error:
            _log.warning("run %s is left to the sweeper: %s", begun.run.id, error)
            last = None
        return last, steps

    def _step(self, claim: Claim) -> tuple[Move, bool]:
        run, step = claim.run, claim.step
        name = f"{run.flow}.{step.name}"
        attributes = {
            "yipan.owner": run.owner,
            "yipan.brand": run.brand,
            "yipan.flow": run.flow,
            "yipan.key": run.business_key,
            "yipan.step": step.name,
            "yipan.attempt": run.attempt,
            "yipan.run": run.id,
        }
        with (
            metrics.step_seconds(run.flow, step.name).time(),
            telemetry.span(
                f"{name} undo" if claim.undoing else name, traceparent=run.traceparent, attributes=attributes
            ) as span,
        ):
            move, cancel_requested = self._do(claim)
            telemetry.mark(span, move.step_outcome, move.step_error)
        _count(move)
        return move, cancel_requested

    def _do(self, claim: Claim) -> tuple[Move, bool]:
        step = claim.step
        if claim.cancel_requested and not claim.undoing and not claim.pivoted and not self._outside.pending(claim):
            return self._within(
                claim, lambda uow, at: moves.undo(claim, "cancelled", moves.CANCELLED, at, self._lane_of)
            )
        if claim.undoing:
            return self._take_back(claim)
        if isinstance(step, OutsideStep):
            return self._outside.carry(claim, step, self._lane_of)
        if isinstance(step, BatchStep):
            return self._batches.carry_alone(claim)
        return self._within(claim, lambda uow, at: self._decide(uow, claim, at))

    def _decide(self, uow: UnitOfWork, claim: Claim, started_at: datetime) -> Move:
        match claim.step:
            case LocalStep() as step:
                return moves.after(claim, step.call(claim.run, uow), started_at, self._lane_of)
            case ChildrenStep() as step:
                return children.join(uow, claim, step, started_at, self._lane_of)
            case WaitStep() as step:
                (move,) = waits.listen(uow, [claim], step, started_at, self._lane_of)
                return move
        raise ConfigurationError(f"{claim.flow.name}.{claim.step.name} is of no kind that can be carried out")

    def _take_back(self, claim: Claim) -> tuple[Move, bool]:
        step = claim.step
        if isinstance(step, OutsideStep) and step.undo_outside is not None:
            return self._outside.carry(claim, step.undo_outside, self._lane_of)
        if isinstance(step, ChildrenStep):
            return self._within(claim, lambda uow, at: children.take_back(uow, claim, step, at, self._lane_of))
        return self._within(
            claim,
            lambda uow, at: moves.undone(claim, step.undo(claim.run, uow) if step.undo else None, at, self._lane_of),
        )

    def _within(self, claim: Claim, decide: Callable[[UnitOfWork, datetime], Move]) -> tuple[Move, bool]:
        """One transaction: the step's own work and the move that it leads to; on failure only where that leads."""
        started_at = datetime.now(UTC)
        try:
            with self._database.unit() as uow:
                move = decide(uow, started_at)
                return move, moves.commit(uow, [move], self._lease_s)[claim.run.id]
        except LostLeaseError:
            raise
        except Exception as error:  # noqa: BLE001 - a step may raise anything; the type decides
            move = failures.move_for(claim, claim.step, error, started_at, self._lane_of)
        with self._database.unit() as uow:
            return move, moves.commit(uow, [move], self._lease_s)[claim.run.id]


def _count(move: Move) -> None:
    claim = move.claim
    if move.step_outcome is not None:
        metrics.steps(claim.flow.name, claim.step.name, move.step_outcome).inc()
    if move.state in ("done", "undone", "parked"):
        metrics.RUNS_ENDED.labels(claim.flow.name, move.state).inc()
