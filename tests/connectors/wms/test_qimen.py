"""The Qimen signature, door and client: who is let in, and what an answer means."""

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import (
    AccessError,
    ConfigurationError,
    HubError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)
from canonical_model.ports import PushRequest, SystemConfig
from connectors.kit.manifest import load_manifest
from connectors.kit.xml import parse_xml
from connectors.wms.client import QimenClient
from connectors.wms.doors import TIMESTAMP, QimenDoor
from connectors.wms.sign import signature, signed_query
from flows.testing import hostile
from flows.testing.live import LiveSystem
from tests.connectors.wms.conftest import CUSTOMER, SECRET

BODY = "<request><deliveryOrder>中文</deliveryOrder></request>".encode()
NOW = datetime(2026, 11, 3, 1, 30, tzinfo=UTC)


def config(base_url: str = "http://127.0.0.1:9") -> SystemConfig:
    settings = {"base_url": base_url, "customer_id": CUSTOMER}
    return SystemConfig(
        name="wms", connector="wms", owner="o", brand="b", settings=settings, secrets={"app_secret": SECRET}
    )


def query(method: str = "deliveryorder.confirm", at: str = "2026-11-03 09:30:00", **other: str) -> dict[str, str]:
    known = {"app_key": CUSTOMER, "customer_id": CUSTOMER, "timestamp": at, **other}
    return signed_query(SECRET, method, BODY, **known)


def refusal(stream: str, signed: dict[str, str], *, body: bytes = BODY, at: datetime = NOW) -> str:
    with pytest.raises(AccessError) as caught:
        QimenDoor(config()).verify(PushRequest(stream, signed, {}, body, at))
    return caught.value.code


def test_the_signature_is_the_documented_one() -> None:
    plain = f"{SECRET}app_keyKformatxml".encode() + BODY + SECRET.encode()
    expected = hashlib.md5(plain).hexdigest().upper()
    assert signature(SECRET, {"format": "xml", "app_key": "K", "sign": "ignored"}, BODY) == expected


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_another_body_has_another_signature(one: bytes, other: bytes) -> None:
    same = signature(SECRET, {"v": "2.0"}, one) == signature(SECRET, {"v": "2.0"}, other)
    assert same == (one == other)


def test_a_signed_call_is_let_in() -> None:
    QimenDoor(config()).verify(PushRequest("confirm", query(), {}, BODY, NOW))


def test_a_call_is_refused_for_its_reason() -> None:
    assert refusal("confirm", {}) == "signature.missing"
    assert refusal("confirm", {**query(), "sign": "0" * 32}) == "signature.wrong"
    assert refusal("confirm", {**query(), "sign": "签名"}) == "signature.wrong"
    assert refusal("confirm", {**query(), "extra": "1"}) == "signature.wrong"
    assert refusal("confirm", query(), body=BODY + b" ") == "signature.wrong"
    assert refusal("confirm", query(app_key="other")) == "signature.caller"
    assert refusal("confirm", query(customer_id="other")) == "signature.caller"
    assert refusal("stock", query()) == "signature.method"
    assert refusal("no-such-stream", query()) == "signature.method"
    assert refusal("confirm", query(at="yesterday")) == "signature.stale"


@pytest.mark.parametrize("minutes", [-11, 11])
def test_a_call_from_another_time_is_stale(minutes: int) -> None:
    assert refusal("confirm", query(), at=NOW + timedelta(minutes=minutes)) == "signature.stale"


def test_the_answer_says_whether_to_stop_sending() -> None:
    door = QimenDoor(config())
    yes, no = (
        door.reply(accepted=True, code="accepted", detail="m1"),
        door.reply(accepted=False, code="x", detail="<&>"),
    )
    limits = load_manifest("wms").limits
    assert parse_xml(yes.body, limits=limits) == {"flag": "success", "code": "0", "message": "m1"}
    assert parse_xml(no.body, limits=limits) == {"flag": "failure", "code": "x", "message": "<&>"}


class Canned:
    """A Qimen gateway that always gives the same answer."""

    def __init__(self) -> None:
        self.answer = b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.client = QimenClient(
            config(f"http://127.0.0.1:{self.server.server_port}"), load_manifest("wms"), timeout_s=2
        )


@pytest.fixture
def canned() -> Iterator[Canned]:
    canned = Canned()
    yield canned
    canned.server.shutdown()
    canned.server.server_close()


@pytest.mark.parametrize(
    ("code", "kind", "ours"),
    [
        ("S007", RejectedError, "wms.no_stock"),
        ("S012", NotFoundError, "wms.unknown_order"),
        ("S020", RejectedError, "wms.already_picked"),
        ("X999", RejectedError, "wms.X999"),
        ("", RejectedError, "wms.refused"),
        ("isp.service-unavailable", TransientError, "wms.busy"),
        ("isv.invalid-signature", ConfigurationError, "wms.access"),
    ],
)
def test_a_failure_in_a_200_is_a_failure(canned: Canned, code: str, kind: type[HubError], ours: str) -> None:
    canned.answer = f"<response><flag>failure</flag><code>{code}</code><message>库存不足</message></response>".encode()
    with pytest.raises(HubError, match="库存不足") as caught:
        canned.client.send("deliveryorder.create", {})
    assert (type(caught.value), caught.value.code) == (kind, ours)


@pytest.mark.parametrize("answer", [b"", b"<response><flag>succ", b"<html>", b"<!DOCTYPE a><a/>", b"\xff\xfe\x00"])
def test_an_unreadable_answer_leaves_a_write_in_doubt(canned: Canned, answer: bytes) -> None:
    canned.answer = answer
    with pytest.raises(UncertainError):
        canned.client.send("deliveryorder.create", {})
    with pytest.raises(TransientError):
        canned.client.ask("deliveryorder.query", {})


def gateway(wms: LiveSystem, params: dict[str, str], body: bytes) -> str:
    """The code with which the simulator answers, always in a 200."""
    response = httpx.post(f"{wms.simulator.url}/qimen", params=params, content=body)
    assert response.status_code == 200
    return str(parse_xml(response.content, limits=load_manifest("wms").limits)["code"])


def test_the_simulated_gateway_lets_no_stranger_in(wms: LiveSystem) -> None:
    at = datetime.now(UTC).astimezone().strftime(TIMESTAMP)
    assert gateway(wms, {}, BODY) == "isv.invalid-signature"
    assert gateway(wms, {**query(at=at), "sign": "0"}, BODY) == "isv.invalid-signature"
    assert gateway(wms, query(customer_id="other"), BODY) == "isv.invalid-customer"
    assert gateway(wms, query(at="2020-01-01 00:00:00"), BODY) == "isv.invalid-timestamp"


def test_the_simulated_gateway_survives_hostile_bodies(wms: LiveSystem) -> None:
    client = QimenClient(wms.config, wms.connector.manifest, timeout_s=5)
    with pytest.raises(RejectedError, match="method"):
        client.send("no.such.method", {})
    with pytest.raises(RejectedError, match="参数"):
        client.send("deliveryorder.create", {"orderLines": {"orderLine": []}})
    for _, body in hostile.BODIES.values():
        signed = signed_query(
            SECRET,
            "deliveryorder.create",
            body,
            app_key=CUSTOMER,
            customer_id=CUSTOMER,
            timestamp=(datetime.now(UTC) + timedelta(hours=8)).strftime(TIMESTAMP),
        )
        assert gateway(wms, signed, body) == "isv.invalid-parameter"
