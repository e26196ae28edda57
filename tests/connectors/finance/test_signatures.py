"""Signatures both ways: who is let in, and which answers count."""

import hmac
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical_model.errors import (
    AccessError,
    ConfigurationError,
    ConflictError,
    HubError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import SystemConfig
from connectors.finance.client import CREDIT, QUERY
from connectors.finance.sign import (
    APP_ID,
    NONCE,
    SIGNATURE,
    TIMESTAMP,
    answer_signature,
    request_signature,
)
from connectors.finance.simulator import MAX_AGE_S, MAX_BODY_BYTES
from connectors.kit.registry import connect
from flows.testing import hostile
from flows.testing.live import LiveSystem
from tests.connectors.finance.conftest import CUSTOMER, SECRET, booked, movement

KEY = "points.exchange:X-7:credit"
BODY = {"accountNo": CUSTOMER, "points": 100}
GOOD = {"serialNo": "JF1", "requestNo": KEY, "direction": "IN", "points": 100, "balance": 1100}
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=8)


def test_the_signature_is_the_documented_one() -> None:
    plain = 'POST\n/openapi/points/credit\n1793669405000\nn1\n{"points":1}'
    expected = hmac.new(SECRET.encode(), plain.encode(), "sha256").hexdigest()
    assert request_signature(SECRET, "POST", CREDIT, "1793669405000", "n1", b'{"points":1}') == expected
    plain = "ANSWER\n200\n1793669405000\nn1\n{}"
    expected = hmac.new(SECRET.encode(), plain.encode(), "sha256").hexdigest()
    assert answer_signature(SECRET, 200, "1793669405000", "n1", b"{}") == expected


PARTS = st.tuples(LINE, LINE, LINE, LINE, st.binary(max_size=8))


@given(PARTS, PARTS)
def test_another_call_has_another_signature(
    one: tuple[str, str, str, str, bytes], other: tuple[str, str, str, str, bytes]
) -> None:
    assert (request_signature(SECRET, *one) == request_signature(SECRET, *other)) == (one == other)


class Raw:
    """Calls the simulated company without the client."""

    def __init__(self, live: LiveSystem) -> None:
        self._url = live.simulator.url

    def call(
        self,
        body: bytes,
        *,
        path: str = CREDIT,
        nonce: str = "n1",
        off_s: float = 0.0,
        secret: str = SECRET,
        **headers: str,
    ) -> tuple[int, str]:
        """HTTP status and result code."""
        timestamp = str(int((time.time() + off_s) * 1000))
        signature = request_signature(secret, "POST", path, timestamp, nonce, body)
        signed = {APP_ID: "yunshang", TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature}
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = {name: value for name, value in signed.items() if name.lower() not in given}
        answer = httpx.post(f"{self._url}{path}", content=body, headers={**kept, **given}, trust_env=False)
        return answer.status_code, answer.json()["resultCode"]


@pytest.fixture
def raw(finance: LiveSystem) -> Raw:
    return Raw(finance)


def request(finance: LiveSystem, number: str = "R1") -> bytes:
    return orjson.dumps({**finance.outward("credit", movement()), "requestNo": number})


def test_the_simulated_company_lets_no_stranger_in(finance: LiveSystem, raw: Raw) -> None:
    body = request(finance)
    assert raw.call(body, X_Signature="") == (401, "8001")
    assert raw.call(body, X_Signature="0" * 64) == (401, "8001")
    assert raw.call(body, secret="guessed") == (401, "8001")
    assert raw.call(body, X_Nonce="another") == (401, "8001")
    assert raw.call(body, X_Timestamp="1793669405000") == (401, "8001")
    assert raw.call(body, X_App_Id="another") == (401, "8004")
    assert raw.call(body, off_s=MAX_AGE_S + 60) == (401, "8002")
    assert raw.call(body, off_s=-MAX_AGE_S - 60) == (401, "8002")
    assert raw.call(body, nonce="") == (401, "8003")
    assert raw.call(body, nonce="n" * 65) == (401, "8003")
    assert booked(finance) == []


