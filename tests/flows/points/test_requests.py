"""What cannot be right is refused when it is asked, with the field that is wrong, and nothing of it is left."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canonical_model.errors import ConflictError, NotFoundError, RecordError, RejectedError
from flows.points.requests import (
    start_claw_back,
    start_earn,
    start_exchange,
    start_expire,
    start_refund,
    start_spend,
)
from tests.flows.points.world import LEAVES, MILES, NOON, STARS, Club, back, sale

LINE: dict[str, Any] = {"line_no": 1, "sku": "SKU-1", "quantity": 1, "amount_minor": 100}
GOODS: dict[str, Any] = {"line_no": 1, "sku": "MUG", "quantity": 1, "points": 300}
TOO_MANY = 10**12 + 1

EARN: dict[str, Any] = {"programme": STARS, "order_no": "bad", "happened_at": NOON, "lines": [LINE]}
RETURN: dict[str, Any] = {
    "programme": STARS,
    "order_no": "bad",
    "return_no": "R",
    "happened_at": NOON,
    "lines": back(l1=1),
}
SPEND: dict[str, Any] = {
    "programme": STARS, "order_no": "bad", "happened_at": NOON, "region_code": "330106", "supplier": "giftco",
    "lines": [GOODS], "points": 300,
}  # fmt: skip
SWAP: dict[str, Any] = {"from": STARS, "to": LEAVES, "exchange_no": "bad", "points": 300, "happened_at": NOON}
REFUND: dict[str, Any] = {"order_no": "bad", "refund_no": "F", "happened_at": NOON}

WRONG: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Any], str]] = [
    (start_earn, EARN, {"lines": []}, "lines"),
    (start_earn, EARN, {"lines": [LINE, LINE]}, ""),
    (start_earn, EARN, {"lines": [LINE | {"amount_minor": -1}]}, "lines.0.amount_minor"),
    (start_earn, EARN, {"lines": [LINE | {"amount_minor": 0.5}]}, "lines.0.amount_minor"),
    (start_earn, EARN, {"lines": [LINE | {"amount_minor": 10**15 + 1}]}, "lines.0.amount_minor"),
    (start_earn, EARN, {"lines": [LINE | {"quantity": 0}]}, "lines.0.quantity"),
    (start_earn, EARN, {"lines": [LINE | {"quantity": True}]}, "lines.0.quantity"),
    (start_earn, EARN, {"happened_at": "2026-03-01 12:00:00"}, "happened_at"),
    (start_earn, EARN, {"happened_at": 1_772_000_000}, "happened_at"),
    (start_earn, EARN, {"happened_at": "0001-01-01T00:00:00Z"}, "happened_at"),
    (start_earn, EARN, {"order_no": ""}, "order_no"),
    (start_earn, EARN, {"order_no": "x\0"}, "order_no"),
    (start_earn, EARN, {"order_no": 7}, "order_no"),
    (start_earn, EARN, {"holder": "M-1"}, "holder"),
    (start_earn, EARN, {"holder": "9" * 30}, "holder"),
    (start_earn, EARN, {"points": 5}, "points"),
    (start_claw_back, RETURN, {"lines": back(l1=0)}, "lines.0.quantity"),
    (start_claw_back, RETURN, {"return_no": None}, "return_no"),
    (start_spend, SPEND, {"points": 299}, ""),
    (start_spend, SPEND, {"points": -300}, "points"),
    (start_spend, SPEND, {"points": 300.5}, "points"),
    (start_spend, SPEND, {"points": TOO_MANY}, "points"),
    (start_spend, SPEND, {"lines": [GOODS | {"points": -1}]}, "lines.0.points"),
    (start_spend, SPEND, {"lines": [GOODS | {"cash_minor": -1}]}, "lines.0.cash_minor"),
    (start_refund, REFUND, {"points": 0}, "points"),
    (start_exchange, SWAP, {"points": 0}, "points"),
    (start_exchange, SWAP, {"points": -3}, "points"),
    (start_exchange, SWAP, {"points": 1.5}, "points"),
    (start_exchange, SWAP, {"points": "300"}, "points"),
    (start_exchange, SWAP, {"points": TOO_MANY}, "points"),
    (start_exchange, SWAP, {"account": "861"}, "account"),
    (start_exchange, SWAP, {"to": MILES}, "account"),
    (start_expire, {}, {"as_of": "yesterday"}, "as_of"),
    (start_expire, {}, {"as_of": "2199-01-01"}, "as_of"),
]  # fmt: skip


AFTER_ALL = "2190-01-01T12:00:00+08:00"
UNSEEN = "N\u200b1"
CODED: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Any], str]] = [
    *((ask, body, {"happened_at": AFTER_ALL}, "points.future") for ask, body in (
        (start_earn, EARN), (start_claw_back, RETURN), (start_spend, SPEND), (start_refund, REFUND),
        (start_exchange, SWAP),
    )),
    (start_earn, EARN, {"order_no": UNSEEN}, "points.key"),
    (start_earn, EARN, {"part": "P\n1"}, "points.key"),
    (start_claw_back, RETURN, {"return_no": UNSEEN}, "points.key"),
    (start_spend, SPEND, {"order_no": "\u202eN1"}, "points.key"),
    (start_refund, REFUND, {"refund_no": UNSEEN}, "points.key"),
    (start_exchange, SWAP, {"exchange_no": UNSEEN}, "points.key"),
]  # fmt: skip


def body_of(ask: Callable[..., Any], club: Club, body: dict[str, Any]) -> dict[str, Any]:
    return {"holder": club.member(), **body} if ask in (start_earn, start_spend, start_exchange) else body


@pytest.mark.parametrize(("ask", "body", "change", "field"), WRONG)
def test_a_field_that_cannot_be_right_is_named(
    club: Club, ask: Callable[..., Any], body: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecordError) as refused:
        club.start(ask, **body_of(ask, club, body) | change)
    assert field in [issue.field for issue in refused.value.issues]
    assert not club.rows("SELECT id FROM flow_run WHERE input ->> 'order_no' = 'bad'")
    assert not club.rows("SELECT id FROM ledger_transfer WHERE reference = 'bad'")


@pytest.mark.parametrize(("ask", "body", "change", "code"), CODED)
def test_what_is_still_to_come_or_cannot_be_seen_is_refused_with_its_code(
    club: Club, ask: Callable[..., Any], body: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    with pytest.raises(RecordError) as refused:
        club.start(ask, **body_of(ask, club, body) | change)
    assert [(issue.field, issue.code) for issue in refused.value.issues] == [(next(iter(change)), code)]


def test_a_clock_that_is_a_little_ahead_is_taken(club: Club) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=3)).isoformat()
    body = {**EARN, "holder": club.member(), "order_no": club.number(), "happened_at": ahead}
    assert club.ask(start_earn, **body)["outcome"] == "earned"


@pytest.mark.parametrize(
    ("ask", "body", "change", "names"),
    [
        (start_earn, EARN, {"programme": "yunshang/moons"}, STARS),
        (start_claw_back, RETURN, {"programme": "moons"}, STARS),
        (start_spend, SPEND, {"programme": "yunshang/moons"}, STARS),
        (start_exchange, SWAP, {"to": "yunshang/moons"}, STARS),
        (start_earn, EARN, {"holder": "999999999"}, "999999999"),
        (start_spend, SPEND, {"supplier": "nobody"}, "nobody"),
        (start_spend, SPEND, {"supplier": "airline"}, "airline"),
        (start_refund, REFUND, {"order_no": "never"}, "never"),
    ],
)
def test_what_is_not_known_is_named(
    club: Club, ask: Callable[..., Any], body: dict[str, Any], change: dict[str, Any], names: str
) -> None:
    with pytest.raises(NotFoundError, match=names):
        club.start(ask, **body_of(ask, club, body) | change)


def test_so_few_points_that_nothing_is_left_of_them_are_not_exchanged(club: Club) -> None:
    with pytest.raises(RejectedError, match="become nothing") as refused:
        club.start(start_exchange, **body_of(start_exchange, club, SWAP) | {"points": 1})
    assert refused.value.code == "exchange.nothing"


def test_the_same_number_with_other_content_is_refused_and_the_first_stands(club: Club) -> None:
    body = {**EARN, "holder": club.member(), "order_no": club.number()}
    run_id = club.start(start_earn, **body)
    assert club.start(start_earn, **body) == run_id
    with pytest.raises(ConflictError) as refused:
        club.start(start_earn, **body | {"lines": sale(999)})
    assert refused.value.code == "points.key_conflict"
    assert club.ended(run_id)["results"]["earn"]["points"] == 1


def test_a_sale_that_earns_more_than_a_ledger_holds_asks_a_person_and_posts_nothing(club: Club) -> None:
    holder, order = club.member(), club.number()
    rich = [{"line_no": n, "sku": "GOLD", "quantity": 1, "amount_minor": 10**15} for n in range(1, 12)]
    body = {"programme": LEAVES, "holder": holder, "order_no": order, "happened_at": NOON}
    run = club.ask(start_earn, **body, lines=rich)
    assert (run["state"], run["error"]["code"]) == ("parked", "points.too_many")
    assert not club.rows("SELECT id FROM ledger_transfer WHERE reference = %s", order)
