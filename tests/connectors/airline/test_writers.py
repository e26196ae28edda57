"""What the airline's writers do: post, find, say why not; tokens that end; words that are not repeated."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from canonical_model.errors import (
    AccessError,
    ConfigurationError,
    HubError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import SystemConfig
from connectors.airline.books import PAGE_SIZE, AirlineBooks
from connectors.airline.client import TOKEN, Tokens
from connectors.airline.simulator import MAX_BODY_BYTES
from connectors.kit.http import HttpClient
from connectors.kit.registry import connect
from flows.testing import hostile
from flows.testing.live import LiveSystem
from tests.connectors.airline.conftest import CLOSED, MEMBER, SECRET, balance, booked, movement

KEY = "points.exchange:X-7:credit"


def test_a_credit_and_a_debit_reach_the_airlines_books(airline: LiveSystem) -> None:
    credited = airline.write("credit", KEY, movement(250, surname="Chen"))
    debited = airline.write("debit", "points.exchange:X-8:debit", movement(50))
    assert credited.detail == {"points": 250, "balance": 1250}
    assert debited.detail == {"points": 50, "balance": 1200}
    rows = {row["transactionNumber"]: row for row in AirlineBooks(airline.config).transactions()}
    assert rows[credited.outside_id] == {
        "transactionNumber": credited.outside_id,
        "partnerReference": KEY,
        "documentNumber": "X-20261103-0007",
        "type": "CREDIT",
        "origin": "PARTNER",
        "accountNumber": MEMBER,
        "programmeCode": "skymiles",
        "miles": 250,
        "balance": 1250,
        "activityDate": "2026-11-03",
    }
    assert balance(airline) == 1200


@pytest.mark.parametrize(
    ("writer", "changes", "code"),
    [
        ("credit", {"account": "nobody"}, "provider.unknown_account"),
        ("credit", {"account": CLOSED}, "provider.closed_account"),
        ("credit", {"surname": "LI"}, "provider.wrong_name"),
        ("credit", {"points": 5001}, "provider.limit"),
        ("debit", {"points": 1001}, "provider.insufficient"),
        ("credit", {"points": 10**12}, "provider.limit"),
        ("credit", {"programme": "cloudmiles"}, "provider.unknown_programme"),
        ("credit", {"reference": "9" * 121}, "provider.invalid_request"),
    ],
)
def test_a_refusal_has_a_code_and_nothing_lands(
    airline: LiveSystem, writer: str, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        airline.write(writer, KEY, movement(**changes))
    assert refused.value.code == code
    assert booked(airline) == []
    assert airline.connector.writers[writer].find(KEY) is None


@pytest.mark.parametrize("miles", [0, -5, 1.5, "5", True, None, 10**12 + 1])
def test_miles_that_no_mapping_lets_through_are_refused_by_the_airline_too(airline: LiveSystem, miles: Any) -> None:
    body = {**airline.outward("credit", movement()), "miles": miles}
    with pytest.raises(RejectedError) as refused:
        airline.connector.writers["credit"].write(KEY, body)
    assert refused.value.code == "provider.invalid_points"
    assert booked(airline) == []


def test_the_airline_posts_the_same_reference_twice_so_we_must_look(airline: LiveSystem) -> None:
    first, second = (airline.write("credit", KEY, movement()) for _ in range(2))
    found = airline.connector.writers["credit"].find(KEY)
    assert found is not None
    assert found.outside_id == first.outside_id
    assert found.detail == {"points": 100, "balance": 1100, "duplicates": [second.outside_id]}


def test_a_credit_is_not_found_as_a_debit(airline: LiveSystem) -> None:
    airline.write("credit", KEY, movement())
    assert airline.connector.writers["debit"].find(KEY) is None


def test_what_a_member_does_at_the_airline_is_in_its_books_but_not_ours(airline: LiveSystem) -> None:
    airline.control("POST", "/_move", {"account": MEMBER, "points": -400})
    with pytest.raises(RejectedError) as refused:
        airline.write("debit", KEY, movement(601))
    assert refused.value.code == "provider.insufficient"
    assert airline.write("debit", KEY, movement(600)).detail["balance"] == 0
    assert booked(airline) == [("DEBIT", MEMBER, 600)]


def test_a_lost_answer_is_found_and_leaves_one_posting(airline: LiveSystem) -> None:
    airline.write("credit", "another", movement())
    with airline.faults(drop_answer=1), pytest.raises(UncertainError):
        airline.write("credit", KEY, movement(7))
    found = airline.connector.writers["credit"].find(KEY)
    assert found is not None
    assert found.detail["points"] == 7
    assert booked(airline) == [("CREDIT", MEMBER, 100), ("CREDIT", MEMBER, 7)]


def test_a_busy_airline_says_when_to_come_again(airline: LiveSystem) -> None:
    with airline.faults(busy=1), pytest.raises(TransientError) as busy:
        airline.write("credit", KEY, movement())
    assert busy.value.context["after_s"] == 1
    with airline.faults(maintenance=1), pytest.raises(TransientError):
        airline.write("credit", KEY, movement())
    assert booked(airline) == []


class TestTokens:
    def test_one_token_serves_both_writers(self, airline: LiveSystem) -> None:
        for number in range(3):
            airline.write("credit", f"c{number}", movement())
            airline.write("debit", f"d{number}", movement())
        assert airline.control("GET", "/_tokens") == {"given": 1}

    def test_a_token_that_ended_early_is_renewed_and_the_write_lands_once(self, airline: LiveSystem) -> None:
        airline.write("credit", "first", movement())
        airline.control("DELETE", "/_tokens")
        airline.write("credit", "second", movement())
        assert airline.connector.writers["credit"].find("second") is not None
        assert len(booked(airline)) == 2

    def test_many_writers_whose_token_ended_fetch_few_new_ones(self, airline: LiveSystem) -> None:
        airline.write("credit", "first", movement(1))
        airline.control("DELETE", "/_tokens")
        threads = [
            threading.Thread(target=airline.write, args=("credit", f"k{number}", movement(1))) for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert airline.control("GET", "/_tokens") == {"given": 2}
        assert len(booked(airline)) == 9

    def test_a_token_is_renewed_before_it_ends(self, airline: LiveSystem) -> None:
        now = [0.0]
        tokens = Tokens(airline.config, clock=lambda: now[0])
        first = tokens.current(None)
        now[0] = 289.0
        assert tokens.current(None) == first
        now[0] = 291.0
        assert tokens.current(None) != first

    def test_wrong_credentials_are_a_matter_of_configuration(self, airline: LiveSystem) -> None:
        config = replace(airline.config, secrets={"client_secret": "guessed"})
        with pytest.raises(ConfigurationError, match="client_secret") as wrong:
            connect(config).writers["credit"].write(KEY, airline.outward("credit", movement()))
        assert "guessed" not in str(wrong.value)

    def test_nobody_is_let_in_without_a_token(self, airline: LiveSystem) -> None:
        with HttpClient(airline.simulator.url, timeout_s=5) as http:
            for shown in ("", "Bearer", f"Bearer {SECRET}", Tokens(airline.config).current(None)):
                with pytest.raises(ConfigurationError, match="401"):
                    http.read("GET", "/v2/partner/transactions", headers={"Authorization": shown})

    def test_only_the_grant_that_was_agreed_gives_a_token(self, airline: LiveSystem) -> None:
        with (
            HttpClient(airline.simulator.url, timeout_s=5, auth=("yunshang", SECRET)) as http,
            pytest.raises(RejectedError, match="grant"),
        ):
            http.read("POST", TOKEN, data={"grant_type": "password"})


def test_the_simulated_airline_survives_hostile_bodies(airline: LiveSystem) -> None:
    tokens = Tokens(airline.config)
    headers = {"Authorization": f"Bearer {tokens.current(None)}"}
    bodies = [body for _, body in hostile.BODIES.values()] + [b"[]", b"{}", b"null", b" " * (MAX_BODY_BYTES + 1)]
    with HttpClient(airline.simulator.url, timeout_s=5) as http:
        for body in bodies:
            with pytest.raises(RejectedError, match=r"answered 4(00|13|22)"):
                http.send("POST", "/v2/partner/credits", content=body, headers=headers)
    assert booked(airline) == []


class Canned:
    """An airline that gives tokens and always the same answer."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b""
        self.token = b'{"access_token": "t", "expires_in": 300}'
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if self.path == TOKEN:
                    self.reply(200, outer.token)
                else:
                    self.reply(outer.status, outer.answer)

            def do_GET(self) -> None:
                self.reply(outer.status, outer.answer)

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        settings = {"base_url": f"http://127.0.0.1:{self.server.server_port}", "client_id": "yunshang"}
        config = SystemConfig("airline", "airline", "o", "b", settings=settings, secrets={"client_secret": SECRET})
        self.writer = connect(config).writers["credit"]

    def says(self, answer: Any, status: int = 200) -> None:
        self.status, self.answer = status, answer if isinstance(answer, bytes) else orjson.dumps(answer)