def test_a_change_counts_once_under_its_nonce(finance: LiveSystem, raw: Raw) -> None:
    assert raw.call(request(finance)) == (200, "0000")
    assert raw.call(request(finance)) == (401, "8003")
    assert raw.call(request(finance, "R2")) == (401, "8003")
    assert raw.call(request(finance), nonce="n2") == (200, "0000")
    assert len(booked(finance)) == 1


def test_a_look_up_may_be_repeated_as_it_is(finance: LiveSystem, raw: Raw) -> None:
    query = orjson.dumps({"requestNo": "R1"})
    assert [raw.call(query, path=QUERY) for _ in range(2)] == [(200, "2002")] * 2


def test_the_simulated_company_survives_hostile_bodies(finance: LiveSystem, raw: Raw) -> None:
    bodies = [body for _, body in hostile.BODIES.values()] + [b"[]", b"{}", b"null", b" " * (MAX_BODY_BYTES + 1)]
    for number, body in enumerate(bodies):
        status, code = raw.call(body, nonce=f"n{number}")
        assert status == 200
        assert code in {"1008", "1009"}
    assert booked(finance) == []


def test_a_wrong_secret_lands_nothing_and_asks_for_a_person(finance: LiveSystem) -> None:
    config = replace(finance.config, secrets={"app_secret": "guessed"})
    with pytest.raises(ConfigurationError, match="401"):
        connect(config).writers["credit"].write(KEY, finance.outward("credit", movement()))
    assert booked(finance) == []


Sign = Callable[[int, str, bytes], dict[str, str]]


def honest(status: int, nonce: str, body: bytes) -> dict[str, str]:
    return {TIMESTAMP: "1", SIGNATURE: answer_signature(SECRET, status, "1", nonce, body)}


