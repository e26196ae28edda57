"""What every supplier of goods for points does, whatever it speaks: run against its simulator by each one's tests."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from canonical_model.errors import ConfigurationError, HubError, RejectedError, TransientError, UncertainError
from canonical_model.ports import Idempotency, Receipt, SystemConfig
from connectors.kit.registry import connect
from flows.testing.live import LiveSystem, live_system

HOLD_S = 1800
POINTS, CASH = 900, 305
STOCK = 4
TRIES = 5
LIVE = ("held", "ordered", "shipped")


class SupplierBooks(Protocol):
    """What every supplier's books can be asked."""

    def orders(self) -> Iterator[dict[str, Any]]: ...

    def goods(self, region_code: str) -> Iterator[dict[str, Any]]: ...


def order(number: str, sku: str, quantity: int = 2, **changes: Any) -> dict[str, Any]:
    """A canonical order of one line at the price of ``Supplier.sell``."""
    return {
        "order_no": number,
        "member_ref": "4711",
        "region_code": "330106",
        "expires_at": "2099-01-01T00:00:00+08:00",
        "lines": [line(sku, quantity)],
        **changes,
    }


def line(sku: str, quantity: int, **changes: Any) -> dict[str, Any]:
    cost = {"points": POINTS * quantity, "cash_minor": CASH * quantity}
    return {"line_no": 1, "sku": sku, "quantity": quantity, **cost, **changes}


class Supplier:
    """One running supplier, the connector that talks to it, and what its books say."""

    def __init__(self, live: LiveSystem, books: SupplierBooks) -> None:
        self.live = live
        self._books = books
        self._numbers = itertools.count(1)
        self._ahead_s = 0

    def new(self, what: str) -> str:
        """A number, key or SKU that nothing has yet."""
        return f"{what}-{next(self._numbers)}"

    def sell(self, stock: Mapping[str, int] | None = None, **changes: Any) -> str:
        """Goods of their own, 4 of them in Zhejiang; the SKU."""
        sku = self.new("SKU")
        goods = {"sku": sku, "title": "马克杯", "points": POINTS, "cash_minor": CASH, "stock": stock or {"33": STOCK}}
        self.live.control("POST", "/_goods", [{**goods, **changes}])
        return sku

    def do(self, writer: str, document: Mapping[str, Any], key: str | None = None) -> Receipt:
        return self.live.write(writer, key or self.new(f"points.redeem:{writer}"), document)

    def reserve(self, sku: str, quantity: int = 2) -> dict[str, Any]:
        """The document of a confirmation or cancellation."""
        number = self.new("PM")
        return {"order_no": number, "document": self.do("reserve", order(number, sku, quantity)).outside_id}

    def refusal(self, writer: str, document: Mapping[str, Any]) -> RejectedError:
        with pytest.raises(RejectedError) as caught:
            self.do(writer, document)
        return caught.value

    def now(self) -> datetime:
        """The time by their clock."""
        return datetime.now(UTC) + timedelta(seconds=self._ahead_s)

    def pass_time(self, seconds: int) -> None:
        """Their clock goes on; ours does not."""
        self._ahead_s += seconds
        self.live.control("PUT", "/_clock", {"ahead_s": self._ahead_s})

    def ship(self, *documents: str) -> None:
        self.live.control("POST", "/_ship", list(documents))

    def rows(self, order_no: str) -> list[dict[str, Any]]:
        return [row for row in self._books.orders() if row["order_no"].startswith(order_no)]

    def state(self, order_no: str) -> str:
        (row,) = self.rows(order_no)
        return str(row["state"])

    def free(self, sku: str, region: str = "330106") -> int:
        (goods,) = [row for row in self._books.goods(region) if row["sku"] == sku]
        return int(goods["stock"])

    def to_its_end(self, writer: str, document: Mapping[str, Any], faults: list[str]) -> Receipt:
        """What the runtime does: one key, after each doubt by the writer's idempotency, until there is an answer."""
        key = self.new(f"points.redeem:{writer}")
        for fault in faults:
            if landed := self._find(writer, key):
                return landed
            with self.live.faults(**{fault: 1}), pytest.raises((UncertainError, TransientError)):
                self.do(writer, document, key)
        return self.again(writer, document, key)

    def again(self, writer: str, document: Mapping[str, Any], key: str) -> Receipt:
        """What follows a doubt: by the writer's idempotency the same key again, or a look first; 5 times at most."""
        for _ in range(TRIES - 1):
            with suppress(UncertainError, TransientError):
                return self._find(writer, key) or self.do(writer, document, key)
        return self._find(writer, key) or self.do(writer, document, key)

    def _find(self, writer: str, key: str) -> Receipt | None:
        spec = self.live.connector.manifest.writer(writer)
        assert spec is not None
        if spec.idempotency is not Idempotency.READ_BACK:
            return None
        return self.live.connector.writers[writer].find(key)


