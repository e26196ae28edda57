"""Waiting for a word or a time: no word is lost, none is heard twice."""

import threading
from typing import Any

import pytest

from canonical_model.errors import NotFoundError
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Goto, OnReject, Run, step, wait_for
from tests.flows.runtime.conftest import World, note


def _undo(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "undo before")


before = step(name="before", undo=_undo)(lambda run, uow: 1)


def _flow(**options: Any) -> Flow:
    return Flow("test.wait", 1, (before, wait_for("word", ("yes", "no"), 3600, **options)))


@pytest.mark.every_postgres
def test_a_word_ends_the_wait(world: World) -> None:
    flow = _flow()
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.state("k") == "waiting"
    assert world.signal(flow, "k", "no", reason="late")
    world.finish(runner)
    assert world.run("k")["results"]["word"] == {"signal": "no", "payload": {"reason": "late"}}


def test_a_word_sent_early_is_kept(world: World) -> None:
    flow = _flow()
    runner = world.runner(flow)
    world.start(flow, "k")
    world.signal(flow, "k", "yes")
    world.finish(runner)
    assert world.state("k") == "done"


def test_the_same_word_twice_is_one(world: World) -> None:
    again = step(name="again")(lambda run, uow: Goto("word") if "again" not in run.results else None)
    flow = Flow("test.twice", 1, (wait_for("word", ("yes",), 3600), again))
    runner = world.runner(flow)
    world.start(flow, "k")
    assert world.signal(flow, "k", "yes", "message 1")
    assert not world.signal(flow, "k", "yes", "message 1")
    world.finish(runner)
    assert world.state("k") == "waiting"
    assert world.signal(flow, "k", "yes", "message 2")


def test_words_are_heard_in_the_order_they_were_sent(world: World) -> None:
    heard: list[Any] = []

    @step()
    def hear(run: Run, uow: UnitOfWork) -> Goto | None:
        heard.append(run.results["word"]["payload"]["n"])
        return Goto("word") if len(heard) < 3 else None

    flow = Flow("test.heard", 1, (wait_for("word", ("yes", "no"), 3600), hear))
    runner = world.runner(flow)
    world.start(flow, "k")
    for n, name in enumerate(["yes", "no", "yes"]):
        world.signal(flow, "k", name, str(n), n=n)
    world.finish(runner)
    assert heard == [0, 1, 2]


def test_another_word_does_not_end_the_wait(world: World) -> None:
    flow = _flow()
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    world.signal(flow, "k", "perhaps")
    world.finish(runner)
    assert world.state("k") == "waiting"


def test_a_word_to_nobody_is_refused(world: World) -> None:
    flow = _flow()
    world.runner(flow)
    with pytest.raises(NotFoundError):
        world.signal(flow, "nobody", "yes")


@pytest.mark.parametrize(
    ("on_timeout", "state"), [(OnReject.PARK, "parked"), (None, "done"), (OnReject.UNDO, "undone")]
)
def test_a_timeout_does_what_the_step_declares(world: World, on_timeout: OnReject | None, state: str) -> None:
    flow = _flow(on_timeout=on_timeout)
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    world.time_out()
    world.finish(runner)
    assert world.state("k") == state
    if state == "done":
        assert world.run("k")["results"]["word"] == {"signal": None, "payload": None}
    if state == "undone":
        assert world.deeds("k") == ["undo before"]


def test_a_run_that_is_woken_for_nothing_waits_on_until_the_same_time(world: World) -> None:
    flow = _flow()
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    deadline = world.run("k")["deadline"]
    world.look.run("UPDATE flow_run SET state = 'ready', wake_at = clock_timestamp()")
    world.finish(runner)
    assert world.state("k") == "waiting"
    assert abs((world.run("k")["deadline"] - deadline).total_seconds()) < 1


def test_words_and_waits_that_meet_lose_nothing(world: World) -> None:
    flow = Flow("test.race", 1, (wait_for("word", ("yes",), 3600),))
    runner = world.runner(flow, claim_size=1)
    keys = [str(n) for n in range(60)]
    world.start(flow, *keys)
    talk = threading.Thread(target=lambda: [world.signal(flow, key, "yes") for key in keys])
    work = [threading.Thread(target=runner.work, args=("local",)) for _ in range(3)]
    for thread in (talk, *work):
        thread.start()
    for thread in (talk, *work):
        thread.join()
    world.finish(runner)
    assert {world.state(key) for key in keys} == {"done"}


def test_a_wait_may_depend_on_the_run(world: World) -> None:
    flow = Flow("test.depends", 1, (wait_for("word", ("yes",), lambda run: float(run.input["s"])),))
    runner = world.runner(flow)
    world.start(flow, "k", input={"s": 100})
    world.finish(runner)
    (row,) = world.look.run("SELECT extract(epoch FROM deadline - updated_at)::float AS s FROM flow_run")
    assert row["s"] == pytest.approx(100, abs=1)


def test_a_wait_of_no_time_goes_on_at_once_but_hears_what_was_said(world: World) -> None:
    flow = Flow("test.no_time", 1, (wait_for("word", ("yes",), lambda run: 0.0, on_timeout=None),))
    runner = world.runner(flow)
    world.start(flow, "silent")
    world.start(flow, "told")
    world.signal(flow, "told", "yes")
    world.finish(runner)
    heard = {key: world.run(key)["results"]["word"]["signal"] for key in ("silent", "told")}
    assert heard == {"silent": None, "told": "yes"}


@pytest.mark.parametrize(("patient", "state"), [(True, "done"), (False, "parked")])
def test_what_silence_means_may_depend_on_the_run(world: World, patient: bool, state: str) -> None:
    def when_silent(run: Run) -> OnReject | None:
        return None if run.input.get("patient") else OnReject.PARK

    flow = Flow("test.silence", 1, (wait_for("word", ("yes",), 0, on_timeout=when_silent),))
    runner = world.runner(flow)
    world.start(flow, "k", input={"patient": patient})
    world.finish(runner)
    assert world.state("k") == state
