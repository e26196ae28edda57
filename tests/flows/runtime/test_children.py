"""Children and their join: the last one to end wakes the parent, whoever is last."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from canonical_model.errors import RejectedError
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, OnReject, Run, Start, children, step, wait_for
from tests.flows.runtime.conftest import BRAND, OWNER, World, note


def _undo_child(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "undo hold")


@step(undo=_undo_child)
def hold(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "hold")


@step()
def end(run: Run, uow: UnitOfWork) -> Finish:
    return Finish(f"ended {run.business_key}", {"parent": run.parent_id})


CHILD = Flow("test.child", 1, (hold, end))
WAITING_CHILD = Flow("test.waiting_child", 1, (hold, wait_for("word", ("go",), 3600), end))
PIVOTED_CHILD = Flow(
    "test.pivoted_child",
    1,
    (step(name="pivot", pivot=True)(lambda run, uow: 1), wait_for("word", ("go",), 3600), end),
)


def _starts(run: Run, flow: str) -> list[Start]:
    keys = run.input.get("keys", ["x", "y", "z"])
    return [Start(flow, OWNER, BRAND, f"{run.business_key}/{key}", {}) for key in keys]


def _parent(child: Flow, *more: Any, **options: Any) -> Flow:
    @children(**options)
    def family(run: Run, uow: UnitOfWork) -> Sequence[Start]:
        return _starts(run, child.name)

    return Flow("test.parent", 1, (family, *more))


@pytest.mark.every_postgres
def test_the_parent_goes_on_when_all_children_have_ended(world: World) -> None:
    parent = _parent(CHILD)
    runner = world.runner(parent, CHILD)
    (parent_id,) = world.start(parent, "p")
    world.finish(runner)
    assert world.run("p")["results"]["family"] == [
        {
            "key": f"p/{key}",
            "flow": "test.child",
            "outcome": f"ended p/{key}",
            "state": "done",
            "results": {"hold": None, "end": {"parent": parent_id}},
        }
        for key in ("x", "y", "z")
    ]


def test_no_children_are_joined_at_once(world: World) -> None:
    parent = _parent(CHILD)
    runner = world.runner(parent, CHILD)
    world.start(parent, "p", input={"keys": []})
    world.finish(runner)
    assert world.run("p")["results"] == {"family": []}


def test_the_parent_waits_for_the_slowest_child(world: World) -> None:
    parent = _parent(WAITING_CHILD)
    runner = world.runner(parent, WAITING_CHILD)
    world.start(parent, "p")
    for key in ("x", "y", "z"):
        world.finish(runner)
        assert world.state("p") == "waiting"
        world.signal(WAITING_CHILD, f"p/{key}", "go")
    world.finish(runner)
    assert world.state("p") == "done"


def test_children_that_end_together_wake_the_parent_once(world: World) -> None:
    parent = _parent(CHILD)
    runner = world.runner(parent, CHILD, claim_size=1)
    keys = [str(n) for n in range(15)]
    world.start(parent, *keys)
    threads = [threading.Thread(target=world.finish, args=(runner,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    world.finish(runner)
    assert {world.state(key) for key in keys} == {"done"}
    assert all(world.history(key) == [("family", "started"), ("family", "done")] for key in keys)


def test_a_child_that_had_ended_before_counts(world: World) -> None:
    parent = _parent(CHILD)
    runner = world.runner(parent, CHILD)
    (parent_id,) = world.start(parent, "p")
    world.finish(runner)
    world.look.run("UPDATE flow_run SET state = 'parked' WHERE business_key = 'p'")
    with world.database.unit() as uow:
        runs.retry(uow, parent_id, step="family")
        uow.commit()
    world.finish(runner)
    assert world.state("p") == "done"
    assert world.deeds("p/x") == ["hold"]


def test_a_run_of_someone_else_is_no_child(world: World) -> None:
    parent = _parent(CHILD)
    runner = world.runner(parent, CHILD)
    world.start(CHILD, "p/y")
    world.start(parent, "p")
    world.finish(runner)
    assert (world.state("p"), world.run("p")["error"]["code"]) == ("parked", "child.taken")


def test_the_parent_may_choose_again_when_a_child_was_refused(world: World) -> None:
    @step(on_reject=OnReject.RESOURCE)
    def ask(run: Run, uow: UnitOfWork) -> None:
        if run.business_key.endswith("1"):
            raise RejectedError("no", code="place.closed")

    child = Flow("test.asking", 1, (hold, ask, end))

    @children()
    def family(run: Run, uow: UnitOfWork) -> Sequence[Start]:
        return [Start(child.name, OWNER, BRAND, f"p/{run.results.get('settle', {}).get('round', 1)}", {})]

    @step()
    def settle(run: Run, uow: UnitOfWork) -> Any:
        (ended,) = run.results["family"]
        return Goto("family", {"round": 2}) if ended["outcome"] == "refused" else {"settled": ended["key"]}

    parent = Flow("test.choosing", 1, (family, settle))
    runner = world.runner(parent, child)
    world.start(parent, "p")
    world.finish(runner)
    assert world.run("p")["results"]["settle"] == {"settled": "p/2"}
    assert world.run("p/1")["results"]["error"]["code"] == "place.closed"
    assert world.deeds("p/1") == ["hold", "undo hold"]


def test_cancelling_the_parent_takes_its_children_back_first(world: World) -> None:
    def undo(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, "undo family " + ",".join(each["state"] for each in run.results["family"]))

    parent = _parent(WAITING_CHILD, undo=undo)
    runner = world.runner(parent, WAITING_CHILD)
    (parent_id,) = world.start(parent, "p")
    world.finish(runner)
    with world.database.unit() as uow:
        runs.cancel(uow, parent_id)
        uow.commit()
    world.finish(runner)
    assert (world.state("p"), world.run("p")["outcome"]) == ("undone", "cancelled")
    assert [world.state(f"p/{key}") for key in ("x", "y", "z")] == ["undone"] * 3
    assert world.deeds("p") == ["undo family undone,undone,undone"]


def test_a_child_past_its_pivot_goes_on_and_the_parent_waits_for_it(world: World) -> None:
    parent = _parent(PIVOTED_CHILD)
    runner = world.runner(parent, PIVOTED_CHILD)
    (parent_id,) = world.start(parent, "p", input={"keys": ["x"]})
    world.finish(runner)
    with world.database.unit() as uow:
        runs.cancel(uow, parent_id)
        uow.commit()
    world.finish(runner)
    assert (world.state("p"), world.state("p/x")) == ("waiting", "waiting")
    world.signal(PIVOTED_CHILD, "p/x", "go")
    world.finish(runner)
    assert (world.state("p"), world.state("p/x")) == ("undone", "done")
