"""What a failing network means: nothing was sent, nobody knows, or the answer is no."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from canonical_model.errors import (
    ConfigurationError,
    ConflictError,
    HubError,
    LimitError,
    NotFoundError,
    RejectedError,
    TransientError,
    UncertainError,
)
from connectors.kit.http import HttpClient, json_object

Behaviour = Callable[[socket.socket, int], None]


class Server:
    """Answers the n-th request (from 1) with whatever ``behaviour`` does to the connection."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = lambda connection, n: None
        self.requests: list[bytes] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                request = self.request.recv(65536)
                if request:
                    outer.requests.append(request)
                    outer.behaviour(self.request, len(outer.requests))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def answer(status: str, body: bytes = b"{}", **headers: str) -> Behaviour:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection, n: connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def hang_up(connection: socket.socket, n: int) -> None:
    connection.close()


def say_nothing(connection: socket.socket, n: int) -> None:
    time.sleep(1.0)


def failure(server: Server, behaviour: Behaviour, *, write: bool, **client: Any) -> HubError:
    server.behaviour = behaviour
    with HttpClient(server.url, **{"timeout_s": 0.3, **client}) as http, pytest.raises(HubError) as caught:
        (http.send if write else http.read)("POST", "/orders?token=s3cret", content=b"x")
    assert "s3cret" not in str(caught.value)
    return caught.value


def test_a_closed_port_means_nothing_was_sent() -> None:
    with HttpClient("http://127.0.0.1:9", timeout_s=1) as http:
        for call in (http.send, http.read):
            with pytest.raises(TransientError, match="nothing was sent"):
                call("GET", "/")


def test_an_unknown_host_means_nothing_was_sent() -> None:
    with HttpClient("http://no-such-host.invalid", timeout_s=5) as http, pytest.raises(TransientError):
        http.send("POST", "/")


@pytest.mark.parametrize("behaviour", [hang_up, say_nothing])
def test_a_write_without_an_answer_is_uncertain_and_sent_once(server: Server, behaviour: Behaviour) -> None:
    assert isinstance(failure(server, behaviour, write=True), UncertainError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("behaviour", [hang_up, say_nothing])
def test_a_read_without_an_answer_is_tried_three_times(server: Server, behaviour: Behaviour) -> None:
    assert isinstance(failure(server, behaviour, write=False), TransientError)
    assert len(server.requests) == 3


def test_a_read_that_succeeds_at_last_is_a_success(server: Server) -> None:
    server.behaviour = lambda connection, n: (hang_up if n < 3 else answer("200 OK"))(connection, n)
    with HttpClient(server.url, timeout_s=1) as http:
        assert http.read("GET", "/").json() == {}


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "504 Gateway Timeout"])
def test_a_server_error_leaves_a_write_in_doubt(server: Server, status: str) -> None:
    assert isinstance(failure(server, answer(status), write=True), UncertainError)
    assert isinstance(failure(server, answer(status), write=False), TransientError)


@pytest.mark.parametrize("status", ["429 Slow Down", "503 Busy"])
def test_a_busy_server_says_when_to_come_back(server: Server, status: str) -> None:
    error = failure(server, answer(status, Retry_After="120"), write=True)
    assert isinstance(error, TransientError)
    assert error.context["after_s"] == 120.0


def test_a_wish_beyond_the_budget_is_not_waited_for(server: Server) -> None:
    failure(server, answer("503 Busy", Retry_After="3600"), write=False)
    assert len(server.requests) == 1


def test_a_date_to_come_back_at_is_understood(server: Server) -> None:
    error = failure(server, answer("503 Busy", Retry_After="Fri, 31 Dec 2100 23:59:59 GMT"), write=True)
    assert error.context["after_s"] == 86_400.0
    error = failure(server, answer("503 Busy", Retry_After="soon"), write=True)
    assert "after_s" not in error.context


@pytest.mark.parametrize(
    ("status", "kind"),
    [("400 Bad", RejectedError), ("404 Gone", NotFoundError), ("409 Twice", ConflictError), ("422 No", RejectedError)],
)
def test_a_refusal_is_final_and_keeps_their_words(server: Server, status: str, kind: type[HubError]) -> None:
    words = "credit limit exceeded\r\n\x07 " + "x" * 5000
    for write in (True, False):
        error = failure(server, answer(status, words.encode()), write=write)
        assert type(error) is kind
        assert "credit limit exceeded x" in error.detail
        assert len(error.detail) < 500


@pytest.mark.parametrize("status", ["401 Who", "403 No", "302 Elsewhere"])
def test_wrong_credentials_and_addresses_are_for_a_person(server: Server, status: str) -> None:
    assert isinstance(failure(server, answer(status), write=True), ConfigurationError)


def test_a_connector_reads_the_systems_own_error_body(server: Server) -> None:
    error = failure(
        server,
        answer("400 Bad", b'{"code": "V1/150"}'),
        write=True,
        explain=lambda response: RejectedError("credit block", code=response.json()["code"]),
    )
    assert error.code == "V1/150"


def test_an_answer_over_the_limit_is_cut_off(server: Server) -> None:
    big = answer("200 OK", b"x" * 10_000)
    assert isinstance(failure(server, big, write=False, max_response_bytes=100), LimitError)
    assert isinstance(failure(server, big, write=True, max_response_bytes=100), UncertainError)


def test_an_answer_that_trickles_in_is_not_waited_for(server: Server) -> None:
    def trickle(connection: socket.socket, n: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(20):
                connection.sendall(b"x")
                time.sleep(0.05)

    assert isinstance(failure(server, trickle, write=True), UncertainError)


@pytest.mark.parametrize("url", ["ftp://example.com", "example.com", "", "http://"])
def test_a_wrong_base_url_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        HttpClient(url, timeout_s=1)


def test_an_answer_that_is_no_json_object_is_not_believed(server: Server) -> None:
    server.behaviour = answer("200 OK", b"<html>")
    with HttpClient(server.url, timeout_s=1) as http:
        response = http.send("POST", "/")
        with pytest.raises(UncertainError):
            json_object(response, write=True)
        with pytest.raises(TransientError):
            json_object(response, write=False)


def test_the_trace_goes_with_the_request(server: Server) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    server.behaviour = answer("200 OK")
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("write") as span, HttpClient(server.url, timeout_s=1) as http:
        http.send("POST", "/")
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    assert f"traceparent: 00-{trace_id}".encode() in server.requests[0]


def test_a_client_shows_its_host_and_nothing_else() -> None:
    http = HttpClient("https://user:pass@example.com/x", timeout_s=1, headers={"X-Token": "s3cret"})
    assert repr(http) == "HttpClient(example.com)"


@pytest.mark.parametrize("status", ["200 OK", "422 No"])
def test_a_header_that_is_no_ascii_is_read_like_any_other(server: Server, status: str) -> None:
    server.behaviour = answer(status, X_Warehouse="上海")
    with HttpClient(server.url, timeout_s=5, explain=lambda found: RejectedError(found.headers["x-warehouse"])) as http:
        if status == "200 OK":
            assert http.send("POST", "/").headers["x-warehouse"] == "上海"
        else:
            with pytest.raises(RejectedError, match="上海"):
                http.send("POST", "/")
