"""Runs with one order key go strictly one after another; others are not held up."""

import threading

import pytest

from canonical_model.errors import ConfigurationError
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Park, Run, step
from tests.flows.runtime.conftest import World, note


@step()
def first(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "first")


@step()
def second(run: Run, uow: UnitOfWork) -> Park | None:
    if run.input.get("park") and "park" not in run.results:
        return Park("asked", "say yes")
    note(run, uow, "second")
    return None


FLOW = Flow("test.ordered", 1, (first, second))


def _order_of_work(world: World) -> list[str]:
    return [row["key"] for row in world.database.run("SELECT key FROM deed ORDER BY id")]


@pytest.mark.every_postgres
def test_runs_of_one_order_key_never_overlap_and_keep_their_order(world: World) -> None:
    runner = world.runner(FLOW)
    world.start(FLOW, *"abcd", order_key="shelf 1")
    world.start(FLOW, *"ef", order_key="shelf 1")
    threads = [threading.Thread(target=world.finish, args=(runner,)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    world.finish(runner)
    assert _order_of_work(world) == [key for key in "abcdef" for _ in range(2)]


def test_another_order_key_is_not_held_up(world: World) -> None:
    runner = world.runner(FLOW)
    world.start(FLOW, "stuck", input={"park": True}, order_key="shelf 1")
    world.start(FLOW, "behind", order_key="shelf 1")
    world.start(FLOW, "free", order_key="shelf 2")
    world.start(FLOW, "loose")
    world.finish(runner)
    assert [world.state(key) for key in ("stuck", "behind", "free", "loose")] == ["parked", "waiting", "done", "done"]


def test_a_parked_run_holds_up_those_behind_it_until_it_ends(world: World) -> None:
    runner = world.runner(FLOW)
    (stuck,) = world.start(FLOW, "stuck", input={"park": True}, order_key="shelf 1")
    world.start(FLOW, "behind", order_key="shelf 1")
    world.finish(runner)
    with world.database.unit() as uow:
        runs.cancel(uow, stuck)
        uow.commit()
    world.finish(runner)
    assert (world.state("stuck"), world.state("behind")) == ("undone", "done")


def test_a_doubled_start_does_not_hold_up_the_next(world: World) -> None:
    runner = world.runner(FLOW)
    world.start(FLOW, "a", order_key="shelf 1")
    world.finish(runner)
    world.start(FLOW, "a", "b", order_key="shelf 1")
    world.finish(runner)
    assert world.state("b") == "done"


def test_starts_from_many_threads_leave_nobody_waiting_for_ever(world: World) -> None:
    runner = world.runner(FLOW)
    ids: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: ids.extend(world.start(FLOW, f"{n}", order_key="shelf 1")))
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
        runner.drain()
    world.finish(runner)
    done = [
        row["id"]
        for row in world.database.run(
            "SELECT r.id FROM deed d JOIN flow_run r ON r.business_key = d.key WHERE d.what = 'second' ORDER BY d.id"
        )
    ]
    assert done == sorted(ids)


def test_an_order_key_belongs_to_one_flow(world: World) -> None:
    other = Flow("test.unordered", 1, (first,))
    runner = world.runner(FLOW, other)
    world.start(FLOW, "stuck", input={"park": True}, order_key="shelf 1")
    world.start(other, "elsewhere", order_key="shelf 1")
    world.finish(runner)
    assert world.state("elsewhere") == "done"
    with pytest.raises(ConfigurationError):
        world.start("test.none", "x", order_key="shelf 1")
