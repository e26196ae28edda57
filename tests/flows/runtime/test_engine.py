"""Relay, sweeper and workers together, in memory and on real brokers: woken at once, and never for want of a wake."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from canonical_model.errors import ConfigurationError, TransientError
from canonical_model.ports import LaneSpec, Record
from flows.runtime import broker, telemetry
from flows.runtime.database import UnitOfWork
from flows.runtime.engine import Engine
from flows.runtime.flow import Flow, Run, outside, step, wait_for
from flows.runtime.settings import Settings
from flows.testing.crash_worker import Parts
from tests.flows.runtime.conftest import World, note

PATIENCE_S = 30.0


@step()
def only(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "only")


ONE = Flow("test.one", 1, (only,))
BRIEF = Flow("test.brief", 1, (wait_for("nap", ("never",), 0.3, on_timeout=None), only))


def _sending(writer: str) -> Flow:
    def call(run: Run, uow: UnitOfWork) -> Record:
        return {}

    return Flow(f"test.{writer}", 1, (outside(f"books.{writer}", name="send")(call), only))


@contextmanager
def _engine(
    world: World, *flows: Flow, broker_url: str | None = None, sweep_s: float = 60.0, **options: Any
) -> Iterator[Engine]:
    runner = world.runner(*flows, **options)
    url = SecretStr(broker_url) if broker_url else None
    engine = Engine(Parts(Settings(broker_url=url, sweep_s=sweep_s, workers=4), world.database, runner))
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()
        telemetry.stop()


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def _done(world: World, *keys: str) -> Callable[[], bool]:
    return lambda: all(world.state(key) == "done" for key in keys)


def test_a_started_run_is_done_without_a_sweep(world: World) -> None:
    with _engine(world, ONE):
        world.start(ONE, "k")
        _until(_done(world, "k"))


def test_what_was_started_while_nobody_worked_is_done_at_once(world: World) -> None:
    world.runner(ONE)
    world.start(ONE, "k")
    with _engine(world, ONE):
        _until(_done(world, "k"))


def test_a_lost_wake_up_costs_one_sweep(world: World) -> None:
    with _engine(world, ONE, sweep_s=0.2):
        world.look.run("SELECT 1")
        world.start(ONE, "first")
        _until(_done(world, "first"))
        world.look.run("ALTER TABLE outbox RENAME TO outbox_away")
        world.look.run("CREATE OR REPLACE FUNCTION flow_wake(lanes text[]) RETURNS void LANGUAGE sql AS ''")
        world.start(ONE, "k")
        world.look.run("ALTER TABLE outbox_away RENAME TO outbox")
        _until(_done(world, "k"))


def test_a_wait_ends_by_its_time(world: World) -> None:
    with _engine(world, BRIEF, sweep_s=0.1):
        world.start(BRIEF, "k")
        _until(_done(world, "k"))


def test_wake_ups_do_not_pile_up(world: World) -> None:
    with _engine(world, ONE, sweep_s=0.2):
        for n in range(20):
            world.start(ONE, str(n))
        _until(lambda: not world.look.run("SELECT 1 FROM outbox"))
        _until(_done(world, *(str(n) for n in range(20))))


def test_many_runs_are_shared_between_the_workers(world: World) -> None:
    seen: set[str] = set()
    together = threading.Barrier(2, timeout=PATIENCE_S)

    @step()
    def meet(run: Run, uow: UnitOfWork) -> None:
        if run.business_key in ("0", "1"):
            together.wait()
        seen.add(threading.current_thread().name)

    flow = Flow("test.meet", 1, (meet,))
    with _engine(world, flow, claim_size=1):
        world.start(flow, *(str(n) for n in range(10)))
        _until(_done(world, *(str(n) for n in range(10))))
    assert len(seen) > 1


def test_a_slow_destination_holds_up_nobody_else(world: World) -> None:
    slow, quick = _sending("once"), _sending("seen")
    lanes = {"books.once": LaneSpec(concurrency=2), "books.seen": LaneSpec(concurrency=2)}
    world.destination.arm(("/once/", "slow", 1000))
    with _engine(world, slow, quick, ONE, lanes=lanes):
        world.start(slow, *(f"slow {n}" for n in range(100)))
        world.start(quick, "quick")
        world.start(ONE, "local")
        _until(_done(world, "quick", "local"))
        left = world.look.run("SELECT count(*) AS n FROM flow_run WHERE flow = 'test.once' AND state <> 'done'")
        assert left[0]["n"] > 0
    assert world.destination.most_at_once() <= 3


def test_stopping_finishes_what_began_and_gives_back_the_rest(world: World) -> None:
    began = threading.Event()

    @step()
    def slow(run: Run, uow: UnitOfWork) -> None:
        began.set()
        time.sleep(0.3)
        note(run, uow, "slow")

    flow = Flow("test.slow", 1, (slow, only))
    with _engine(world, flow):
        world.start(flow, *(str(n) for n in range(20)))
        assert began.wait(PATIENCE_S)
    rows = world.look.run("SELECT state, lease_owner FROM flow_run")
    assert all(row["state"] in ("ready", "done") and row["lease_owner"] is None for row in rows)
    assert world.look.run("SELECT 1 FROM deed")


def test_an_engine_that_was_stopped_leaves_the_runner_usable(world: World) -> None:
    runner = world.runner(ONE)
    engine = Engine(Parts(Settings(), world.database, runner))
    engine.start()
    engine.stop()
    telemetry.stop()
    world.start(ONE, "k")
    assert runner.drain() == 1


def test_the_relay_comes_back_when_postgresql_does(world: World) -> None:
    with _engine(world, ONE, sweep_s=0.5):
        world.start(ONE, "before")
        _until(_done(world, "before"))
        with psycopg.connect(world.database.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        _until(lambda: _try(lambda: world.start(ONE, "after")))
        _until(lambda: _try(lambda: world.state("after")) and world.state("after") == "done")


def _try(act: Callable[[], Any]) -> bool:
    try:
        act()
    except TransientError:
        return False
    return True


def test_a_broker_that_is_away_is_waited_for_and_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("dramatiq").setLevel(logging.CRITICAL + 1)
    with _engine(world, ONE, broker_url="redis://127.0.0.1:1/0", sweep_s=0.2):
        world.start(ONE, "k")
        time.sleep(2.5)
    told = [record for record in caplog.records if "broker is not answering" in record.getMessage()]
    assert len(told) == 1
    assert world.state("k") == "ready"
    assert world.look.run("SELECT lane FROM outbox") == [{"lane": "local"}]


def test_a_broker_of_an_unknown_kind_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(ConfigurationError, match="YIPAN_BROKER_URL"):
        broker.build("http://127.0.0.1")


def test_building_a_broker_connects_to_nothing() -> None:
    for url in (None, "amqp://127.0.0.1:1/", "redis://127.0.0.1:1/"):
        broker.build(url)