class Beliefs:
    """What our writers were told of the orders of one SKU, and so what the supplier's books must say."""

    def __init__(self, supplier: Supplier) -> None:
        self.supplier = supplier
        self.sku = supplier.sell()
        self.number = f"{supplier.new('life')}."
        self.states: dict[str, str] = {}
        self.orders: dict[str, tuple[str, int]] = {}
        self.current: dict[str, str] = {}

    def taken(self) -> int:
        return sum(quantity for document, (_, quantity) in self.orders.items() if self.states[document] in LIVE)

    def reserve(self, order_no: str, quantity: int, faults: list[str]) -> None:
        if self.states.get(self.current.get(order_no, "")) in LIVE:
            return
        refused = "" if self.taken() + quantity <= STOCK else "supplier.out_of_stock"
        receipt = self._ask("reserve", order(order_no, self.sku, quantity), faults, refused)
        if receipt is not None:
            self.orders[receipt.outside_id] = (order_no, quantity)
            self.current[order_no] = receipt.outside_id
            self._believe(receipt, "held")

    def confirm(self, order_no: str, quantity: int, faults: list[str]) -> None:
        self._settle("confirm", order_no, faults, {"held": "ordered"}, ("lapsed", "cancelled"))

    def cancel(self, order_no: str, quantity: int, faults: list[str]) -> None:
        self._settle("cancel", order_no, faults, {"held": "cancelled", "ordered": "cancelled"}, ("shipped",))

    def lapse(self, order_no: str, quantity: int, faults: list[str]) -> None:
        self.supplier.pass_time(HOLD_S + 1)
        self.states |= {document: "lapsed" for document, state in self.states.items() if state == "held"}

    def ship(self, order_no: str, quantity: int, faults: list[str]) -> None:
        document = self.current.get(order_no, "")
        self.supplier.ship(document)
        if self.states.get(document) == "ordered":
            self.states[document] = "shipped"

    def assert_their_books_agree(self) -> None:
        rows = {row.pop("document"): row for row in self.supplier.rows(self.number)}
        believed = {}
        for document, (order_no, quantity) in self.orders.items():
            state = self.states[document]
            billed = quantity if state in LIVE else 0
            believed[document] = {
                "order_no": order_no,
                "state": "ordered" if state == "shipped" else state,
                "shipped": state == "shipped",
                "points": POINTS * billed,
                "cash_minor": CASH * billed,
            }
        assert rows == believed
        assert self.supplier.free(self.sku) == STOCK - self.taken()

    def _settle(
        self, writer: str, order_no: str, faults: list[str], moves: Mapping[str, str], refused: tuple[str, ...]
    ) -> None:
        document = self.current.get(order_no)
        if document is None:
            return
        state = self.states[document]
        refusal = f"supplier.{state}" if state in refused else ""
        receipt = self._ask(writer, {"order_no": order_no, "document": document}, faults, refusal)
        if receipt is not None:
            assert receipt.outside_id == document
            self._believe(receipt, moves.get(state, state))

    def _ask(self, writer: str, document: Mapping[str, Any], faults: list[str], refusal: str) -> Receipt | None:
        if not refusal:
            return self.supplier.to_its_end(writer, document, faults)
        with pytest.raises(RejectedError) as caught:
            self.supplier.to_its_end(writer, document, faults)
        assert caught.value.code == refusal
        return None

    def _believe(self, receipt: Receipt, state: str) -> None:
        assert receipt.detail["state"] == state
        self.states[receipt.outside_id] = state