class Canned:
    """A company that always gives the same answer, signed as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b""
        self.sign: Sign = honest
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.seen.append((self.path, dict(self.headers.items()), body))
                self.send_response(outer.status)
                for name, value in outer.sign(outer.status, self.headers[NONCE], outer.answer).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        settings = {"base_url": f"http://127.0.0.1:{self.server.server_port}/gateway/", "app_id": "yunshang"}
        config = SystemConfig("finance", "finance", "o", "b", settings=settings, secrets={"app_secret": SECRET})
        self.writer = connect(config).writers["credit"]

    def says(self, answer: Any, *, status: int = 200, sign: Sign = honest) -> None:
        self.status, self.sign = status, sign
        self.answer = answer if isinstance(answer, bytes) else orjson.dumps(answer)

    def caught(self) -> HubError:
        with pytest.raises(HubError) as caught:
            self.writer.write(KEY, BODY)
        return caught.value


@pytest.fixture(scope="module")
def canned() -> Iterator[Canned]:
    canned = Canned()
    yield canned
    canned.server.shutdown()
    canned.server.server_close()


def success(data: Any) -> dict[str, Any]:
    return {"resultCode": "0000", "resultMsg": "成功", "data": data}


def test_what_is_signed_is_the_path_below_the_base_url(canned: Canned) -> None:
    canned.says(success(GOOD))
    assert canned.writer.write(KEY, BODY).outside_id == "JF1"
    path, headers, body = canned.seen[-1]
    assert path == f"/gateway{CREDIT}"
    expected = request_signature(SECRET, "POST", CREDIT, headers[TIMESTAMP], headers[NONCE], body)
    assert headers[SIGNATURE] == expected


def test_no_two_calls_have_the_same_nonce(canned: Canned) -> None:
    canned.says(success(GOOD))
    for _ in range(5):
        canned.writer.write(KEY, BODY)
    nonces = [headers[NONCE] for _, headers, _ in canned.seen[-5:]]
    assert len(set(nonces)) == 5


UNTRUSTED: dict[str, Sign] = {
    "not signed": lambda status, nonce, body: {},
    "signed by another": lambda s, n, b: {TIMESTAMP: "1", SIGNATURE: answer_signature("x", s, "1", n, b)},
    "another body": lambda s, n, b: {TIMESTAMP: "1", SIGNATURE: answer_signature(SECRET, s, "1", n, b + b" ")},
    "another status": lambda s, n, b: {TIMESTAMP: "1", SIGNATURE: answer_signature(SECRET, s + 1, "1", n, b)},
    "another time": lambda s, n, b: {TIMESTAMP: "2", SIGNATURE: answer_signature(SECRET, s, "1", n, b)},
    "an answer to another call": lambda s, n, b: {TIMESTAMP: "1", SIGNATURE: answer_signature(SECRET, s, "1", "n", b)},
    "a call sent back": lambda s, n, b: {
        TIMESTAMP: "1",
        SIGNATURE: request_signature(SECRET, "POST", CREDIT, "1", n, b),
    },
    "no ASCII": lambda s, n, b: {TIMESTAMP: "1", SIGNATURE: "é" * 64},
}


@pytest.mark.parametrize("how", sorted(UNTRUSTED))
@pytest.mark.parametrize("status", [200, 400, 404, 409, 422])
@pytest.mark.parametrize("answer", [success(GOOD), {"resultCode": "1001", "resultMsg": "账户不存在"}])
def test_an_answer_that_is_not_proven_confirms_and_refuses_nothing(
    canned: Canned, how: str, status: int, answer: Any
) -> None:
    canned.says(answer, status=status, sign=UNTRUSTED[how])
    assert isinstance(canned.caught(), UncertainError)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (301, ConfigurationError, "http.301"),
        (401, ConfigurationError, "http.401"),
        (403, ConfigurationError, "http.403"),
        (429, TransientError, "http.429"),
        (503, TransientError, "http.503"),
        (500, UncertainError, "http.500"),
        (504, UncertainError, "http.504"),
    ],
)
def test_a_gateway_needs_no_signature_to_say_that_it_is_in_the_way(
    canned: Canned, status: int, kind: type[HubError], code: str
) -> None:
    canned.says(f"{CUSTOMER} 陈一".encode(), status=status, sign=UNTRUSTED["not signed"])
    caught = canned.caught()
    assert (type(caught), caught.code) == (kind, code)
    assert CUSTOMER not in str(caught)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("result", "kind", "code"),
    [
        ("1004", RejectedError, "provider.insufficient"),
        ("1999", RejectedError, "provider.1999"),
        ("2001", ConflictError, "provider.conflict"),
        ("2002", NotFoundError, "provider.unknown_request"),
        ("8001", ConfigurationError, "finance.access"),
        ("8003", UncertainError, "finance.answer"),
        ("9001", TransientError, "finance.busy"),
        ("9002", UncertainError, "finance.answer"),
        ("7777", UncertainError, "finance.answer"),
        ("1 <1", UncertainError, "finance.answer"),
        (1001, UncertainError, "finance.answer"),
        (["1001"], UncertainError, "finance.answer"),
        (None, UncertainError, "finance.answer"),
    ],
)
def test_a_signed_result_code_says_what_to_do_and_no_error_repeats_the_companys_words(
    canned: Canned, status: int, result: Any, kind: type[HubError], code: str
) -> None:
    canned.says({"resultCode": result, "resultMsg": f"{CUSTOMER} 陈一"}, status=status)
    caught = canned.caught()
    assert not isinstance(caught, AccessError)
    assert (type(caught), caught.code) == (kind, code)
    assert CUSTOMER not in repr(caught) + str(caught.context)
    assert "陈一" not in repr(caught) + str(caught.context)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        [],
        {},
        success(None),
        success([]),
        success({}),
        success({**GOOD, "serialNo": ""}),
        success({**GOOD, "requestNo": "another"}),
        success({**GOOD, "direction": "OUT"}),
        success({**GOOD, "points": 99}),
        success({**GOOD, "points": "100"}),
        success({**GOOD, "balance": None}),
    ],
)
def test_a_signed_answer_that_does_not_say_what_was_booked_leaves_a_doubt(canned: Canned, answer: Any) -> None:
    canned.says(answer)
    assert isinstance(canned.caught(), UncertainError)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_an_answer_with_any_byte_changed_does_not_count(canned: Canned, place: int, change: int) -> None:
    good = orjson.dumps(success(GOOD))
    at = place % len(good)
    bad = good[:at] + bytes([good[at] ^ change]) + good[at + 1 :]
    canned.says(bad, sign=lambda status, nonce, body: honest(status, nonce, good))
    assert isinstance(canned.caught(), UncertainError)
