"""Nobody looks for better plans again while nothing came about that could make one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from canonical_model.store import open_plans
from flows.one_stock import better_plans
from flows.one_stock.better_plans import AGAIN_AFTER, BetterPlans
from flows.one_stock.fulfil_order import WAKE
from flows.one_stock.reoptimise import Report
from flows.one_stock.rulebooks import publish_rulebook
from flows.runtime import runs
from tests.flows.desk import Desk, count
from tests.flows.one_stock.test_reoptimise import BETWEEN, HANGZHOU, OWNER, RULES, crossed, pool, sell, sources

__all__ = ["pool"]

NOW = datetime.now(UTC)


def look(desk: Desk, passes: BetterPlans, now: datetime = NOW, brand: str = OWNER) -> Report | None:
    return passes.look(desk.hub.database, OWNER, brand, now=now)


def count_anew(desk: Desk) -> None:
    desk.push("stock", count("TEE", "WH", 7))


def order_more(desk: Desk) -> None:
    sell(desk, "B1", HANGZHOU, "TEE")


def publish_others(desk: Desk) -> None:
    with desk.hub.database.unit() as uow:
        publish_rulebook(uow, OWNER, OWNER, RULES.replace("10", "11"), "", "test")
        uow.commit()


def release(desk: Desk, order_id: int) -> None:
    with desk.hub.database.unit() as uow:
        flow = "one_stock.fulfil_order"
        runs.signal(
            uow, owner=OWNER, brand=OWNER, flow=flow, key=str(order_id), name=WAKE, signal_key="now", payload={}
        )
        uow.commit()
    desk.hub.runner.work("local")
    assert desk.one("SELECT released_at FROM sales_order WHERE id = %s", (order_id,))


@pytest.fixture
def planned(pool: Desk) -> Desk:
    """One order, planned as well as can be."""
    pool.push("stock", count("TEE", "HZ", 5), count("TEE", "WH", 5))
    sell(pool, "A1", HANGZHOU, "TEE")
    return pool


def test_a_pass_that_found_nothing_is_not_repeated_while_nothing_changes(planned: Desk) -> None:
    passes = BetterPlans()
    first = look(planned, passes)
    assert first is not None
    assert (first.orders, first.changed, first.skipped) == (1, 0, 0)
    assert look(planned, passes) is None
    assert look(planned, passes) is None


@pytest.mark.parametrize("change", [count_anew, order_more, publish_others])
def test_whatever_may_make_a_better_plan_makes_the_next_pass_look(
    planned: Desk, change: Callable[[Desk], None]
) -> None:
    passes = BetterPlans()
    look(planned, passes)
    assert look(planned, passes) is None
    change(planned)
    assert look(planned, passes) is not None
    assert look(planned, passes) is None


def test_after_some_time_it_looks_again_whatever_happened(planned: Desk) -> None:
    passes = BetterPlans()
    look(planned, passes)
    assert look(planned, passes, NOW + AGAIN_AFTER - timedelta(seconds=1)) is None
    assert look(planned, passes, NOW + AGAIN_AFTER) is not None


def test_plans_that_were_bettered_are_looked_at_once_more(pool: Desk) -> None:
    [(far, near)] = crossed(pool)
    passes = BetterPlans()
    first = look(pool, passes)
    assert first is not None
    assert first.changed == 2
    assert (sources(pool, far), sources(pool, near)) == (["WH"], ["HZ"])
    again = look(pool, passes)
    assert again is not None
    assert again.changed == 0
    assert look(pool, passes) is None


def test_plans_that_somebody_was_busy_with_are_looked_at_again(pool: Desk) -> None:
    [(far, _)] = crossed(pool)
    passes = BetterPlans()
    with pool.hub.database.unit() as uow:
        open_plans.lock_open(uow.connection, [far])
        report = look(pool, passes)
        assert report is not None
        assert report.skipped == 2
    report = look(pool, passes)
    assert report is not None
    assert report.changed == 2


def test_an_order_that_left_makes_nobody_look(planned: Desk) -> None:
    first = planned.one("SELECT id FROM sales_order")
    passes = BetterPlans()
    look(planned, passes)
    release(planned, first)
    assert look(planned, passes) is None


def test_an_order_that_comes_into_view_when_another_leaves_is_looked_at(
    pool: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(better_plans, "ORDERS", 1)
    pool.push("stock", count("TEE", "HZ", 5))
    first, _ = sell(pool, "A1", HANGZHOU, "TEE"), sell(pool, "A2", BETWEEN, "TEE")
    passes = BetterPlans()
    look(pool, passes)
    assert look(pool, passes) is None
    release(pool, first)
    assert look(pool, passes) is not None


def test_what_is_remembered_of_one_brand_holds_for_no_other(planned: Desk) -> None:
    passes = BetterPlans()
    look(planned, passes)
    assert look(planned, passes, brand="sister") is not None
    assert look(planned, passes) is None
