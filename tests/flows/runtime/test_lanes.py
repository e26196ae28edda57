"""A destination's lane: so many calls at once, so many a second, and a rest when it struggles; others go on."""

import threading
from typing import Any

import pytest

from canonical_model.ports import LaneSpec, Record
from flows.runtime import lanes
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Run, outside
from flows.runtime.leases import STRUGGLING
from flows.runtime.runner import Runner
from tests.flows.runtime.conftest import World


def _flow(writer: str) -> Flow:
    def call(run: Run, uow: UnitOfWork) -> Record:
        return {}

    return Flow(f"test.{writer}", 1, (outside(f"books.{writer}", name="send")(call),))


ONCE, SEEN = _flow("once"), _flow("seen")


def _together(runner: Runner, lane: str, threads: int) -> None:
    each = [threading.Thread(target=runner.work, args=(lane,)) for _ in range(threads)]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()


def _lane(world: World, name: str) -> Any:
    (row,) = world.look.run("SELECT * FROM lane WHERE name = %s", (name,))
    return row


@pytest.mark.every_postgres
def test_no_more_calls_at_once_than_the_lane_bears(world: World) -> None:
    runner = world.runner(ONCE, lanes={"books.once": LaneSpec(concurrency=2)})
    world.destination.arm(("/once/", "slow", 20))
    world.start(ONCE, *(str(n) for n in range(12)))
    runner.work("local")
    _together(runner, "books.once", 6)
    world.finish(runner)
    assert world.destination.most_at_once() <= 2
    assert world.destination.calls() == 12


def test_no_more_calls_a_second_than_the_lane_bears(world: World) -> None:
    runner = world.runner(ONCE, lanes={"books.once": LaneSpec(rate_per_s=5)})
    world.start(ONCE, *(str(n) for n in range(20)))
    runner.work("local")
    world.look.run("INSERT INTO lane (name, tokens, refilled_at) VALUES ('books.once', 0, clock_timestamp())")
    world.look.run("UPDATE lane SET tokens = 3, rate_per_s = 5, concurrency = 4")
    runner.work("books.once")
    assert 3 <= world.destination.calls() < 20
    assert _lane(world, "books.once")["tokens"] < 1


def test_a_burst_is_at_most_a_second_of_the_rate(world: World) -> None:
    runner = world.runner(ONCE, lanes={"books.once": LaneSpec(rate_per_s=2)})
    world.look.run("INSERT INTO lane (name, rate_per_s, refilled_at) VALUES ('books.once', 2, '2020-01-01')")
    world.start(ONCE, "a")
    runner.drain()
    assert 0 < _lane(world, "books.once")["tokens"] < 2


def test_a_paused_lane_sends_nothing_until_it_is_resumed(world: World) -> None:
    runner = world.runner(ONCE)
    with world.database.unit() as uow:
        lanes.pause(uow, "books.once")
        uow.commit()
    world.start(ONCE, "k")
    world.finish(runner, rounds=3)
    assert (world.state("k"), world.destination.calls()) == ("ready", 0)
    with world.database.unit() as uow:
        lanes.resume(uow, "books.once")
        uow.commit()
    world.finish(runner)
    assert world.state("k") == "done"


def test_a_struggling_destination_rests_and_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    runner = world.runner(ONCE, SEEN)
    world.destination.arm(("/once/", "busy", 1000))
    keys = [str(n) for n in range(30)]
    world.start(ONCE, *keys)
    world.start(SEEN, "other")
    runner.drain()
    assert world.destination.calls() == STRUGGLING + 1
    assert world.state("other") == "done"
    lane = _lane(world, "books.once")
    assert (lane["failures"], lane["last_error"]["code"]) == (STRUGGLING, "books.busy")
    untried = world.look.run("SELECT count(*) AS n FROM flow_run WHERE flow = 'test.once' AND attempt = 0")
    assert untried[0]["n"] == len(keys) - STRUGGLING
    assert len([r for r in caplog.records if "blocked" in r.getMessage()]) == 1


def test_a_resting_lane_is_probed_by_one_run_with_growing_rests(world: World) -> None:
    runner = world.runner(ONCE)
    world.destination.arm(("/once/", "busy", 1000))
    world.start(ONCE, *(str(n) for n in range(10)))
    runner.drain()
    rests = []
    for _ in range(3):
        world.pass_time()
        before = world.destination.calls()
        _together(runner, "books.once", 3)
        rests.append(_rest_s(world))
        assert world.destination.calls() == before + 1
    assert rests == sorted(rests)
    assert rests[-1] > 2 * rests[0]


def _rest_s(world: World) -> float:
    (row,) = world.look.run("SELECT extract(epoch FROM blocked_until - clock_timestamp())::float AS s FROM lane")
    return float(row["s"])


def test_a_lane_that_answers_again_opens_for_all(world: World, caplog: pytest.LogCaptureFixture) -> None:
    runner = world.runner(ONCE)
    world.destination.arm(("/once/", "busy", STRUGGLING + 2))
    keys = [str(n) for n in range(10)]
    world.start(ONCE, *keys)
    world.finish(runner)
    assert all(world.state(key) == "done" for key in keys)
    assert _lane(world, "books.once")["failures"] == 0
    assert len([r for r in caplog.records if "answers again" in r.getMessage()]) == 1


def test_a_refusal_is_an_answer_and_blocks_nothing(world: World) -> None:
    runner = world.runner(ONCE)
    world.destination.arm(("/once/", "refuse", 5))
    world.start(ONCE, *(str(n) for n in range(6)))
    runner.drain()
    assert _lane(world, "books.once")["failures"] == 0
    assert world.destination.calls() == 6


def test_a_freed_slot_wakes_the_lane(world: World) -> None:
    runner = world.runner(ONCE, lanes={"books.once": LaneSpec(concurrency=1)})
    world.start(ONCE, "1", "2")
    runner.work("local")
    world.look.run("DELETE FROM outbox")
    runner.work("books.once", limit=1)
    assert [row["lane"] for row in world.look.run("SELECT lane FROM outbox")] == ["books.once"]


def test_lanes_are_listed_with_their_health(world: World) -> None:
    runner = world.runner(ONCE)
    world.destination.arm(("/once/", "busy", 1))
    world.start(ONCE, "k")
    runner.drain()
    with world.database.unit() as uow:
        (lane,) = lanes.list_lanes(uow)
    assert (lane["name"], lane["failures"], lane["queued"], lane["under_way"]) == ("books.once", 1, 1, 0)
