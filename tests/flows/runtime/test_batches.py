"""Batch steps: many runs in one transaction; one that fails is alone with its failure."""

from collections.abc import Sequence
from typing import Any

import pytest

from canonical_model.errors import RejectedError, TransientError
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, OnReject, Park, Run, batch_step, step, wait_for
from tests.flows.runtime.conftest import World, note

KEYS = [str(n) for n in range(40)]


def _noting(name: str, sizes: list[int] | None = None, **options: Any) -> Any:
    @batch_step(name=name, **options)
    def call(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        if sizes is not None:
            sizes.append(len(runs))
        for run in runs:
            note(run, uow, name)
        return [run.business_key for run in runs]

    return call


@pytest.mark.every_postgres
def test_a_chain_of_batch_steps_carries_all_runs_together(world: World) -> None:
    sizes: list[int] = []
    flow = Flow("test.batch", 1, (_noting("a", sizes), _noting("b", sizes)))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    assert runner.work("local") == 2 * len(KEYS)
    assert sizes == [40, 40]
    assert all(world.run(key)["results"] == {"a": key, "b": key} for key in KEYS)


def test_a_batch_is_no_larger_than_the_step_allows(world: World) -> None:
    sizes: list[int] = []
    flow = Flow("test.batch", 1, (_noting("a", sizes, size=16),))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.work("local")
    assert sorted(sizes, reverse=True) == [16, 16, 8]


def test_a_failing_run_is_isolated_and_the_others_commit(world: World) -> None:
    calls: list[int] = []

    @batch_step(attempts=2)
    def picky(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        calls.append(len(runs))
        for run in runs:
            note(run, uow, "picky")
            if run.business_key == "13":
                raise ValueError("unlucky")
        return [1] * len(runs)

    flow = Flow("test.picky", 1, (picky,))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.work("local")
    assert {world.state(key) for key in KEYS if key != "13"} == {"done"}
    assert all(world.deeds(key) == ["picky"] for key in KEYS if key != "13")
    assert (world.state("13"), world.deeds("13")) == ("ready", [])
    calls.clear()
    world.start(flow, "late")
    world.finish(runner)
    assert (world.state("13"), world.state("late")) == ("parked", "done")
    assert 1 in calls


@pytest.mark.parametrize(
    ("error", "state"),
    [(TransientError("away"), "ready"), (RejectedError("no"), "undone")],
)
def test_the_isolated_run_is_treated_by_its_error(world: World, error: Exception, state: str) -> None:
    @batch_step(on_reject=OnReject.UNDO)
    def picky(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        if any(run.business_key == "7" for run in runs):
            raise error
        return [1] * len(runs)

    flow = Flow("test.picky", 1, (picky,))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.work("local")
    assert world.state("7") == state
    assert {world.state(key) for key in KEYS if key != "7"} == {"done"}


def test_directives_are_each_runs_own(world: World) -> None:
    @batch_step()
    def sort(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        odd = {"0": Park("asked", "say yes"), "1": Finish("early")}
        return [odd.get(run.business_key, "ok") for run in runs]

    flow = Flow("test.sort", 1, (sort, _noting("b")))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    world.finish(runner)
    assert (world.state("0"), world.run("1")["outcome"]) == ("parked", "early")
    assert all(world.deeds(key) == ["b"] for key in KEYS[2:])


def test_after_the_last_batch_step_the_runs_are_shared_out(world: World) -> None:
    single = step(name="single")(lambda run, uow: note(run, uow, "single"))
    flow = Flow("test.mixed", 1, (_noting("a"), single, _noting("c")))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.work("local", limit=len(KEYS))
    assert {world.run(key)["position"] for key in KEYS} == {1}
    assert {world.state(key) for key in KEYS} == {"ready"}
    world.finish(runner)
    assert all(world.deeds(key) == ["a", "single", "c"] for key in KEYS)


def test_a_run_whose_lease_is_lost_does_not_keep_the_others_from_their_step(world: World) -> None:
    @batch_step()
    def robbed(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        world.look.run("UPDATE flow_run SET fence = fence + 1 WHERE business_key = '3' AND fence = 1")
        for run in runs:
            note(run, uow, "robbed")
        return [1] * len(runs)

    flow = Flow("test.robbed", 1, (robbed,))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.work("local")
    assert (world.state("3"), world.deeds("3")) == ("running", [])
    assert all(world.deeds(key) == ["robbed"] for key in KEYS if key != "3")
    assert {world.state(key) for key in KEYS if key != "3"} == {"done"}


def test_a_batch_step_that_returns_too_little_is_a_bug_of_the_step(world: World) -> None:
    short = batch_step(name="short", attempts=1)(lambda runs, uow: [1][: len(runs) - 1])
    flow = Flow("test.short", 1, (short,))
    runner = world.runner(flow)
    world.start(flow, "1", "2")
    world.finish(runner)
    assert {world.state(key) for key in ("1", "2")} == {"parked"}


def test_runs_of_several_flows_and_steps_do_not_mix(world: World) -> None:
    seen: list[set[tuple[str, int]]] = []

    def look(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        seen.append({(run.flow, len(run.results)) for run in runs})
        return [1] * len(runs)

    flows = [Flow(f"test.{name}", 1, (batch_step(name="a")(look), batch_step(name="b")(look))) for name in "xy"]
    runner = world.runner(*flows)
    for n in range(10):
        for flow in flows:
            world.start(flow, f"{flow.name} {n}")
    world.finish(runner)
    assert all(len(each) == 1 for each in seen)
    assert world.look.run("SELECT count(*) AS n FROM flow_run WHERE state = 'done'")[0]["n"] == 20


def test_only_runs_that_say_the_same_word_are_done_together_and_those_without_alone(world: World) -> None:
    seen: list[set[str | None]] = []

    @batch_step(together="kind")
    def look(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        seen.append({run.input.get("kind") for run in runs})
        assert len(runs) == 1 or runs[0].input.get("kind") is not None
        return [1] * len(runs)

    flow = Flow("test.kinds", 1, (look,))
    runner = world.runner(flow)
    for n, key in enumerate(KEYS):
        world.start(flow, key, input={"kind": "ab"[n % 2]} if n % 4 else {})
    world.finish(runner)
    assert {world.state(key) for key in KEYS} == {"done"}
    assert all(len(each) == 1 for each in seen)
    assert len(seen) < len(KEYS)


def test_runs_that_come_to_a_wait_together_begin_it_in_one_transaction(world: World) -> None:
    flow = Flow("test.pause", 1, (_noting("a"), wait_for("word", ("go",), 3600), _noting("b")))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    world.signal(flow, "7", "go")
    assert runner.work("local", limit=len(KEYS)) > len(KEYS)
    begun = world.look.run("SELECT count(DISTINCT ended_at) AS n FROM flow_step WHERE outcome = 'started'")
    assert begun[0]["n"] == 1
    world.finish(runner)
    assert (world.state("7"), world.deeds("7")) == ("done", ["a", "b"])
    assert {world.state(key) for key in KEYS if key != "7"} == {"waiting"}


@pytest.mark.every_postgres
def test_runs_that_come_to_a_wait_are_written_once_with_the_result_and_the_wait(world: World) -> None:
    flow = Flow("test.pause", 1, (_noting("a"), wait_for("word", ("go",), lambda run: float(run.results["a"]) + 1)))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.work("local")
    for key in KEYS:
        run = world.run(key)
        assert (run["state"], run["waiting_for"], run["results"], run["fence"]) == ("waiting", ["go"], {"a": key}, 2)
        assert (run["deadline"] - run["updated_at"]).total_seconds() == float(key) + 1
        assert world.history(key) == [("a", "done"), ("word", "started")]


@pytest.mark.every_postgres
@pytest.mark.parametrize("keys", [KEYS, KEYS[7:8]])
def test_whoever_is_asked_to_stop_during_the_step_before_a_wait_does_not_wait(
    world: World, keys: Sequence[str]
) -> None:
    @batch_step()
    def asked(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        world.look.run("SELECT flow_cancel(%s)", ([run.id for run in runs if run.business_key == "7"],))
        return [1] * len(runs)

    flow = Flow("test.pause", 1, (asked, wait_for("word", ("go",), 3600)))
    runner = world.runner(flow)
    world.start(flow, *keys)
    world.finish(runner)
    assert world.state("7") == "undone"
    assert {world.state(key) for key in keys if key != "7"} <= {"waiting"}


@pytest.mark.every_postgres
@pytest.mark.parametrize("keys", [KEYS, KEYS[7:8]])
def test_a_word_that_comes_during_the_step_before_a_wait_is_heard(world: World, keys: Sequence[str]) -> None:
    @batch_step()
    def told(runs: Sequence[Run], uow: UnitOfWork) -> Sequence[Any]:
        if any(run.business_key == "7" for run in runs):
            world.signal(flow, "7", "go", said="now")
        return [1] * len(runs)

    flow = Flow("test.pause", 1, (told, wait_for("word", ("go",), 3600)))
    runner = world.runner(flow)
    world.start(flow, *keys)
    world.finish(runner)
    assert (world.state("7"), world.run("7")["results"]["word"]["payload"]) == ("done", {"said": "now"})
    assert {world.state(key) for key in keys if key != "7"} <= {"waiting"}


def test_a_wait_whose_time_cannot_be_told_fails_without_the_step_before_it(world: World) -> None:
    def broken(run: Run) -> float:
        return float(run.results["a"]["none such"])

    flow = Flow("test.pause", 1, (_noting("a"), wait_for("word", ("go",), broken)))
    runner = world.runner(flow)
    world.start(flow, "1", "2")
    runner.work("local")
    assert [world.deeds(key) for key in ("1", "2")] == [["a"], ["a"]]
    assert all(world.history(key)[0] == ("a", "done") and world.state(key) != "waiting" for key in ("1", "2"))


def test_named_runs_are_carried_on_together_and_only_they(world: World) -> None:
    sizes: list[int] = []
    flow = Flow("test.named", 1, (_noting("a", sizes),))
    runner = world.runner(flow)
    world.start(flow, *KEYS)
    runner.run_many([world.run(key)["id"] for key in KEYS[:5]])
    assert sizes == [5]
    assert [world.state(key) for key in KEYS[:6]] == ["done"] * 5 + ["ready"]
    runner.run_many([world.run(key)["id"] for key in KEYS[:5]])
    assert sizes == [5]
