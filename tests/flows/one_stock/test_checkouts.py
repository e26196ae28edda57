"""Goods are kept for a shopper whole or not at all, once for each order number, and end once."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from canonical_model.errors import ConflictError, HubError, NotFoundError, RecordError
from canonical_model.store import checkouts as store
from canonical_model.store.checkouts import Checkout
from flows.one_stock import checkouts
from flows.one_stock.checkouts import AskedLine, CheckoutAsked, ShortError
from flows.runtime.database import Database, UnitOfWork
from tests.flows.desk import Desk
from tests.flows.one_stock.town import NOW, OWNER, RULES, Town


class Shop:
    """A channel of a town; its names of the SKUs are the hub's."""

    def __init__(self, database: Database, places: int = 2, skus: int = 2, rules: str = RULES) -> None:
        self.town = Town(database, places, skus, rules)
        self.database = database
        for n, sku_id in enumerate(self.town.skus):
            self.town.rows(
                "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
                " VALUES (%s, %s, 'hub', 'sku', %s, %s, 'm') RETURNING inner_id",
                OWNER, self.town.brand, f"S{n}", sku_id,
            )  # fmt: skip

    def asked(self, order_no: str, *lines: tuple[str, int], ttl_s: int | None = None) -> CheckoutAsked:
        numbered = tuple(AskedLine(number, *line) for number, line in enumerate(lines, 1))
        return CheckoutAsked(OWNER, self.town.brand, "shop", order_no, numbered, "hub", ttl_s, 30.0, 110.0)

    def open_all(self, *asked: CheckoutAsked) -> list[Checkout | HubError]:
        with self.database.unit() as uow:
            answers = checkouts.open_checkouts(uow, asked, now=NOW)
            uow.commit()
        return answers

    def open(self, order_no: str, *lines: tuple[str, int], ttl_s: int | None = None) -> Checkout:
        [answer] = self.open_all(self.asked(order_no, *lines, ttl_s=ttl_s))
        if isinstance(answer, HubError):
            raise answer
        return answer

    def key(self, order_no: str) -> store.Key:
        return OWNER, self.town.brand, "shop", order_no

    def do(self, deed: Callable[[UnitOfWork], object]) -> None:
        with self.database.unit() as uow:
            deed(uow)
            uow.commit()

    def release(self, uow: UnitOfWork, order_no: str) -> None:
        checkouts.release(uow, self.key(order_no))

    def sweep(self, seconds: float) -> None:
        self.do(lambda uow: store.expire_due(uow.connection, NOW + timedelta(seconds=seconds)))

    def state(self, order_no: str) -> str:
        with self.database.unit() as uow:
            return checkouts.get_checkout(uow.connection, self.key(order_no)).state

    def held(self) -> list[int]:
        """By SKU and place."""
        rows = self.town.rows(
            "SELECT held FROM stock_level WHERE brand = %s ORDER BY sku_id, location_id", self.town.brand
        )
        return [row["held"] for row in rows]


@pytest.fixture
def shop(desk: Desk) -> Iterator[Shop]:
    """S0: two at W0 and three at W1. S1: one at W1."""
    shop = Shop(desk.hub.database)
    shop.town.put(0, 0, 2), shop.town.put(1, 0, 3), shop.town.put(1, 1, 1)
    yield shop
    assert not shop.town.wrong()


def test_goods_of_several_places_are_kept_together(shop: Shop) -> None:
    kept = shop.open("A", ("S0", 4), ("S1", 1))
    assert kept.state == "active"
    assert kept.expires_at == NOW + timedelta(seconds=900)
    assert sum(shop.held()) == 5


def test_what_cannot_be_had_whole_is_not_kept_and_says_what_is_short(shop: Shop) -> None:
    with pytest.raises(ShortError) as refused:
        shop.open("A", ("S0", 2), ("S1", 3))
    assert [(issue.field, issue.detail) for issue in refused.value.issues] == [("line 2", "2 of S1 cannot be had")]
    assert shop.held() == [0, 0, 0]
    with pytest.raises(NotFoundError):
        shop.state("A")
    assert shop.open("A", ("S0", 2), ("S1", 1)).state == "active"


