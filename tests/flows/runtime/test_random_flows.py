"""Random flows, random faults and random deaths, from a seed: what is left is what a simple model says."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from canonical_model.errors import RejectedError, TransientError
from canonical_model.ports import Record
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import (
    Flow,
    OnReject,
    Run,
    Start,
    Step,
    batch_step,
    children,
    outside,
    step,
    wait_for,
)
from flows.runtime.runner import Runner
from tests.flows.runtime.conftest import BRAND, OWNER, World, note

KINDS = ("local", "batch", "once", "seen", "wait", "children")
QUICK: dict[str, Any] = {"first_wait_s": 0.01, "attempts": 4}
MOST_DEATHS = 8


@dataclass
class Chaos:
    """Who stumbles how often: decided before, used up by the tries."""

    stumbles: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: dict[str, tuple[str, OnReject]] = field(default_factory=dict)

    def strike(self, run: Run, name: str) -> None:
        """Fail this try of that step if it was decided so."""
        left = self.stumbles[run.business_key, name]
        if left > 0:
            self.stumbles[run.business_key, name] -= 1
            raise TransientError("away") if left % 2 else ValueError("bug")


def _child(chaos: Chaos) -> Flow:
    @step(**QUICK)
    def work(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, "work")
        chaos.strike(run, "work")

    return Flow("random.child", 1, (work,))


def _step(kind: str, name: str, chaos: Chaos, undoable: bool) -> Step:
    def undo(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, f"undo {name}")

    def local(run: Run, uow: UnitOfWork) -> str:
        note(run, uow, name)
        chaos.strike(run, name)
        return name

    def batch(runs: Sequence[Run], uow: UnitOfWork) -> list[str]:
        return [local(run, uow) for run in runs]

    def send(run: Run, uow: UnitOfWork) -> Record:
        chaos.strike(run, name)
        return {"key": run.business_key}

    def family(run: Run, uow: UnitOfWork) -> list[Start]:
        return [Start("random.child", OWNER, BRAND, f"{run.business_key}/{name}{n}", {}) for n in range(2)]

    taken_back = undo if undoable else None
    match kind:
        case "local":
            return step(name=name, undo=taken_back, **QUICK)(local)
        case "batch":
            return batch_step(name=name, undo=taken_back, **QUICK)(batch)
        case "wait":
            return wait_for(name, ("go",), 600.0, **QUICK)
        case "children":
            return children(name=name, **QUICK)(family)
    cancel = outside(f"books.{kind}", name=f"{name}_back", **QUICK)(lambda run, uow: {}) if undoable else None
    return outside(f"books.{kind}", name=name, undo_outside=cancel, **QUICK)(send)


def _refuser(chaos: Chaos, name: str, on_reject: OnReject) -> Step:
    @step(name=name, on_reject=on_reject, **QUICK)
    def refuse(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, name)
        if chaos.refusals.get(run.business_key) == (name, on_reject):
            raise RejectedError("no")

    return refuse


@dataclass
class Plan:
    """A flow as the model sees it: (kind, name, undoable) of every step."""

    flow: Flow
    steps: list[tuple[str, str, bool]]

    def expect(self, key: str, refusal: tuple[str, OnReject] | None) -> tuple[str, list[str], list[str]]:
        """State, deeds and documents that a run of this plan leaves."""
        deeds: list[str] = []
        documents: list[str] = []
        for n, (kind, name, _) in enumerate(self.steps):
            if refusal is not None and name == refusal[0]:
                if refusal[1] is OnReject.PARK:
                    return "parked", deeds, sorted(documents)
                for done_kind, done, undoable in reversed(self.steps[:n]):
                    if undoable and done_kind in ("local", "batch"):
                        deeds.append(f"undo {done}")
                    if undoable and done_kind in ("once", "seen"):
                        documents.append(f"/{done_kind}/{self.flow.name}:{key}:{done}:undo")
                return "undone", deeds, sorted(documents)
            if kind in ("local", "batch", "refuse"):
                deeds.append(name)
            if kind in ("once", "seen"):
                documents.append(f"/{kind}/{self.flow.name}:{key}:{name}")
        return "done", deeds, sorted(documents)


def _plan(dice: random.Random, number: str, chaos: Chaos) -> Plan:
    steps: list[tuple[str, str, bool]] = []
    made: list[Step] = []
    for n in range(dice.randint(2, 5)):
        kind, name, undoable = dice.choice(KINDS), f"s{n}", dice.random() < 0.6
        steps.append((kind, name, undoable))
        made.append(_step(kind, name, chaos, undoable))
    for on_reject in (OnReject.UNDO, OnReject.PARK):
        place, name = dice.randint(0, len(made)), f"r_{on_reject}"
        steps.insert(place, ("refuse", name, False))
        made.insert(place, _refuser(chaos, name, on_reject))
    return Plan(Flow(f"random.{number}", 1, tuple(made)), steps)


def _play(world: World, seed: int) -> None:
    dice = random.Random(seed)
    chaos = Chaos()
    plans = [_plan(dice, f"{seed}x{n}", chaos) for n in range(2)]
    flows = [plan.flow for plan in plans] + [_child(chaos)]
    runner = world.runner(*flows, claim_size=dice.choice([1, 3, 8]))
    started: list[tuple[Plan, str]] = []
    faults: list[tuple[str, str, int]] = []
    for plan in plans:
        for n in range(dice.randint(2, 6)):
            key = f"{seed}.{plan.flow.name[-1]}.{n}"
            started.append((plan, key))
            if dice.random() < 0.5:
                name = dice.choice(["r_undo", "r_park"])
                chaos.refusals[key] = (name, OnReject.UNDO if name == "r_undo" else OnReject.PARK)
            for _, name, _ in plan.steps:
                chaos.stumbles[key, name] = dice.choice([0, 0, 0, 1, 2, 3])
            if dice.random() < 0.6:
                faults.append((f":{key}:", dice.choice(["busy", "drop", "cut"]), dice.randint(1, 2)))
    world.destination.arm(*faults)
    for plan, key in started:
        world.start(plan.flow, key)
        waits = sum(kind == "wait" for kind, _, _ in plan.steps)
        for n in range(waits):
            world.signal(plan.flow, key, "go", str(n))
    _survive(world, runner, flows, dice)
    for plan, key in started:
        state, deeds, documents = plan.expect(key, chaos.refusals.get(key))
        found = (world.state(key), world.deeds(key), world.landed(f":{key}:"))
        assert found == (state, deeds, documents), f"seed {seed}, {key}: {plan.steps}, {chaos.refusals.get(key)}"
    doubled = world.look.run("SELECT key FROM deed WHERE what = 'work' GROUP BY key HAVING count(*) > 1")
    assert doubled == [], f"seed {seed}"


def _survive(world: World, runner: Runner, flows: list[Flow], dice: random.Random) -> None:
    """Carry everything to its end, with a new worker whenever the one before dies after some commit."""
    deaths = 0

    def maybe_die() -> None:
        mine = threading.current_thread() is threading.main_thread()
        if mine and deaths < MOST_DEATHS and dice.random() < 0.04:
            raise KeyboardInterrupt

    world.database.on_commit = maybe_die
    while True:
        try:
            world.finish(runner, rounds=60)
            break
        except KeyboardInterrupt:
            deaths += 1
            runner = world.runner(*flows)
            world.look.run("UPDATE flow_run SET lease_until = clock_timestamp() WHERE state = 'running'")
            world.look.run("UPDATE effect SET intended_at = intended_at - interval '1 minute'")
    world.database.on_commit = None


def test_some_random_worlds_end_as_the_model_says(world: World) -> None:
    for seed in range(8):
        _play(world, seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_random_worlds_end_as_the_model_says(world: World) -> None:
    for seed in range(1000, 1200):
        _play(world, seed)
