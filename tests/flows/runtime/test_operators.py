"""What a person may do with a run: let it go on, from where they choose; stop it; and what they may not."""

import pytest

from canonical_model.errors import ConflictError, NotFoundError
from canonical_model.ports import Record
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Park, Run, outside, step, wait_for
from tests.flows.runtime.conftest import World, note


def _unprepare(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "undo prepare")


@step(undo=_unprepare)
def prepare(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "prepare")


@step()
def ask(run: Run, uow: UnitOfWork) -> Park | None:
    note(run, uow, "ask")
    parked = uow.execute("SELECT count(*) AS n FROM deed WHERE what = 'ask'").fetchone()
    return Park("asked", "say yes") if parked and parked["n"] == 1 else None


@outside("books.blind")
def send(run: Run, uow: UnitOfWork) -> Record:
    return {}


FLOW = Flow("test.asking", 1, (prepare, ask))
WAITING = Flow("test.waiting", 1, (prepare, wait_for("word", ("yes",), 3600)))
SENDING = Flow("test.sending", 1, (prepare, send))


def _retry(world: World, run_id: int, at: str | None = None) -> None:
    with world.database.unit() as uow:
        runs.retry(uow, run_id, at)
        uow.commit()


def _cancel(world: World, run_id: int) -> None:
    with world.database.unit() as uow:
        runs.cancel(uow, run_id)
        uow.commit()


def test_a_parked_run_goes_on_where_it_stopped(world: World) -> None:
    runner = world.runner(FLOW)
    (run_id,) = world.start(FLOW, "k")
    world.finish(runner)
    _retry(world, run_id)
    world.finish(runner)
    assert (world.state("k"), world.deeds("k")) == ("done", ["prepare", "ask", "ask"])


def test_or_from_an_earlier_step(world: World) -> None:
    runner = world.runner(FLOW)
    (run_id,) = world.start(FLOW, "k")
    world.finish(runner)
    _retry(world, run_id, "prepare")
    world.finish(runner)
    assert (world.state("k"), world.deeds("k")) == ("done", ["prepare", "ask", "prepare", "ask"])


def test_but_not_from_a_step_it_has_not_reached(world: World) -> None:
    runner = world.runner(FLOW)
    (run_id,) = world.start(FLOW, "k")
    world.finish(runner)
    with pytest.raises(NotFoundError, match="no_such"):
        _retry(world, run_id, "no_such")


def test_only_a_parked_run_is_retried(world: World) -> None:
    world.runner(FLOW)
    (run_id,) = world.start(FLOW, "k")
    with pytest.raises(ConflictError, match="ready"):
        _retry(world, run_id)
    with pytest.raises(NotFoundError):
        _retry(world, 404)


def test_a_cancelled_run_takes_back_what_it_did(world: World) -> None:
    runner = world.runner(WAITING)
    (run_id,) = world.start(WAITING, "k")
    world.finish(runner)
    _cancel(world, run_id)
    world.finish(runner)
    assert (world.state("k"), world.run("k")["outcome"]) == ("undone", "cancelled")
    assert world.deeds("k") == ["prepare", "undo prepare"]


def test_a_run_that_works_stops_after_its_present_step(world: World) -> None:
    @step()
    def cancels(run: Run, uow: UnitOfWork) -> None:
        _cancel(world, run.id)

    flow = Flow("test.cancels", 1, (prepare, cancels, prepare_again))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert (world.state("k"), world.deeds("k")) == ("undone", ["prepare", "undo prepare"])


prepare_again = step(name="prepare_again")(prepare.call)


def test_an_ended_run_cannot_be_cancelled(world: World) -> None:
    runner = world.runner(FLOW)
    (run_id,) = world.start(FLOW, "k")
    world.finish(runner)
    _cancel(world, run_id)
    world.finish(runner)
    with pytest.raises(ConflictError, match="ended"):
        _cancel(world, run_id)


def test_past_its_pivot_a_run_cannot_be_cancelled(world: World) -> None:
    pivot = step(name="pivot", pivot=True)(lambda run, uow: 1)
    flow = Flow("test.pivoted", 1, (pivot, wait_for("word", ("yes",), 3600)))
    runner = world.runner(flow)
    (run_id,) = world.start(flow, "k")
    world.finish(runner)
    with pytest.raises(ConflictError, match="pivot"):
        _cancel(world, run_id)


def test_a_run_with_a_write_in_doubt_cannot_be_cancelled_before_it_is_settled(world: World) -> None:
    runner = world.runner(SENDING)
    world.destination.arm(("/blind/", "drop", 1))
    (run_id,) = world.start(SENDING, "k")
    world.finish(runner)
    with pytest.raises(ConflictError, match="settle"):
        _cancel(world, run_id)


def test_a_doubt_that_landed_needs_the_destinations_own_number(world: World) -> None:
    runner = world.runner(SENDING)
    world.destination.arm(("/blind/", "drop", 1))
    (run_id,) = world.start(SENDING, "k")
    world.finish(runner)
    with world.database.unit() as uow:
        (effect,) = runs.list_effects(uow, run_id)
        with pytest.raises(ConflictError, match="number"):
            runs.settle_effect(uow, effect["id"], landed=True)
        with pytest.raises(NotFoundError):
            runs.settle_effect(uow, 404, landed=False)
