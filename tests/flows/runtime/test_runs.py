"""Starting runs: once a key, in bulk, in order, and with the version they keep."""

import threading
from typing import Any

import pytest

from canonical_model.errors import ConfigurationError, NotFoundError
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Run, Start, step
from tests.flows.runtime.conftest import BRAND, OWNER, World, note


@step()
def only(run: Run, uow: UnitOfWork) -> int:
    note(run, uow, f"version {run.version}")
    return 1


ONE = Flow("test.one", 1, (only,))
OTHER_LANE = Flow("test.other", 1, (only,), lane="other")


@pytest.mark.every_postgres
def test_the_same_key_starts_once(world: World) -> None:
    world.runner(ONE)
    first = world.start(ONE, "a", "b")
    with world.database.unit() as uow:
        again = runs.start_runs(uow, [Start("test.one", OWNER, BRAND, key, {}) for key in ("b", "c", "c")])
        uow.commit()
    assert again[0] == runs.Started(first[1], new=False)
    assert [each.new for each in again] == [False, True, False]
    assert again[1].run_id == again[2].run_id


def test_the_same_key_of_another_brand_is_another_run(world: World) -> None:
    world.runner(ONE)
    with world.database.unit() as uow:
        started = runs.start_runs(uow, [Start("test.one", OWNER, brand, "a", {}) for brand in ("x", "y")])
    assert [each.new for each in started] == [True, True]


def test_many_starts_wake_each_lane_once(world: World) -> None:
    world.runner(ONE, OTHER_LANE)
    with world.database.unit() as uow:
        starts = [Start(flow, OWNER, BRAND, str(n), {}) for n in range(50) for flow in ("test.one", "test.other")]
        runs.start_runs(uow, starts)
        uow.commit()
    lanes = [row["lane"] for row in world.database.run("SELECT lane FROM outbox")]
    assert sorted(lanes) == ["local", "other"]


def test_a_start_that_is_rolled_back_never_was(world: World) -> None:
    runner = world.runner(ONE)
    with world.database.unit() as uow:
        runs.start_runs(uow, [Start("test.one", OWNER, BRAND, "a", {})])
    assert runner.drain() == 0
    assert world.database.run("SELECT * FROM outbox") == []


def test_an_unknown_flow_is_refused_with_the_flows_there_are(world: World) -> None:
    world.runner(ONE)
    with pytest.raises(ConfigurationError, match=r"test\.one"):
        world.start("test.none", "a")


def test_a_run_keeps_the_version_it_started_with(world: World) -> None:
    world.runner(ONE)
    world.start(ONE, "old")
    newer = Flow("test.one", 2, (only,), retired=(ONE,))
    runner = world.runner(newer)
    world.start(newer, "new")
    world.finish(runner)
    assert world.deeds("old") == ["version 1"]
    assert world.deeds("new") == ["version 2"]


def test_runs_of_an_unknown_version_stay_and_are_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.runner(Flow("test.one", 2, (only,)))
    world.start("test.one", "from the future")
    runner = world.runner(ONE)
    world.start(ONE, "mine")
    for _ in range(3):
        runner.drain()
        runner.sweep()
    assert world.state("from the future") == "ready"
    assert world.state("mine") == "done"
    assert len([r for r in caplog.records if "test.one@2" in r.getMessage()]) == 1


def test_two_threads_that_start_the_same_keys_start_them_once(world: World) -> None:
    world.runner(ONE)
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(world.start(ONE, *(str(n) for n in range(40))))) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4
    assert all(ids == found[0] for ids in found)


def test_a_run_begun_by_its_starter_is_done_without_a_claim(world: World) -> None:
    runner = world.runner(ONE)
    commits: list[None] = []
    world.database.on_commit = lambda: commits.append(None)
    with world.database.unit() as uow:
        begun = runner.begin(uow, Start("test.one", OWNER, BRAND, "a", {}))
        uow.commit()
    state = runner.run_now(begun)
    assert (state.state, state.results) == ("done", {"only": 1})
    assert len(commits) == 2


def test_a_second_begin_of_the_same_key_finds_the_first(world: World) -> None:
    runner = world.runner(ONE)
    for expected in (True, False):
        with world.database.unit() as uow:
            begun = runner.begin(uow, Start("test.one", OWNER, BRAND, "a", {}))
            uow.commit()
        assert begun.new is expected
        assert runner.run_now(begun).state == "done"
    assert world.deeds("a") == ["version 1"]


def test_runs_are_listed_newest_first_by_page(world: World) -> None:
    runner = world.runner(ONE)
    ids = world.start(ONE, *(str(n) for n in range(5)))
    world.finish(runner)
    with world.database.unit() as uow:
        page = runs.list_runs(uow, runs.RunFilter(flow="test.one", state="done"), limit=2)
        rest = runs.list_runs(uow, runs.RunFilter(flow="test.one"), after=page[-1]["id"])
    assert [row["id"] for row in page + rest] == sorted(ids, reverse=True)


def test_a_run_that_does_not_exist_is_not_found(world: World) -> None:
    runner = world.runner(ONE)
    with pytest.raises(NotFoundError):
        runner.run_now(404)
    with world.database.unit() as uow:
        assert runs.find_run(uow, OWNER, BRAND, "test.one", "nobody") is None


def test_a_result_is_kept_as_json(world: World) -> None:
    @step()
    def shape(run: Run, uow: UnitOfWork) -> Any:
        return {"tuple": (1, 2), "text": "\u4e00\u76d8"}

    @step()
    def see(run: Run, uow: UnitOfWork) -> Any:
        return run.results["shape"]["tuple"]

    flow = Flow("test.shape", 1, (shape, see))
    runner = world.runner(flow)
    world.start(flow, "a")
    world.finish(runner)
    assert world.run("a")["results"] == {"shape": {"tuple": [1, 2], "text": "\u4e00\u76d8"}, "see": [1, 2]}