@pytest.fixture
def canned() -> Iterator[Canned]:
    canned = Canned()
    yield canned
    canned.server.shutdown()
    canned.server.server_close()


GOOD = {"transactionNumber": "FF1", "partnerReference": KEY, "miles": 100, "balance": 1100}
BODY = {"accountNumber": MEMBER, "miles": 100}


def test_a_whole_answer_is_a_receipt(canned: Canned) -> None:
    canned.says(GOOD, 201)
    assert canned.writer.write(KEY, BODY).outside_id == "FF1"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        [],
        {},
        {**GOOD, "transactionNumber": ""},
        {**GOOD, "transactionNumber": 7},
        {**GOOD, "miles": 99},
        {**GOOD, "miles": "100"},
        {**GOOD, "balance": None},
        {**GOOD, "partnerReference": "another"},
    ],
)
def test_an_answer_that_does_not_say_what_landed_leaves_a_doubt(canned: Canned, answer: Any) -> None:
    canned.says(answer)
    with pytest.raises(UncertainError) as doubt:
        canned.writer.write(KEY, BODY)
    assert doubt.value.context["over"]


@pytest.mark.parametrize("answer", [b"<html>", {}, {"transactions": None}, {"transactions": [{**GOOD, "miles": None}]}])
def test_an_unreadable_answer_to_a_look_up_is_not_a_no(canned: Canned, answer: Any) -> None:
    canned.says(answer)
    with pytest.raises(TransientError):
        canned.writer.find(KEY)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (422, {"code": "MONTHLY_LIMIT"}, RejectedError, "provider.limit"),
        (422, {"code": "SOMETHING_NEW"}, RejectedError, "provider.something_new"),
        (404, {"code": "ACCOUNT_NOT_FOUND"}, RejectedError, "provider.unknown_account"),
        (404, b"<html>no such page</html>", ConfigurationError, "airline.access"),
        (400, {"code": "a b\nc"}, ConfigurationError, "airline.access"),
        (301, b"", ConfigurationError, "airline.access"),
        (401, b"", ConfigurationError, "airline.access"),
        (403, {"code": "FORBIDDEN"}, ConfigurationError, "http.403"),
        (429, b"", TransientError, "http.429"),
        (503, b"", TransientError, "http.503"),
        (500, {"code": "ACCOUNT_CLOSED"}, UncertainError, "http.500"),
        (502, b"", UncertainError, "http.502"),
    ],
)
def test_a_status_says_what_to_do_and_no_error_repeats_the_airlines_words(
    canned: Canned, status: int, body: Any, kind: type[HubError], code: str
) -> None:
    told = {**body, "detail": "CHEN YI, 86012345678"} if isinstance(body, dict) else body + b"CHEN YI, 86012345678"
    canned.says(told, status)
    with pytest.raises(kind) as caught:
        canned.writer.write(KEY, BODY)
    assert not isinstance(caught.value, AccessError)
    assert caught.value.code == code
    assert "CHEN" not in repr(caught.value) + str(caught.value.context)
    assert MEMBER not in repr(caught.value) + str(caught.value.context)


@pytest.mark.parametrize(
    "token", [b"", b"[]", b"{}", b'{"access_token": 7}', b'{"access_token": "t", "expires_in": "x"}']
)
def test_a_token_that_cannot_be_read_sends_no_write(canned: Canned, token: bytes) -> None:
    canned.token = token
    canned.says(GOOD)
    with pytest.raises((ConfigurationError, TransientError)):
        canned.writer.write(KEY, BODY)


def test_the_books_are_read_over_all_their_pages(airline: LiveSystem) -> None:
    numbers = [f"A{number:04}" for number in range(2 * PAGE_SIZE)]
    airline.control("POST", "/_accounts", [{"account": number, "balance": 1} for number in numbers])
    books = AirlineBooks(airline.config)
    assert [row["accountNumber"] for row in books.accounts()] == sorted([MEMBER, CLOSED, *numbers])
    assert [row["accountNumber"] for row in books.transactions()] == [MEMBER, CLOSED, *numbers]
