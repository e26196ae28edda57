"""What the finance company's writers do: book once under a number, find, and say why not."""

import threading
from typing import Any

import pytest

from canonical_model.errors import ConflictError, RejectedError, TransientError, UncertainError
from connectors.finance.books import PAGE_SIZE, FinanceBooks
from flows.testing.live import LiveSystem
from tests.connectors.finance.conftest import CLOSED, CUSTOMER, balance, booked, movement

KEY = "points.exchange:X-7:credit"


def test_a_credit_and_a_debit_reach_the_companys_books(finance: LiveSystem) -> None:
    credited = finance.write("credit", KEY, movement(250))
    debited = finance.write("debit", "points.exchange:X-8:debit", movement(50))
    assert credited.detail == {"points": 250, "balance": 1250}
    assert debited.detail == {"points": 50, "balance": 1200}
    rows = {row["serialNo"]: row for row in FinanceBooks(finance.config).movements()}
    assert rows[credited.outside_id] == {
        "serialNo": credited.outside_id,
        "requestNo": KEY,
        "bizNo": "X-20261103-0007",
        "direction": "IN",
        "source": "PARTNER",
        "accountNo": CUSTOMER,
        "planCode": "group",
        "points": 250,
        "balance": 1250,
        "tradeDate": "20261103",
    }
    assert balance(finance) == 1200


@pytest.mark.parametrize(
    ("writer", "changes", "code"),
    [
        ("credit", {"account": "nobody"}, "provider.unknown_account"),
        ("credit", {"account": CLOSED}, "provider.closed_account"),
        ("credit", {"points": 5001}, "provider.limit"),
        ("debit", {"points": 1001}, "provider.insufficient"),
        ("credit", {"programme": "cloud"}, "provider.unknown_programme"),
        ("credit", {"reference": "9" * 121}, "provider.1008"),
    ],
)
def test_a_refusal_has_a_code_and_nothing_lands(
    finance: LiveSystem, writer: str, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        finance.write(writer, KEY, movement(**changes))
    assert refused.value.code == code
    assert booked(finance) == []
    assert finance.connector.writers[writer].find(KEY) is None


@pytest.mark.parametrize("points", [0, -5, 1.5, "5", True, None, 10**12 + 1])
def test_points_that_no_mapping_lets_through_are_refused_by_the_company_too(finance: LiveSystem, points: Any) -> None:
    body = {**finance.outward("credit", movement()), "points": points}
    with pytest.raises(RejectedError) as refused:
        finance.connector.writers["credit"].write(KEY, body)
    assert refused.value.code == "provider.invalid_points"
    assert booked(finance) == []


def test_the_same_number_with_the_same_content_gets_the_same_receipt(finance: LiveSystem) -> None:
    first = finance.write("credit", KEY, movement())
    finance.control("POST", "/_move", {"account": CUSTOMER, "points": -1})
    assert finance.write("credit", KEY, movement()) == first
    assert finance.connector.writers["credit"].find(KEY) == first
    assert booked(finance) == [("IN", CUSTOMER, 100)]


@pytest.mark.parametrize(("writer", "changes"), [("credit", {"points": 101}), ("debit", {})])
def test_the_same_number_with_another_content_is_a_conflict(
    finance: LiveSystem, writer: str, changes: dict[str, Any]
) -> None:
    finance.write("credit", KEY, movement())
    with pytest.raises(ConflictError) as refused:
        finance.write(writer, KEY, movement(**changes))
    assert refused.value.code == "provider.conflict"
    assert booked(finance) == [("IN", CUSTOMER, 100)]


def test_a_refused_number_is_judged_again(finance: LiveSystem) -> None:
    with pytest.raises(RejectedError):
        finance.write("debit", KEY, movement(1001))
    finance.control("POST", "/_move", {"account": CUSTOMER, "points": 1})
    assert finance.write("debit", KEY, movement(1001)).detail == {"points": 1001, "balance": 0}


def test_a_credit_is_not_found_as_a_debit(finance: LiveSystem) -> None:
    finance.write("credit", KEY, movement())
    assert finance.connector.writers["debit"].find(KEY) is None


def test_the_same_number_from_many_at_once_is_booked_once(finance: LiveSystem) -> None:
    receipts: list[Any] = []
    threads = [
        threading.Thread(target=lambda: receipts.append(finance.write("credit", KEY, movement()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receipts == [receipts[0]] * 8
    assert booked(finance) == [("IN", CUSTOMER, 100)]


@pytest.mark.parametrize("fault", ["drop_answer", "processing", "forged"])
def test_a_write_without_a_trusted_answer_is_cleared_up_by_its_number(finance: LiveSystem, fault: str) -> None:
    with finance.faults(**{fault: 1}), pytest.raises(UncertainError):
        finance.write("credit", KEY, movement(7))
    found = finance.connector.writers["credit"].find(KEY)
    assert found is not None
    assert finance.write("credit", KEY, movement(7)) == found
    assert booked(finance) == [("IN", CUSTOMER, 7)]


def test_a_forged_refusal_refuses_nothing(finance: LiveSystem) -> None:
    with finance.faults(forged=1), pytest.raises(UncertainError, match="not signed"):
        finance.write("credit", KEY, movement(account="nobody"))


def test_a_forged_answer_to_a_look_up_is_not_a_no(finance: LiveSystem) -> None:
    with finance.faults(forged=1), pytest.raises(TransientError):
        finance.connector.writers["credit"].find("never-sent")


def test_a_busy_company_is_asked_again_later(finance: LiveSystem) -> None:
    with finance.faults(busy=1), pytest.raises(TransientError) as busy:
        finance.write("credit", KEY, movement())
    assert busy.value.context["after_s"] == 1
    with finance.faults(overloaded=1), pytest.raises(TransientError) as overloaded:
        finance.write("credit", KEY, movement())
    assert overloaded.value.code == "finance.busy"
    assert booked(finance) == []


def test_what_a_customer_does_at_the_company_is_in_its_books_but_not_ours(finance: LiveSystem) -> None:
    finance.control("POST", "/_move", {"account": CUSTOMER, "points": -400})
    assert finance.write("debit", KEY, movement(600)).detail["balance"] == 0
    assert booked(finance) == [("OUT", CUSTOMER, 600)]


def test_controls_say_no_in_the_companys_words(finance: LiveSystem) -> None:
    with pytest.raises(RejectedError, match="1004"):
        finance.control("POST", "/_move", {"account": CUSTOMER, "points": -1001})
    with pytest.raises(RejectedError, match="1008"):
        finance.control("POST", "/_accounts", [{"account": "A", "state": "?"}])


def test_the_books_are_read_over_all_their_pages(finance: LiveSystem) -> None:
    numbers = [f"A{number:04}" for number in range(2 * PAGE_SIZE)]
    finance.control("POST", "/_accounts", [{"account": number, "balance": 1} for number in numbers])
    books = FinanceBooks(finance.config)
    assert [row["accountNo"] for row in books.accounts()] == sorted([CUSTOMER, CLOSED, *numbers])
    assert [row["accountNo"] for row in books.movements()] == [CUSTOMER, CLOSED, *numbers]