DEEDS = ("reserve", "reserve", "confirm", "confirm", "cancel", "lapse", "ship")
FAULTS = st.lists(st.sampled_from(["drop_answer", "error500"]), max_size=2)
LIFE = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.integers(0, 1), st.integers(1, 3), FAULTS), min_size=5, max_size=12
)


def live_through(supplier: Supplier, life: list[Any]) -> None:
    """A life of orders, with answers lost and servers failing in between; then their books and our beliefs agree."""
    beliefs = Beliefs(supplier)
    for deed, which, quantity, faults in life:
        getattr(beliefs, deed)(f"{beliefs.number}{which}", quantity, faults)
    beliefs.assert_their_books_agree()


def any_life(test: Callable[..., None]) -> Callable[..., None]:
    """A test of any ``life``; each supplier decorates its own, since hypothesis wants one class a test."""
    known = (
        [("reserve", 0, 3, []), ("confirm", 0, 1, ["drop_answer"]), ("lapse", 0, 1, [])],
        [("reserve", 0, 3, ["drop_answer"]), ("confirm", 0, 1, []), ("ship", 0, 1, []), ("cancel", 0, 1, [])],
        [("reserve", 0, 3, []), ("reserve", 1, 2, []), ("lapse", 0, 1, []), ("reserve", 1, 2, ["error500"])],
        [("reserve", 0, 3, []), ("confirm", 0, 1, []), ("cancel", 0, 1, ["drop_answer", "error500"])],
    )
    decorated = given(life=LIFE)(test)
    for life in known:
        decorated = example(life=life)(decorated)
    return settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])(decorated)


