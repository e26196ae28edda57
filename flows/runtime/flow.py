"""How a flow is written down: a named tuple of steps with a business key.

    FULFIL_ORDER = Flow("one_stock.fulfil_order", version=1, steps=(reserve, dispatch, settle, tell_channel))

A *local* step gets the run and a unit of work; what it returns (JSON) is stored under its name in
``run.results`` and commits together with the run's next position. A *batch* step gets many runs of one flow
at once. An *outside* step builds what to send from a read-only unit of work; the runner records the effect,
calls the writer with no transaction open, and hands the receipt to ``answered``. ``children`` starts runs and
joins them; ``wait_for`` waits for a signal or a time. Instead of a result a local step may return a directive:
``Goto``, ``Finish``, ``Park`` or ``Undo``; it commits together with what the step wrote.

A run that is undone takes back, last first, the steps whose results it has: local steps by ``undo``, outside steps by
``undo_outside``. It first asks live children to stop and waits until all have ended; one that is past its own pivot
goes on to its end. Why it was undone stands in ``results["error"]``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from canonical_model.ports import Receipt, Record
from flows.runtime.database import UnitOfWork

LOCAL_LANE: Final = "local"
ERROR: Final = "error"

Json = Any
Undo_ = Callable[["Run", UnitOfWork], Json]


class OnReject(StrEnum):
    """What a refusal means: reverse what was done, ask a person, or let the parent choose another resource."""

    UNDO = "undo"
    PARK = "park"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class Run:
    """What a step may know of its run. ``results`` maps step names to what they returned."""

    id: int
    owner: str
    brand: str
    flow: str
    version: int
    business_key: str
    input: Mapping[str, Any]
    results: Mapping[str, Any]
    attempt: int
    parent_id: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """A run to start. The same (owner, brand, flow, key) starts once; a second start finds the first.

    ``order_key``: runs of one flow with the same order key go strictly one after another, in the order in which they
    were started. A run that waits or is parked holds up those behind it until it has ended.
    """

    flow: str
    owner: str
    brand: str
    key: str
    input: Mapping[str, Any]
    order_key: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Goto:
    """Go to an earlier step; the results of that step and all after it are forgotten, ``result`` is kept
    under the name of the step that returned this. What was done stays done; an outside step that is done again
    writes under a new key (``#2``, ``#3``)."""

    step: str
    result: Json = None


@dataclass(frozen=True, slots=True)
class Finish:
    """End the run now, as done, with this outcome word."""

    outcome: str
    result: Json = None


@dataclass(frozen=True, slots=True)
class Park:
    """Stop and ask a person; ``detail`` says what they can do."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Reverse every step done so far, last first; the run ends as undone with this outcome word."""

    outcome: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every kind of step declares. ``attempts`` tries for unknown errors; transient ones wait longer each
    time (``first_wait_s`` doubling to ``max_wait_s``) without an end, so that a long outage parks nothing."""

    name: str
    undo: Undo_ | None = None
    attempts: int = 5
    first_wait_s: float = 1.0
    max_wait_s: float = 300.0
    on_reject: OnReject = OnReject.PARK
    pivot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStep(Step):
    """``call`` works inside one transaction; what it returns commits together with the run's next position."""

    call: Callable[[Run, UnitOfWork], Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStep(Step):
    """``call`` returns one result per run, in order; a Park in its place parks only that run.

    ``together``: a field of the run's input. Only runs with the same word in it are done together, and a run without
    one is done alone.
    """

    call: Callable[[Sequence[Run], UnitOfWork], Sequence[Json]]
    size: int = 500
    together: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideStep(Step):
    """``writer`` is ``system.writer``, or a function of the run that names it (None skips the step).

    ``undo_outside``, if any, is an outside step that takes this one back; it runs when the run is undone.
    ``data_key`` names the data key under which the ledger seals the body, so that it is erased together with the
    person it is about; without it each body gets a key of its own.
    """

    writer: str | Callable[[Run, UnitOfWork], str | None]
    call: Callable[[Run, UnitOfWork], Record]
    answered: Callable[[Run, UnitOfWork, Receipt], Json] | None = None
    undo_outside: "OutsideStep | None" = None
    data_key: Callable[[Run, UnitOfWork], int | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildrenStep(Step):
    """``call`` names the children. The step's result, once all have ended, is a list of
    ``{"key", "flow", "outcome", "state", "results"}`` in that order."""

    call: Callable[[Run, UnitOfWork], Sequence[Start]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep(Step):
    """Waits for the first of ``signals`` or for ``timeout_s``, if above 0. The result is ``{"signal", "payload"}``.

    On timeout: ``on_timeout`` is OnReject.PARK to ask a person, or None to go on with ``{"signal": None}``. Both may
    depend on the run.
    """

    signals: tuple[str, ...]
    timeout_s: float | Callable[[Run], float]
    on_timeout: OnReject | Callable[[Run], OnReject | None] | None = OnReject.PARK


def step(**options: Any) -> Callable[[Callable[[Run, UnitOfWork], Json]], LocalStep]:
    """Declare a local step; options are those of Step. The function's name is the step's name."""
    return lambda call: LocalStep(call=call, **{"name": call.__name__, **options})


def batch_step(**options: Any) -> Callable[[Callable[[Sequence[Run], UnitOfWork], Sequence[Json]]], BatchStep]:
    """Declare a batch step; options are those of Step, ``size`` and ``together``."""
    return lambda call: BatchStep(call=call, **{"name": call.__name__, **options})


def outside(
    writer: str | Callable[[Run, UnitOfWork], str | None], **options: Any
) -> Callable[[Callable[[Run, UnitOfWork], Record]], OutsideStep]:
    """Declare an outside step that sends what the function builds to ``writer``."""
    return lambda call: OutsideStep(writer=writer, call=call, **{"name": call.__name__, **options})


def children(**options: Any) -> Callable[[Callable[[Run, UnitOfWork], Sequence[Start]]], ChildrenStep]:
    """Declare a step that starts child runs and joins them."""
    return lambda call: ChildrenStep(call=call, **{"name": call.__name__, **options})


def wait_for(
    name: str, signals: tuple[str, ...], timeout_s: float | Callable[[Run], float], **options: Any
) -> WaitStep:
    """Declare a step that waits for a signal or a time."""
    return WaitStep(name=name, signals=signals, timeout_s=timeout_s, **options)


@dataclass(frozen=True, slots=True)
class Flow:
    """A named list of steps. A run keeps the ``version`` it started with; ``lane`` is where its local steps queue."""

    name: str
    version: int
    steps: tuple[Step, ...]
    lane: str = LOCAL_LANE
    retired: tuple["Flow", ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        names = [s.name for s in self.steps]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"flow {self.name} needs steps, each with a name of its own: {names}")
        if ERROR in names:
            raise ValueError(f"flow {self.name} has a step {ERROR!r}; that is where an undone run keeps its reason")

    def position(self, step: str) -> int:
        """Index of the step of that name; ValueError if there is none."""
        return next(i for i, s in enumerate(self.steps) if s.name == step)
