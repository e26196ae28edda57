"""A step and where it leads commit together, under a lease that only one worker holds."""

import threading
import time
from typing import Any

import pytest

from canonical_model.errors import ConfigurationError, RejectedError, TransientError, UncertainError
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, OnReject, Park, Run, Step, Undo, batch_step, step
from flows.runtime.moves import MAX_RESULT_BYTES
from flows.runtime.runner import LOST_LIMIT, Runner
from tests.flows.runtime.conftest import World, note


def _undo_of(name: str) -> Any:
    def undo(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, f"undo {name}")

    return undo


def _steps(*names: str) -> tuple[Step, ...]:
    def make(name: str) -> Step:
        @step(undo=_undo_of(name))
        def one(run: Run, uow: UnitOfWork) -> str:
            note(run, uow, name)
            return name.upper()

        return step(undo=_undo_of(name), name=name)(one.call)

    return tuple(make(name) for name in names)


def _failing(error: Exception, **options: Any) -> Step:
    @step(**options)
    def fails(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, "never kept")
        raise error

    return fails


@pytest.mark.every_postgres
def test_steps_are_done_in_order_and_their_results_kept(world: World) -> None:
    flow = Flow("test.three", 1, _steps("a", "b", "c"))
    runner = world.runner(flow)
    world.start(flow, "k")
    assert runner.drain() == 3
    run = world.run("k")
    assert (run["state"], run["outcome"], run["results"]) == ("done", "done", {"a": "A", "b": "B", "c": "C"})
    assert world.deeds("k") == ["a", "b", "c"]
    assert world.history("k") == [("a", "done"), ("b", "done"), ("c", "done")]


def test_a_lost_lease_keeps_nothing_of_the_step(world: World) -> None:
    @step()
    def slow(run: Run, uow: UnitOfWork) -> None:
        note(run, uow, "mine")
        world.look.run("UPDATE flow_run SET fence = fence + 1, lease_owner = 'someone else'")

    flow = Flow("test.lost", 1, (slow,))
    runner = world.runner(flow)
    world.start(flow, "k")
    runner.work("local")
    assert world.deeds("k") == []
    assert world.run("k")["lease_owner"] == "someone else"


def test_the_run_of_a_dead_worker_is_taken_over(world: World) -> None:
    flow = Flow("test.dead", 1, _steps("a", "b"))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.database.run("SELECT * FROM flow_claim('local', 'dead worker', -1, 1, ARRAY['test.dead@1'])")
    world.finish(runner)
    assert world.deeds("k") == ["a", "b"]
    assert ("", "lost") in world.history("k")


def test_a_run_that_kills_every_worker_is_parked(world: World) -> None:
    flow = Flow("test.poison", 1, _steps("a"))
    runner = world.runner(flow)
    world.start(flow, "k")
    for _ in range(LOST_LIMIT):
        world.database.run("SELECT * FROM flow_claim('local', 'dead worker', -1, 1, ARRAY['test.poison@1'])")
        runner.sweep()
    assert world.state("k") == "parked"
    assert world.run("k")["error"]["code"] == "worker.lost"


def test_a_lease_is_prolonged_while_a_step_is_long(world: World) -> None:
    seen: list[Any] = []

    @step()
    def long(run: Run, uow: UnitOfWork) -> None:
        began = world.run("k")["lease_until"]
        threading.Event().wait(1.0)
        seen.extend([began, world.run("k")["lease_until"]])

    flow = Flow("test.long", 1, (long,))
    runner = world.runner(flow, lease_s=0.6)
    world.start(flow, "k")
    runner.work("local")
    assert world.state("k") == "done"
    assert seen[1] > seen[0]


def test_two_runners_share_the_work_without_doing_it_twice(world: World) -> None:
    flow = Flow("test.shared", 1, _steps("a", "b"))
    runners = [world.runner(flow) for _ in range(3)]
    keys = [str(n) for n in range(60)]
    world.start(flow, *keys)
    threads = [threading.Thread(target=each.work, args=("local",)) for each in runners]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(world.deeds(key) == ["a", "b"] for key in keys)


def test_a_stopped_runner_gives_back_what_it_had_not_begun(world: World) -> None:
    runner: Runner

    @step()
    def stops(run: Run, uow: UnitOfWork) -> None:
        runner.stop()

    flow = Flow("test.stop", 1, (stops, *_steps("b")))
    runner = world.runner(flow)
    world.start(flow, "1", "2", "3")
    runner.work("local")
    runs = world.database.run("SELECT state, attempt, lease_owner, position FROM flow_run ORDER BY id")
    assert [(run["state"], run["attempt"], run["lease_owner"]) for run in runs] == [("ready", 0, None)] * 3
    assert [run["position"] for run in runs] == [1, 0, 0]


