"""Chores are done by one process at a time, again and again, whatever becomes of one of them."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from canonical_model.errors import TransientError
from canonical_model.store import stock
from flows.one_stock.chores import every_chore
from flows.runtime.bootstrap import Hub
from flows.runtime.chores import Chore, Chores, companies, do_once
from flows.runtime.database import UnitOfWork
from tests.flows.desk import Desk
from tests.flows.one_stock.test_checkouts import Shop
from tests.flows.one_stock.town import NOW, OWNER

BY_NAME = {chore.name: chore for chore in every_chore()}


class Times:
    """A chore that counts how often it was done, and fails at first if it is told to."""

    def __init__(self, wanted: int, fails: Exception | None = None) -> None:
        self.done = threading.Event()
        self.left = wanted
        self.fails = fails

    def __call__(self, hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
        self.left -= 1
        if self.left <= 0:
            self.done.set()
        if self.fails is not None:
            raise self.fails
        return False


@pytest.mark.parametrize("error", [TransientError("away"), ValueError("broken")])
def test_a_chore_that_fails_is_tried_again_and_stops_no_other(desk: Desk, error: Exception) -> None:
    failing, other = Times(3, error), Times(3)
    chores = Chores(desk.hub, (Chore("failing", 0.01, failing), Chore("other", 0.01, other)))
    chores.start()
    assert failing.done.wait(20)
    assert other.done.wait(20)
    chores.stop()


def test_a_chore_goes_on_at_once_while_there_is_more(desk: Desk) -> None:
    times = Times(5)
    chore = Chore("more", 0.01, lambda hub, uow, now: times(hub, uow, now) or not times.done.is_set())
    chores = Chores(desk.hub, (chore,))
    chores.start()
    assert times.done.wait(20)
    chores.stop()


def test_one_process_at_a_time_does_a_chore(desk: Desk) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
        inside.set()
        go.wait(20)
        return True

    chore = Chore("slow", 1.0, slow)
    first = threading.Thread(target=do_once, args=(desk.hub, chore, NOW))
    first.start()
    assert inside.wait(20)
    assert do_once(desk.hub, chore, NOW) is False
    go.set()
    first.join()
    assert do_once(desk.hub, chore, NOW) is True


def test_every_brand_of_the_estate_is_thought_of(desk: Desk) -> None:
    assert companies(desk.hub) == [("yunshang", "yunshang")]


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_each_chore_can_be_done_when_there_is_nothing_to_do(desk: Desk, name: str) -> None:
    assert do_once(desk.hub, BY_NAME[name], datetime.now(UTC)) is False


def test_what_was_kept_too_long_goes_back(desk: Desk) -> None:
    shop = Shop(desk.hub.database)
    level = shop.town.put(0, 0, 3)
    shop.open("A", ("S0", 1), ttl_s=60)
    with shop.database.unit() as uow:
        stock.hold(
            uow.connection, owner=OWNER, brand=shop.town.brand, order_id=1, reference="P1",
            lines=[stock.HoldLine(1, level, 1)], expires_at=NOW,
        )  # fmt: skip
        uow.commit()
    for name in ("expire_checkouts", "expire_holds"):
        do_once(desk.hub, BY_NAME[name], NOW + timedelta(seconds=60))
    assert shop.state("A") == "expired"
    assert shop.held() == [0]


def test_loads_of_days_gone_by_are_forgotten_with_their_slots(desk: Desk) -> None:
    shop = Shop(desk.hub.database)
    shop.town.put(0, 0, 3)
    shop.town.change_place(0, capacity=5)
    shop.open("A", ("S0", 1))
    do_once(desk.hub, BY_NAME["forget_the_past"], NOW + timedelta(days=7))
    assert len(shop.town.rows("SELECT * FROM place_day JOIN place_slot USING (location_id, day)")) == 1
    do_once(desk.hub, BY_NAME["forget_the_past"], NOW + timedelta(days=9))
    assert not shop.town.rows("SELECT 1 AS x FROM place_day UNION ALL SELECT 1 FROM place_slot")
    shop.do(lambda uow: shop.release(uow, "A"))
    assert not shop.town.wrong()
