"""The gift supplier: one answer for each key, one live pre-order for each order, nobody let in unsigned."""

import hashlib
import hmac
import time
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import ConflictError, RejectedError, TransientError, UncertainError
from canonical_model.ports import SystemConfig
from connectors.giftco.books import GiftcoBooks
from connectors.giftco.client import PREORDERS, minor
from connectors.giftco.desk import yuan
from connectors.giftco.sign import IDEMPOTENCY_KEY, SIGNATURE, signature, signed_headers
from connectors.giftco.writers import ReserveWriter
from flows.testing import hostile
from tests.connectors.suppliers import (
    CASH,
    HOLD_S,
    POINTS,
    STOCK,
    Supplier,
    SupplierBehaviour,
    SupplierBooks,
    any_life,
    live_through,
    order,
)

SECRET = "keep-this-to-yourself"
ITEM = {"lineNo": "1", "goodsCode": "X", "quantity": 1, "points": 0, "cash": "0.00"}


class TestGiftcoOrders(SupplierBehaviour):
    connector = "giftco"
    settings: ClassVar = {"app_key": "yunshang"}
    secrets: ClassVar = {"app_secret": SECRET}
    simulator_settings: ClassVar = {"app_key": "yunshang", "ship_s": "inf"}

    @staticmethod
    def books(config: SystemConfig) -> SupplierBooks:
        return GiftcoBooks(config)

    @any_life
    def test_their_books_say_what_our_writers_were_told(self, supplier: Supplier, life: list[Any]) -> None:
        live_through(supplier, life)

    def test_a_key_gets_its_first_answer_also_when_the_order_went_on(self, supplier: Supplier) -> None:
        sku, number = supplier.sell(), supplier.new("PM")
        first = supplier.do("reserve", order(number, sku), f"key of {number}")
        supplier.do("cancel", {"order_no": number, "document": first.outside_id})
        assert supplier.do("reserve", order(number, sku), f"key of {number}") == first
        assert supplier.state(number) == "cancelled"

    def test_a_key_for_another_request_is_a_conflict(self, supplier: Supplier) -> None:
        sku, key = supplier.sell(), supplier.new("key")
        supplier.do("reserve", order(supplier.new("PM"), sku), key)
        with pytest.raises(ConflictError) as caught:
            supplier.do("reserve", order(supplier.new("PM"), sku), key)
        assert caught.value.code == "supplier.key_reused"
        assert supplier.free(sku) == STOCK - 2

    def test_a_refusal_is_not_kept_under_its_key(self, supplier: Supplier) -> None:
        number, key, sku = supplier.new("PM"), supplier.new("key"), supplier.sell(stock={"33": 1})
        with pytest.raises(RejectedError) as caught:
            supplier.do("reserve", order(number, sku), key)
        assert caught.value.code == "supplier.out_of_stock"
        more = {"sku": sku, "points": POINTS, "cash_minor": CASH, "stock": {"33": 2}}
        supplier.live.control("POST", "/_goods", [more])
        assert supplier.do("reserve", order(number, sku), key).detail["state"] == "held"

    def test_an_order_has_one_live_pre_order(self, supplier: Supplier) -> None:
        sku = supplier.sell()
        held = supplier.reserve(sku)
        refused = supplier.refusal("reserve", order(held["order_no"], sku))
        assert (refused.code, type(refused)) == ("supplier.order_exists", ConflictError)
        assert supplier.free(sku) == STOCK - 2

    def test_a_pre_order_lapses_when_we_said_if_that_is_sooner(self, supplier: Supplier) -> None:
        sku, soon = supplier.sell(), supplier.now().replace(microsecond=0) + timedelta(seconds=HOLD_S // 2)
        ours = supplier.do("reserve", order(supplier.new("PM"), sku, 1, expires_at=soon.isoformat()))
        assert datetime.fromisoformat(ours.detail["expires_at"]) == soon

    def test_a_pre_order_lapses_by_their_time_if_that_is_sooner(self, supplier: Supplier) -> None:
        before = supplier.now() + timedelta(seconds=HOLD_S - 1)
        held = supplier.do("reserve", order(supplier.new("PM"), supplier.sell()))
        after = supplier.now() + timedelta(seconds=HOLD_S)
        assert before <= datetime.fromisoformat(held.detail["expires_at"]) <= after

    def test_a_time_that_has_passed_keeps_nothing(self, supplier: Supplier) -> None:
        past = order(supplier.new("PM"), supplier.sell(), expires_at="2026-01-01T00:00:00+08:00")
        assert supplier.refusal("reserve", past).code == "supplier.lapsed"

    def test_an_order_leaves_by_itself_when_its_time_has_come(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        supplier.do("confirm", held)
        supplier.pass_time(10 * 86_400)
        assert [row["shipped"] for row in supplier.rows(held["order_no"])] == [False]
        supplier.ship(held["document"])
        assert [row["shipped"] for row in supplier.rows(held["order_no"])] == [True]

    def test_a_page_goes_on_where_the_last_one_ended(self, supplier: Supplier) -> None:
        sku = supplier.sell(stock={"33": 5})
        for number in range(5):
            supplier.do("reserve", order(f"paged-{number}", sku, 1))
        rows, after = [], 0
        while after is not None:
            answer = get(supplier, f"{PREORDERS}?after={after}&limit=2")
            assert len(answer["data"]) <= 2
            rows += answer["data"]
            after = answer["next"]
        assert len({row["preorderNo"] for row in rows}) == len(rows)
        assert sum(row["orderNo"].startswith("paged-") for row in rows) == 5

    def test_hostile_bodies_are_refused(self, supplier: Supplier) -> None:
        for name, (_, body) in hostile.BODIES.items():
            assert post(supplier, body).status_code == 400, name
        for record in hostile.RECORDS:
            assert post(supplier, orjson.dumps(record)).status_code == 400, record

    @pytest.mark.parametrize(
        "change",
        [
            {"items": []},
            {"items": [ITEM] * 501},
            {"items": [{**ITEM, "quantity": 0}]},
            {"items": [{**ITEM, "quantity": 10_000}]},
            {"items": [{**ITEM, "points": "1"}]},
            {"items": [{**ITEM, "points": -1}]},
            {"items": [{**ITEM, "cash": "NaN"}]},
            {"items": [{**ITEM, "cash": "0.001"}]},
            {"items": [{**ITEM, "cash": "1e99"}]},
            {"holdUntil": 1e300},
        ],
    )
    def test_a_request_out_of_bounds_is_refused(self, supplier: Supplier, change: dict[str, Any]) -> None:
        good = {"orderNo": "B1", "memberRef": "1", "provinceCode": "33", "holdUntil": 4_070_880_000_000, "items": []}
        answer = post(supplier, orjson.dumps({**good, **change}))
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")

    def test_a_write_without_a_key_is_refused(self, supplier: Supplier) -> None:
        assert post(supplier, b"{}", key="").status_code == 400

    @pytest.mark.parametrize(
        "change",
        [
            {SIGNATURE: "0" * 64},
            {SIGNATURE: ""},
            {"X-App-Key": "other"},
            {"X-Timestamp": "1"},
            {"X-Timestamp": "now"},
            {IDEMPOTENCY_KEY: "another key"},
        ],
    )
    def test_a_changed_call_is_not_let_in(self, supplier: Supplier, change: dict[str, str]) -> None:
        assert post(supplier, b"{}", change=change).status_code == 401

    @pytest.mark.parametrize("off_s", [-400, 400])
    def test_a_call_from_another_time_is_not_let_in(self, supplier: Supplier, off_s: int) -> None:
        assert post(supplier, b"{}", off_s=off_s).json()["code"] == "STALE"


def post(
    supplier: Supplier, body: bytes, *, key: str = "a key", off_s: int = 0, change: dict[str, str] | None = None
) -> httpx.Response:
    """A signed call; ``change`` is made to its headers afterwards."""
    now_s = time.time() + off_s
    headers = signed_headers("yunshang", SECRET, "POST", PREORDERS, key=key, now_s=now_s, body=body)
    url = f"{supplier.live.simulator.url}{PREORDERS}"
    return httpx.post(url, content=body, headers={**headers, **(change or {})}, trust_env=False)


def get(supplier: Supplier, target: str) -> Any:
    headers = signed_headers("yunshang", SECRET, "GET", target, key="", now_s=time.time(), body=b"")
    return httpx.get(f"{supplier.live.simulator.url}{target}", headers=headers, trust_env=False).json()


def test_the_signature_is_the_documented_one() -> None:
    plain = f"POST\n/v2/preorders\nk-1\n1793669400\n{hashlib.sha256(b'{}').hexdigest()}"
    expected = hmac.new(b"secret", plain.encode(), hashlib.sha256).hexdigest()
    assert signature("secret", "POST", "/v2/preorders", key="k-1", timestamp="1793669400", body=b"{}") == expected


@given(st.integers(0, 10**12))
def test_an_amount_is_read_as_it_was_written(fen: int) -> None:
    assert minor(yuan(fen)) == fen


@pytest.mark.parametrize("amount", ["0.001", "many", "", None, "NaN", "Infinity", [], "1,00"])
def test_what_is_no_amount_in_fen_is_no_amount(amount: Any) -> None:
    with pytest.raises(ValueError, match="whole fen"):
        minor(amount)


class Saying:
    """A client whose every call is answered with the same."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def send(self, path: str, key: str, content: Any) -> dict[str, Any]:
        return self.answer

    def rows(self, path: str, query: Any) -> list[dict[str, Any]]:
        return [self.answer]


ANSWER = {"preorderNo": "G1", "orderNo": "1", "state": "PREHELD", "points": 1, "cash": "1.00", "holdUntil": 1}
BROKEN = [{"state": "?"}, {"state": None}, {"points": "many"}, {"cash": "1.001"}, {"preorderNo": None}]


@pytest.mark.parametrize("change", [*BROKEN, {"holdUntil": None}, {"holdUntil": 1e300}])
def test_an_answer_that_lacks_what_was_agreed_is_a_question(change: dict[str, Any]) -> None:
    answer = {name: value for name, value in {**ANSWER, **change}.items() if value is not None}
    with pytest.raises(UncertainError) as caught:
        ReserveWriter(Saying(answer)).write("k", {})  # type: ignore[arg-type]
    assert caught.value.context["over"]


@pytest.mark.parametrize("change", BROKEN)
def test_books_that_cannot_be_read_are_read_again_later(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"base_url": "http://127.0.0.1:9", "app_key": "yunshang"}
    books = GiftcoBooks(SystemConfig("giftco", "giftco", "o", "b", settings=settings, secrets={"app_secret": SECRET}))
    answer = {name: value for name, value in {**ANSWER, **change}.items() if value is not None}
    monkeypatch.setattr(books, "_client", Saying(answer))
    with pytest.raises(TransientError):
        list(books.orders())
    with pytest.raises(TransientError):
        list(books.goods("33"))