def test_run_now_carries_exactly_one_run_on(world: World) -> None:
    flow = Flow("test.now", 1, _steps("a"))
    runner = world.runner(flow)
    first, second = world.start(flow, "1", "2")
    assert runner.run_now(second).state == "done"
    assert runner.run_now(second).outcome == "done"
    assert world.state("1") == "ready"
    world.database.run("SELECT * FROM flow_claim('local', 'someone', 60, 1, ARRAY['test.now@1'])")
    assert runner.run_now(first).state == "running"


def test_an_unknown_lane_is_a_mistake_of_the_estate(world: World) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        world.runner().work("nowhere")


def test_a_transient_error_waits_and_tries_without_an_end(world: World) -> None:
    flow = Flow("test.transient", 1, (_failing(TransientError("away"), attempts=2),))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner, rounds=12)
    run = world.run("k")
    assert run["state"] == "ready"
    assert len(world.history("k")) >= 10
    assert run["error"]["code"] == "transient"
    assert world.deeds("k") == []


def test_the_other_sides_wish_is_the_wait(world: World) -> None:
    flow = Flow("test.wish", 1, (_failing(TransientError("busy", after_s=120)),))
    runner = world.runner(flow)
    world.start(flow, "k")
    runner.drain()
    (row,) = world.database.run("SELECT extract(epoch FROM wake_at - clock_timestamp()) AS s FROM flow_run")
    assert 110 < row["s"] <= 120


def test_an_unknown_error_is_tried_a_few_times_then_a_person_is_asked(world: World) -> None:
    flow = Flow("test.unknown", 1, (_failing(ZeroDivisionError("oops"), attempts=3),))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.history("k") == [("fails", "retry"), ("fails", "retry"), ("fails", "parked")]
    assert "ZeroDivisionError" in world.run("k")["error"]["detail"]


def test_an_outage_in_between_does_not_spend_the_tries_of_an_unknown_error(world: World) -> None:
    errors: list[Exception] = [ValueError("1"), *(TransientError("away") for _ in range(6)), ValueError("2")]

    @step(attempts=3)
    def flaky(run: Run, uow: UnitOfWork) -> None:
        if errors:
            raise errors.pop(0)

    flow = Flow("test.flaky", 1, (flaky,))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.state("k") == "done"


def test_a_wrong_setting_parks_at_once_and_says_what_to_do(world: World) -> None:
    flow = Flow("test.configuration", 1, (_failing(ConfigurationError("set YIPAN_X", code="x.missing")),))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.history("k") == [("fails", "parked")]
    assert world.run("k")["error"]["detail"] == "set YIPAN_X"


@pytest.mark.parametrize(
    ("on_reject", "state", "outcome"),
    [(OnReject.UNDO, "undone", "rejected"), (OnReject.RESOURCE, "undone", "refused"), (OnReject.PARK, "parked", None)],
)
def test_a_refusal_does_what_the_step_declares(world: World, on_reject: OnReject, state: str, outcome: str) -> None:
    refusing = _failing(RejectedError("no", code="credit.blocked"), on_reject=on_reject)
    flow = Flow("test.refused", 1, (*_steps("a", "b"), refusing))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    run = world.run("k")
    assert (run["state"], run["outcome"]) == (state, outcome)
    if state == "undone":
        assert world.deeds("k") == ["a", "b", "undo b", "undo a"]
        assert run["results"]["error"]["code"] == "credit.blocked"
    else:
        assert world.deeds("k") == ["a", "b"]


def test_after_a_pivot_a_refusal_asks_a_person_instead_of_undoing(world: World) -> None:
    pivot = step(name="pivot", pivot=True)(lambda run, uow: 1)
    refusing = _failing(RejectedError("no"), on_reject=OnReject.UNDO)
    flow = Flow("test.pivot", 1, (*_steps("a"), pivot, refusing))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.state("k") == "parked"
    assert world.deeds("k") == ["a"]


def test_an_undo_that_fails_is_tried_again_and_then_asks_a_person(world: World) -> None:
    def broken(run: Run, uow: UnitOfWork) -> None:
        raise RuntimeError("cannot")

    fragile = step(name="fragile", undo=broken, attempts=2)(lambda run, uow: 1)
    refusing = _failing(RejectedError("no"), on_reject=OnReject.UNDO)
    flow = Flow("test.undo", 1, (*_steps("a"), fragile, refusing))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    run = world.run("k")
    assert (run["state"], run["direction"]) == ("parked", "undo")
    assert world.history("k")[-2:] == [("fragile", "retry"), ("fragile", "parked")]