class SupplierBehaviour:
    """Inherit, set ``connector`` and what its ``auth`` needs, and give its books."""

    connector: ClassVar[str]
    settings: ClassVar[Mapping[str, str]]
    secrets: ClassVar[Mapping[str, str]]
    simulator_settings: ClassVar[Mapping[str, str]]

    @staticmethod
    def books(config: SystemConfig) -> SupplierBooks:
        raise NotImplementedError("give the supplier's books")

    @pytest.fixture(scope="class")
    @classmethod
    def supplier(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supplier]:
        with live_system(
            cls.connector,
            tmp_path_factory.mktemp(cls.connector) / "books.db",
            settings=cls.settings,
            secrets=cls.secrets,
            simulator_settings={**cls.secrets, **cls.simulator_settings, "hold_s": str(HOLD_S)},
            faults={},
        ) as live:
            yield Supplier(live, cls.books(live.config))

    def test_goods_are_kept_then_ordered_then_gone(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        number = supplier.new("PM")
        held = supplier.do("reserve", order(number, sku))
        assert held.detail["state"] == "held"
        assert (held.detail["points"], held.detail["cash_minor"]) == (2 * POINTS, 2 * CASH)
        assert supplier.free(sku) == STOCK - 2
        ordered = supplier.do("confirm", {"order_no": number, "document": held.outside_id})
        assert (ordered.outside_id, ordered.detail["state"]) == (held.outside_id, "ordered")
        supplier.ship(held.outside_id)
        assert supplier.rows(number) == [
            {
                "order_no": number,
                "document": held.outside_id,
                "state": "ordered",
                "shipped": True,
                "points": 2 * POINTS,
                "cash_minor": 2 * CASH,
            }
        ]
        assert supplier.free(sku) == STOCK - 2

    def test_what_they_do_not_sell_is_refused_by_name(self, supplier: Supplier) -> None:
        number = supplier.new("PM")
        refused = supplier.refusal("reserve", order(number, "NOTHING"))
        assert (refused.code, refused.context["sku"]) == ("supplier.unknown_goods", "NOTHING")
        assert supplier.rows(number) == []

    def test_one_unknown_line_keeps_the_other_goods_free(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        lines = [line(sku, 1), line("NOTHING", 1, line_no=2)]
        assert supplier.refusal("reserve", order(supplier.new("PM"), sku, lines=lines)).code == "supplier.unknown_goods"
        assert supplier.free(sku) == STOCK

    def test_what_is_not_free_in_the_area_is_refused(self, supplier: Supplier) -> None:
        sku = supplier.sell(stock={"33": 3, "310000": 9})
        supplier.reserve(sku)
        refused = supplier.refusal("reserve", order(supplier.new("PM"), sku))
        assert (refused.code, refused.context["sku"]) == ("supplier.out_of_stock", sku)
        assert supplier.do("reserve", order(supplier.new("PM"), sku, region_code="31")).detail["state"] == "held"
        elsewhere = order(supplier.new("PM"), sku, region_code="440106")
        assert supplier.refusal("reserve", elsewhere).code == "supplier.out_of_stock"

    def test_goods_without_an_area_are_for_all_who_have_none_of_their_own(self, supplier: Supplier) -> None:
        sku = supplier.sell(stock={"*": 2, "33": 1})
        assert (supplier.free(sku, "33"), supplier.free(sku, "44")) == (1, 2)
        supplier.do("reserve", order(supplier.new("PM"), sku, region_code="44"))
        assert (supplier.free(sku, "33"), supplier.free(sku, "31")) == (1, 0)

    def test_lines_of_the_same_goods_count_together(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        lines = [line(sku, 3), line(sku, 2, line_no=2)]
        refused = supplier.refusal("reserve", order(supplier.new("PM"), sku, lines=lines))
        assert refused.code == "supplier.out_of_stock"

    @pytest.mark.parametrize("change", [{"points": POINTS * 2 - 1}, {"cash_minor": CASH * 2 + 1}])
    def test_another_price_is_refused_with_the_present_one(self, supplier: Supplier, change: dict[str, int]) -> None:
        sku = supplier.sell()
        refused = supplier.refusal("reserve", order(supplier.new("PM"), sku, lines=[line(sku, 2, **change)]))
        assert (refused.code, refused.context["sku"]) == ("supplier.price_changed", sku)
        assert str(POINTS) in refused.detail

    def test_a_price_that_changes_later_does_not_change_what_is_billed(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        held = supplier.reserve(sku)
        supplier.live.control("POST", "/_goods", [{"sku": sku, "points": POINTS + 1, "cash_minor": 0}])
        assert supplier.do("confirm", held).detail["points"] == 2 * POINTS
        assert supplier.refusal("reserve", order(supplier.new("PM"), sku)).code == "supplier.price_changed"

    def test_what_lapsed_cannot_be_confirmed_and_is_free_again(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        held = supplier.reserve(sku)
        supplier.pass_time(HOLD_S + 1)
        assert supplier.refusal("confirm", held).code == "supplier.lapsed"
        assert supplier.state(held["order_no"]) == "lapsed"
        assert supplier.free(sku) == STOCK

    def test_what_lapsed_can_be_reserved_again_under_another_key(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        held = supplier.reserve(sku)
        supplier.pass_time(HOLD_S + 1)
        again = supplier.do("reserve", order(held["order_no"], sku))
        assert again.outside_id != held["document"]
        assert supplier.do("confirm", {**held, "document": again.outside_id}).detail["state"] == "ordered"

    def test_an_order_does_not_lapse(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        supplier.do("confirm", held)
        supplier.pass_time(HOLD_S + 1)
        assert supplier.do("confirm", held).detail["state"] == "ordered"

    def test_a_confirmation_whose_answer_was_lost_stands_when_time_has_passed(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        supplier.to_its_end("confirm", held, ["drop_answer"])
        supplier.pass_time(HOLD_S + 1)
        assert supplier.state(held["order_no"]) == "ordered"

    @pytest.mark.parametrize("confirmed", [False, True])
    def test_cancelling_twice_is_cancelling_once(self, supplier: Supplier, confirmed: bool) -> None:
        sku = supplier.sell()
        held = supplier.reserve(sku)
        if confirmed:
            supplier.do("confirm", held)
        first, second = supplier.do("cancel", held), supplier.do("cancel", held)
        assert first == second
        assert (first.detail["state"], first.detail["points"], first.detail["cash_minor"]) == ("cancelled", 0, 0)
        assert supplier.free(sku) == STOCK

    def test_what_lapsed_is_cancelled_without_complaint(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        supplier.pass_time(HOLD_S + 1)
        assert supplier.do("cancel", held).detail["state"] == "lapsed"

    def test_what_was_cancelled_cannot_be_confirmed(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        supplier.do("cancel", held)
        assert supplier.refusal("confirm", held).code == "supplier.cancelled"

    def test_what_left_cannot_be_taken_back(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        supplier.do("confirm", held)
        supplier.ship(held["document"])
        assert supplier.refusal("cancel", held).code == "supplier.shipped"

    def test_a_number_of_another_order_is_not_touched(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        mine, theirs = supplier.reserve(sku, 1), supplier.reserve(sku, 1)
        for writer in ("confirm", "cancel"):
            mixed = {**mine, "document": theirs["document"]}
            assert supplier.refusal(writer, mixed).code == "supplier.unknown_order"
        assert (supplier.state(mine["order_no"]), supplier.state(theirs["order_no"])) == ("held", "held")

    @pytest.mark.parametrize("key", ["k" * 300, "points.spend:yunshang:会员-1:reserve", "<&>'\" ]]>", "a:b#2:undo"])
    def test_any_key_lands_its_own_order_once(self, supplier: Supplier, key: str) -> None:
        sku, numbers = supplier.sell(), [supplier.new("PM"), supplier.new("PM")]
        first = supplier.do("reserve", order(numbers[0], sku), key)
        other = supplier.do("reserve", order(numbers[1], sku), f"{key}#2")
        assert supplier.again("reserve", order(numbers[0], sku), key) == first
        assert first.outside_id != other.outside_id
        assert supplier.free(sku) == STOCK - 4

    def test_an_order_may_have_as_long_a_number_as_we_give(self, supplier: Supplier) -> None:
        number, sku = f"{supplier.new('yunshang:')}{'号' * 230}", supplier.sell()
        held = supplier.do("reserve", order(number, sku))
        supplier.do("confirm", {"order_no": number, "document": held.outside_id})
        assert supplier.state(number) == "ordered"

    def test_stock_is_never_oversold_in_a_rush(self, supplier: Supplier) -> None:
        sku = supplier.sell()

        def one(number: int) -> str:
            try:
                return str(
                    supplier.do("reserve", order(f"rush-{sku}-{number}", sku, 1), f"k-{sku}-{number}").detail["state"]
                )
            except RejectedError as error:
                return error.code

        with ThreadPoolExecutor(8) as pool:
            answers = Counter(pool.map(one, range(STOCK * 3)))
        assert answers == {"held": STOCK, "supplier.out_of_stock": STOCK * 2}
        assert len(supplier.rows(f"rush-{sku}-")) == STOCK

    def test_a_busy_supplier_has_done_nothing_and_is_asked_again_later(self, supplier: Supplier) -> None:
        number, sku = supplier.new("PM"), supplier.sell()
        with supplier.live.faults(busy=1), pytest.raises(TransientError):
            supplier.do("reserve", order(number, sku))
        assert supplier.rows(number) == []

    def test_wrong_credentials_are_a_matter_of_our_configuration(self, supplier: Supplier) -> None:
        config = supplier.live.config
        wrong = SystemConfig(
            name=config.name,
            connector=config.connector,
            owner="o",
            brand="b",
            settings=config.settings,
            secrets=dict.fromkeys(config.secrets, "wrong"),
        )
        body = supplier.live.outward("reserve", order(supplier.new("PM"), supplier.sell()))
        with pytest.raises(ConfigurationError) as caught:
            connect(wrong).writers["reserve"].write("k", body)
        assert "wrong" not in str(caught.value)
        with pytest.raises(ConfigurationError):
            list(self.books(wrong).orders())

    @pytest.mark.parametrize(
        ("path", "body"),
        [("/_goods", [{"sku": "X"}]), ("/_goods", [{"sku": "X", "points": -1, "cash_minor": 0}]), ("/_clock", {})],
    )
    def test_a_control_says_what_is_wrong(self, supplier: Supplier, path: str, body: Any) -> None:
        method = "PUT" if path == "/_clock" else "POST"
        with pytest.raises(HubError, match="422"):
            supplier.live.control(method, path, body)