def test_the_same_question_gets_the_same_answer_and_another_is_refused(shop: Shop) -> None:
    first = shop.open("A", ("S0", 2))
    assert shop.open("A", ("S0", 2), ttl_s=5) == first
    with pytest.raises(ConflictError) as refused:
        shop.open("A", ("S0", 1))
    assert refused.value.code == "checkout.conflict"
    assert sum(shop.held()) == 2


def test_one_batch_is_decided_in_order_of_arrival(shop: Shop) -> None:
    asked = [shop.asked(number, ("S1", 1)) for number in ("B", "A", "B")]
    first, second, third = shop.open_all(*asked)
    assert isinstance(first, Checkout)
    assert isinstance(second, ShortError)
    assert third == first


def test_two_questions_under_one_number_in_one_batch_are_told_apart(shop: Shop) -> None:
    first, second = shop.open_all(shop.asked("A", ("S0", 1)), shop.asked("A", ("S0", 2)))
    assert isinstance(first, Checkout)
    assert isinstance(second, ConflictError)


def test_a_sku_that_nobody_knows_is_said_by_line(shop: Shop) -> None:
    with pytest.raises(RecordError) as refused:
        shop.open("A", ("S0", 1), ("nothing", 1))
    assert [issue.field for issue in refused.value.issues] == ["lines.1.sku"]


def test_a_checkout_is_kept_no_longer_than_the_rules_allow(desk: Desk) -> None:
    shop = Shop(desk.hub.database, rules=RULES + "hold_ttl_s = 60\n")
    shop.town.put(0, 0, 5)
    assert shop.open("A", ("S0", 1), ttl_s=3_600).expires_at == NOW + timedelta(seconds=60)
    assert shop.open("B", ("S0", 1), ttl_s=10).expires_at == NOW + timedelta(seconds=10)
    shop.do(lambda uow: checkouts.extend(uow, shop.key("B"), 3_600, now=NOW + timedelta(seconds=30)))
    with shop.database.unit() as uow:
        assert checkouts.get_checkout(uow.connection, shop.key("B")).expires_at == NOW + timedelta(seconds=90)


def test_a_release_gives_back_once(shop: Shop) -> None:
    shop.open("A", ("S0", 2))
    for _ in range(2):
        shop.do(lambda uow: shop.release(uow, "A"))
    assert (shop.state("A"), shop.held()) == ("released", [0, 0, 0])
    with pytest.raises(ConflictError) as refused:
        shop.open("A", ("S0", 2))
    assert refused.value.code == "checkout.ended"


def test_what_is_due_expires_at_the_sweep_and_what_is_not_stays(shop: Shop) -> None:
    shop.open("A", ("S0", 1), ttl_s=60)
    shop.open("B", ("S0", 1))
    shop.sweep(60)
    assert (shop.state("A"), shop.state("B"), sum(shop.held())) == ("expired", "active", 1)
    shop.do(lambda uow: shop.release(uow, "A"))
    assert shop.state("A") == "expired"
    with pytest.raises(ConflictError):
        shop.do(lambda uow: checkouts.extend(uow, shop.key("A"), None))


def test_an_order_finds_its_checkout_even_when_it_is_due(shop: Shop) -> None:
    kept = shop.open("A", ("S0", 2), ttl_s=1)
    keys = [shop.key("A"), shop.key("nobody")]

    def take_over(uow: UnitOfWork) -> None:
        found = store.find_for_orders(uow.connection, keys)
        assert list(found) == [shop.key("A")]
        assert found[shop.key("A")].references == kept.references
        assert sum(unit.units for unit in found[shop.key("A")].kept) == 2
        store.confirm(uow.connection, [found[shop.key("A")].id])

    shop.do(take_over)
    shop.sweep(3_600)
    assert shop.state("A") == "confirmed"
    assert sum(shop.held()) == 2
    shop.do(lambda uow: store.find_for_orders(uow.connection, keys) == {} or pytest.fail("it was found twice"))
    with pytest.raises(ConflictError) as refused:
        shop.do(lambda uow: shop.release(uow, "A"))
    assert refused.value.code == "checkout.confirmed"


def test_an_order_that_comes_after_the_sweep_finds_nothing(shop: Shop) -> None:
    shop.open("A", ("S0", 2), ttl_s=1)
    shop.sweep(1)
    with shop.database.unit() as uow:
        assert store.find_for_orders(uow.connection, [shop.key("A")]) == {}
