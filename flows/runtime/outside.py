"""An outside step: two transactions around a call, and a ledger that knows what is not known.

1. *intended*: the body is built (or read back, if a try went before) and the effect noted.
2. The call, with no transaction open.
3. *confirmed*, *refused*, *failed* (certainly not landed) or *in doubt*, together with where the run goes on.

An effect that is found *intended* means that a worker died between 1 and 3: that is a doubt like a timeout. A doubt
is settled as the writer declares: ``native_key`` sends again under the same key, ``read_back`` looks first, ``none``
asks a person.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import psycopg
from opentelemetry.trace import SpanKind

from canonical_model.errors import (
    ConfigurationError,
    HubError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import Idempotency, Receipt, Record, WriterSpec
from flows.runtime import failures, metrics, moves, telemetry
from flows.runtime.database import Database, Row, UnitOfWork
from flows.runtime.flow import OutsideStep, Run, Step
from flows.runtime.leases import STRUGGLING, Claim, LostLeaseError
from flows.runtime.moves import LaneOf, Move

BLOCK_MAX_S: Final = 60.0
LATEST_LANDING: Final = 2.0  # a write that was given up after one timeout may land within another
UNDO_SUFFIX: Final = ":undo"

_log = logging.getLogger(__name__)

_KNOWN: Final = """
WITH rounds AS (
    SELECT count(DISTINCT again) AS n FROM (
        SELECT (SELECT min(g.id) FROM flow_step g
                 WHERE g.run_id = s.run_id AND g.id > s.id AND g.outcome = 'goto'
                   AND g.result -> 'value' ->> 'goto' = ANY (%(until)s)) AS again
          FROM flow_step s
         WHERE s.run_id = %(run)s AND s.step = %(step)s AND s.direction = 'forward' AND s.outcome = 'done') AS done),
named AS (SELECT %(key)s::text || CASE WHEN n > 0 THEN '#' || n + 1 ELSE '' END AS key FROM rounds)
SELECT named.key, e.id, e.system, e.writer, e.state, e.body, e.body_key_id, e.outside_id, e.answer,
       e.state = 'in_doubt' AND e.error ? 'over' AS over,
       extract(epoch FROM clock_timestamp() - e.intended_at)::float AS age_s
  FROM named LEFT JOIN effect e ON e.run_id = %(run)s AND e.key = named.key
"""
_FORWARD: Final = """
SELECT e.key || ':undo' AS key, u.id, u.system, u.writer, u.state, u.body, u.body_key_id, u.outside_id, u.answer,
       u.state = 'in_doubt' AND u.error ? 'over' AS over,
       extract(epoch FROM clock_timestamp() - u.intended_at)::float AS age_s
  FROM effect e LEFT JOIN effect u ON u.run_id = e.run_id AND u.key = e.key || ':undo'
 WHERE e.run_id = %(run)s AND e.step = %(step)s AND e.state = 'confirmed'
 ORDER BY e.id DESC LIMIT 1
"""


class Destination(Protocol):
    """What an outside step needs of a writer; ``flows.runtime.writers.BoundWriter`` is one."""

    @property
    def spec(self) -> WriterSpec: ...
    @property
    def system(self) -> str: ...
    @property
    def lane(self) -> str: ...

    def write(self, key: str, body: Record) -> Receipt: ...

    def find(self, key: str) -> Receipt | None: ...


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that is noted and may be sent. ``doubtful``: an earlier try may have landed. ``receipt``: it did."""

    effect_id: int
    key: str
    writer: Destination
    body: Record
    doubtful: bool
    receipt: Receipt | None = None

    @property
    def idempotency(self) -> Idempotency:
        """What may be done about a doubt."""
        return self.writer.spec.idempotency

    def call(self) -> Receipt:
        """Ask the destination; after a doubt, first whether it already has it, if it can say."""
        if self.doubtful and self.idempotency is Idempotency.READ_BACK and (landed := self._find()):
            return landed
        return self.writer.write(self.key, self.body)

    def _find(self) -> Receipt | None:
        try:
            return self.writer.find(self.key)
        except RejectedError as error:
            raise ConfigurationError(
                f"{self.writer.system} does not say whether {self.key} landed ({error.detail});"
                " look there, then settle the effect",
                code="effect.in_doubt",
            ) from error