def test_a_local_step_that_speaks_of_uncertainty_is_tried_again(world: World) -> None:
    errors: list[Exception] = [UncertainError("who knows")]

    @step()
    def unsure(run: Run, uow: UnitOfWork) -> None:
        if errors:
            raise errors.pop()

    flow = Flow("test.unsure", 1, (unsure,))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.state("k") == "done"


def _deciding(*directives: Any) -> Step:
    left = list(directives)

    @step()
    def decide(run: Run, uow: UnitOfWork) -> Any:
        note(run, uow, "decide")
        return left.pop(0)

    return decide


def test_goto_forgets_what_lies_between_and_keeps_its_own_result(world: World) -> None:
    flow = Flow("test.goto", 1, (*_steps("a", "b"), _deciding(Goto("b", {"round": 1}), "enough")))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.deeds("k") == ["a", "b", "decide", "b", "decide"]
    assert world.run("k")["results"] == {"a": "A", "b": "B", "decide": "enough"}


def test_goto_to_no_earlier_step_asks_a_person(world: World) -> None:
    flow = Flow("test.goto", 1, (_deciding(Goto("c")), *_steps("c")))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.state("k") == "parked"


def test_finish_ends_the_run_with_its_own_word(world: World) -> None:
    flow = Flow("test.finish", 1, (_deciding(Finish("enough", {"n": 1})), *_steps("never")))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    run = world.run("k")
    assert (run["state"], run["outcome"], run["results"]) == ("done", "enough", {"decide": {"n": 1}})


def test_a_step_may_ask_a_person(world: World) -> None:
    flow = Flow("test.park", 1, (_deciding(Park("surplus", "count again")),))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.run("k")["error"] == {"code": "surplus", "detail": "count again"}


def test_a_step_may_turn_the_run_round(world: World) -> None:
    flow = Flow("test.turn", 1, (*_steps("a"), _deciding(Undo("sold out", "nothing left"))))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert (world.state("k"), world.run("k")["outcome"]) == ("undone", "sold out")
    assert world.deeds("k") == ["a", "decide", "undo a"]


def test_a_commit_whose_answer_was_lost_is_not_done_again(world: World) -> None:
    """The connection dies after the commit: the step must not be repeated, whatever the worker believes."""
    flow = Flow("test.answer", 1, _steps("a", "b"))
    runner = world.runner(flow)
    world.start(flow, "k")
    lose = ["once"]

    def lose_answer() -> None:
        if lose and world.deeds("k") == ["a"]:
            lose.clear()
            raise TransientError("the connection died", code="database.away")

    world.database.on_commit = lose_answer
    runner.drain()
    world.database.on_commit = None
    world.database.run("UPDATE flow_run SET lease_until = clock_timestamp() WHERE state = 'running'")
    world.finish(runner)
    assert world.deeds("k") == ["a", "b"]


def test_an_error_of_the_runtime_itself_leaves_no_lease_that_lives_for_ever(world: World) -> None:
    flow = Flow("test.broken", 1, (batch_step(name="count")(lambda runs, uow: [1] * len(runs)),))
    runner = world.runner(flow, lease_s=0.6)
    world.start(flow, "1", "2")
    world.look.run("ALTER TABLE flow_step RENAME TO flow_step_away")
    with pytest.raises(ConfigurationError):
        runner.work("local")
    world.look.run("ALTER TABLE flow_step_away RENAME TO flow_step")
    time.sleep(1.0)
    world.finish(runner)
    assert (world.state("1"), world.state("2")) == ("done", "done")


def test_a_lane_belongs_to_a_flow_or_to_a_destination(world: World) -> None:
    with pytest.raises(ConfigurationError, match=r"books\.once"):
        world.runner(Flow("test.lane", 1, _steps("a"), lane="books.once"))


@pytest.mark.parametrize("result", ["a\x00b", "\ud800", {1, 2}, "x" * (MAX_RESULT_BYTES + 1)])
def test_a_result_that_cannot_be_kept_asks_a_person(world: World, result: Any) -> None:
    flow = Flow("test.result", 1, (step(name="odd", attempts=2)(lambda run, uow: result),))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.state("k") == "parked"


def test_an_error_whose_words_cannot_be_kept_is_kept_without_them(world: World) -> None:
    flow = Flow("test.words", 1, (_failing(ValueError("a\x00b\ud800c"), attempts=1),))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert "ab?c" in world.run("k")["error"]["detail"]