class _WrongLane(Exception):  # noqa: N818 - not an error: the run only queues elsewhere
    def __init__(self, lane: str) -> None:
        self.lane = lane


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What a failed call tells: of the effect, of the destination's health, and where the run goes."""

    state: str
    verdict: str | None
    move: Move


class Outside:
    """Does outside steps, and takes them back."""

    def __init__(self, database: Database, writers: Callable[[str], Destination], lease_s: float) -> None:
        self._database = database
        self._writers = writers
        self._lease_s = lease_s

    def writer(self, name: str) -> Destination:
        """The writer of that name. ConfigurationError if the estate has none."""
        try:
            return self._writers(name)
        except NotFoundError as error:
            raise ConfigurationError(error.detail, code="writer.unknown", writer=name) from error

    def lane_of(self, step: Step, undoing: bool) -> str | None:
        """The lane of the step's writer, if it is known before the run gets there."""
        act = step.undo_outside if undoing and isinstance(step, OutsideStep) else step
        if not isinstance(act, OutsideStep) or not isinstance(act.writer, str):
            return None
        try:
            return self.writer(act.writer).lane
        except ConfigurationError:
            return None

    def carry(self, claim: Claim, act: OutsideStep, lane_of: LaneOf) -> tuple[Move, bool]:
        """Do ``act`` for the run; the committed move, and whether someone asks the run to stop.

        ``act`` is the claim's step, or its ``undo_outside``. LostLeaseError as ``moves.commit``.
        """
        started_at = datetime.now(UTC)
        try:
            intent = self._intend(claim, act)
        except _WrongLane as wrong:
            return self._commit(moves.hop(claim, wrong.lane))
        except LostLeaseError:
            raise
        except Exception as error:  # noqa: BLE001 - a step may raise anything; the type decides
            return self._commit(failures.move_for(claim, act, error, started_at, lane_of))
        if intent is None:
            return self._commit(_on(claim, None, started_at, lane_of))
        try:
            receipt = intent.receipt or self._call(claim, intent)
        except Exception as error:  # noqa: BLE001 - so may a connector
            return self._unanswered(claim, act, intent, error, started_at, lane_of)
        return self._answered(claim, act, intent, receipt, started_at, lane_of)

    def pending(self, claim: Claim) -> bool:
        """Whether the present step has written, or may have, without being done: it must be finished either way."""
        if not isinstance(claim.step, OutsideStep) or claim.step.name in claim.run.results:
            return False
        with self._database.unit() as uow:
            known = _known(uow, claim)
        return known is not None and known["state"] in ("intended", "in_doubt", "confirmed")

    def _intend(self, claim: Claim, act: OutsideStep) -> Intent | None:
        with self._database.unit() as uow:
            known = _known(uow, claim)
            if known is None:
                return None
            doubtful = known["state"] in ("intended", "in_doubt")
            name = f"{known['system']}.{known['writer']}" if doubtful else _name(act, claim.run, uow)
            if name is None:
                return None
            writer = self.writer(name)
            if writer.lane != claim.lane:
                raise _WrongLane(writer.lane)
            if known["state"] == "confirmed":
                receipt = Receipt(known["outside_id"], (known["answer"] or {}).get("detail", {}))
                return Intent(known["id"], known["key"], writer, {}, doubtful=False, receipt=receipt)
            if doubtful:
                _may_be_asked(writer, known)
            body = _body(uow, claim, act, known)
            noted = self._note(uow, claim, writer, known["key"], body)
            return Intent(noted, known["key"], writer, orjson.loads(body.plain), doubtful=doubtful)

    def _note(self, uow: UnitOfWork, claim: Claim, writer: Destination, key: str, body: "Body") -> int:
        suffix = UNDO_SUFFIX if claim.undoing else ""
        try:
            (row,) = uow.commit_with(
                "SELECT effect_intend(%s, %s, %s, %s, %s, %s, %s, %s, %s) AS id",
                (
                    claim.run.id,
                    claim.fence,
                    f"{claim.step.name}{suffix}",
                    writer.system,
                    writer.spec.name,
                    key,
                    body.stored,
                    body.key_id,
                    telemetry.current_traceparent(),
                ),
            )
        except psycopg.Error as error:
            raise LostLeaseError.read(error) or error from error
        return int(row["id"])

    def _call(self, claim: Claim, intent: Intent) -> Receipt:
        with telemetry.span(
            f"{intent.writer.system}.{intent.writer.spec.name}",
            kind=SpanKind.CLIENT,
            attributes={"yipan.effect_key": intent.key, "yipan.doubtful": intent.doubtful},
        ):
            return intent.call()

    def _answered(
        self, claim: Claim, act: OutsideStep, intent: Intent, receipt: Receipt, started_at: datetime, lane_of: LaneOf
    ) -> tuple[Move, bool]:
        verdict = None if intent.receipt else "well"
        try:
            with self._database.unit() as uow:
                move = _on(claim, _result(act, claim.run, uow, receipt), started_at, lane_of)
                return self._settle(uow, intent, "confirmed", verdict, move, receipt=receipt)
        except LostLeaseError:
            raise
        except Exception as error:  # noqa: BLE001 - the write landed whatever the step makes of it
            if isinstance(error, RejectedError):
                move = moves.park(claim, failures.describe(error), started_at)
            else:
                move = failures.move_for(claim, act, error, started_at, lane_of)
        with self._database.unit() as uow:
            return self._settle(uow, intent, "confirmed", verdict, move, receipt=receipt)

    def _unanswered(
        self, claim: Claim, act: OutsideStep, intent: Intent, error: Exception, started_at: datetime, lane_of: LaneOf
    ) -> tuple[Move, bool]:
        told = _judge(claim, act, intent, error, started_at, lane_of)
        with self._database.unit() as uow:
            return self._settle(uow, intent, told.state, told.verdict, told.move, error=error)

    def _settle(
        self,
        uow: UnitOfWork,
        intent: Intent,
        state: str,
        verdict: str | None,
        move: Move,
        *,
        receipt: Receipt | None = None,
        error: Exception | None = None,
    ) -> tuple[Move, bool]:
        writer = intent.writer
        try:
            (row,) = uow.commit_with(
                "SELECT * FROM effect_settle(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    intent.effect_id,
                    state,
                    receipt.outside_id if receipt else None,
                    moves.dumps({"detail": receipt.detail}) if receipt else None,
                    orjson.dumps(_known_error(intent, error)).decode() if error else None,
                    writer.lane,
                    verdict,
                    STRUGGLING,
                    min(failures.wish_s(error) or 0.0, failures.MAX_AFTER_S) if error else 0.0,
                    BLOCK_MAX_S,
                    moves.dumps(move.row()),
                    self._lease_s,
                ),
            )
        except psycopg.Error as failure:
            raise LostLeaseError.read(failure) or failure from failure
        metrics.EFFECTS.labels(writer.system, writer.spec.name, state).inc()
        _tell(writer.lane, row["failures_before"], row["failures_after"], error)
        return move, row["must_cancel"]

    def _commit(self, move: Move) -> tuple[Move, bool]:
        with self._database.unit() as uow:
            return move, moves.commit(uow, [move], self._lease_s)[move.claim.run.id]


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and how the ledger keeps it."""

    plain: bytes
    stored: bytes
    key_id: int | None


def _body(uow: UnitOfWork, claim: Claim, act: OutsideStep, known: Row) -> Body:
    """The body of the first try, as long as it may have landed or was never refused; else a new one."""
    if known["state"] in ("intended", "in_doubt", "failed"):
        return Body(_open(uow, known), known["body"], known["body_key_id"])
    plain = orjson.dumps(act.call(claim.run, uow), option=orjson.OPT_SORT_KEYS)
    if not uow.has_services:
        return Body(plain, plain, None)
    vault = uow.services.vault
    key_id = act.data_key(claim.run, uow) if act.data_key else None
    if key_id is not None:
        return Body(plain, vault.seal_under(uow.connection, key_id, plain), key_id)
    sealed = vault.seal(uow.connection, plain)
    return Body(plain, sealed.content, sealed.key_id)


def _open(uow: UnitOfWork, known: Row) -> bytes:
    if known["body_key_id"] is None:
        return bytes(known["body"])
    try:
        return uow.services.vault.open(uow.connection, known["body_key_id"], known["body"])
    except NotFoundError as error:
        raise ConfigurationError(
            f"the body of {known['key']} was erased with its person; settle the effect or cancel the run",
            code="effect.erased",
        ) from error


def _may_be_asked(writer: Destination, known: Row) -> None:
    """Before a doubt is settled: can the destination be asked at all, and may the write still be on its way?"""
    match writer.spec.idempotency:
        case Idempotency.NONE:
            raise ConfigurationError(
                f"{writer.system} may have {known['key']} already and cannot be asked;"
                " look there, then settle the effect",
                code="effect.in_doubt",
            )
        case Idempotency.READ_BACK:
            rest_s = LATEST_LANDING * writer.spec.timeout_s - known["age_s"]
            if rest_s > 0 and not known["over"]:
                raise TransientError(
                    f"{known['key']} may still be on its way to {writer.system}",
                    code="effect.under_way",
                    after_s=rest_s,
                )


def _known(uow: UnitOfWork, claim: Claim) -> Row | None:
    """The key of this write, and the effect under it if there is one; None when there is nothing to take back."""
    names = [step.name for step in claim.flow.steps[: claim.position + 1]]
    run = claim.run
    return uow.execute(
        _FORWARD if claim.undoing else _KNOWN,
        {
            "run": run.id,
            "step": claim.step.name,
            "until": names,
            "key": f"{run.flow}:{run.business_key}:{claim.step.name}",
        },
    ).fetchone()


def _name(act: OutsideStep, run: Run, uow: UnitOfWork) -> str | None:
    return act.writer if isinstance(act.writer, str) else act.writer(run, uow)


def _result(act: OutsideStep, run: Run, uow: UnitOfWork, receipt: Receipt) -> Any:
    if act.answered is None:
        return {"outside_id": receipt.outside_id, "detail": dict(receipt.detail)}
    result = act.answered(run, uow, receipt)
    return {} if result is None else result


def _on(claim: Claim, result: Any, started_at: datetime, lane_of: LaneOf) -> Move:
    if claim.undoing:
        return moves.undone(claim, result, started_at, lane_of)
    return moves.after(claim, result, started_at, lane_of)


def _judge(
    claim: Claim, act: OutsideStep, intent: Intent, error: Exception, started_at: datetime, lane_of: LaneOf
) -> Unanswered:
    not_landed = "in_doubt" if intent.doubtful else "failed"
    move = failures.move_for(claim, act, error, started_at, lane_of)
    match error:
        case TransientError():
            return Unanswered(not_landed, "away", move)
        case RejectedError():
            return Unanswered("refused", "well", move)
        case ConfigurationError():
            return Unanswered(not_landed, None, move)
    verdict = "away" if isinstance(error, UncertainError) else None
    if intent.idempotency is Idempotency.NONE:
        parked = failures.describe(error) | {
            "code": "effect.in_doubt",
            "detail": f"{intent.writer.system} may have {intent.key} ({error}); look there, then settle the effect",
        }
        return Unanswered("in_doubt", verdict, moves.park(claim, parked, started_at))
    over = isinstance(error, UncertainError) and error.context.get("over", False)
    if not over and intent.idempotency is Idempotency.READ_BACK and move.state == "ready":
        move = replace(move, wake_in_s=max(move.wake_in_s or 0.0, intent.writer.spec.timeout_s))
    return Unanswered("in_doubt", verdict, move)


def _known_error(intent: Intent, error: Exception) -> dict[str, Any]:
    """The error as the ledger keeps it. A doubt is asked about only when nothing is on its way any more; if this try
    sent nothing either, that still holds."""
    nothing_sent = intent.doubtful and isinstance(error, TransientError)
    return failures.describe(error) | ({"over": True} if nothing_sent else {})


def _tell(lane: str, before: int, after: int, error: Exception | None) -> None:
    """One line when a lane begins to struggle, and one when it is well again."""
    metrics.LANE_FAILURES.labels(lane).set(after)
    if before < STRUGGLING <= after:
        code = error.code if isinstance(error, HubError) else type(error).__name__
        _log.error(
            "lane %s is blocked after %d failures in a row (%s); it is probed until it answers", lane, after, code
        )
    elif after < STRUGGLING <= before:
        _log.warning("lane %s answers again after %d failures", lane, before)
