"""The real server process: half bodies, endless bodies, kill -9, and a database that goes away."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

from flows.runtime.bootstrap import Hub, build
from flows.runtime.settings import Settings
from flows.testing.databases import server_folder
from hub_api.auth import create_key
from hub_api.sign_in_guard import FREE_PER_ADDRESS
from tests.hub_api.conftest import BRAND, OWNER, write_estate
from tests.hub_api.console.conftest import enter
from tests.hub_api.documents import product

PRODUCTS: Final = "/v1/ingest/hub/products"
STOP_S: Final = 40


@dataclass(frozen=True)
class Served:
    """A running ``yipan serve``."""

    process: subprocess.Popen[str]
    url: str
    key: str

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def connect(self) -> socket.socket:
        address = httpx.URL(self.url)
        return socket.create_connection((address.host, address.port or 0), timeout=30)

    def head(self, *lines: str) -> bytes:
        """The head of a push, with these further lines."""
        first = (f"POST {PRODUCTS} HTTP/1.1", "Host: hub", f"Authorization: Bearer {self.key}")
        return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process finds them."""
    secret = {
        f"YIPAN_{name.upper()}": value.get_secret_value()
        for name in ("database_url", "broker_url")
        if (value := getattr(settings, name)) is not None
    }
    trusted = {"YIPAN_TRUSTED_PROXIES": settings.trusted_proxies} if settings.trusted_proxies else {}
    return {
        **os.environ,
        **secret,
        **trusted,
        "YIPAN_DATA_DIR": str(settings.data_dir),
        "YIPAN_ESTATE": str(settings.estate),
        "YIPAN_MAX_BODY_BYTES": "100000",
        "YIPAN_SWEEP_S": "0.2",
    }


def yipan(settings: Settings, *words: str) -> None:
    """A command that must succeed."""
    subprocess.run([sys.executable, "-m", "hub_api", *words], env=environment(settings), check=True)


@contextmanager
def serving(settings: Settings, key: str, *options: str) -> Iterator[Served]:
    """``yipan serve`` over these settings, ended by SIGTERM."""
    command = [sys.executable, "-m", "hub_api", "serve", "--port", "0", "--json", *options]
    process = subprocess.Popen(
        command, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield Served(process, json.loads(line)["url"], key)
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S)


def tried_again(client: httpx.Client, path: str, **request: Any) -> httpx.Response:
    """A push that is sent again as long as the hub asks for that."""
    for _ in range(10):
        answer = client.post(path, **request)
        if answer.status_code != 503:
            break
    return answer


def new_key(hub: Hub) -> str:
    return create_key(hub.database, owner=OWNER, brand=BRAND, name="test", scopes=["*"])


@pytest.fixture(scope="module")
def server(open_hub: Hub) -> Iterator[Served]:
    """The API without a worker beside it."""
    with serving(open_hub.settings, "", "--no-work") as running:
        yield running


@pytest.fixture
def served(hub: Hub, server: Served) -> Served:
    """The same over an empty database, with a key."""
    return replace(server, key=new_key(hub))


def stored(hub: Hub) -> int:
    return len(hub.database.run("SELECT id FROM message"))


def test_half_a_body_is_no_message(hub: Hub, served: Served) -> None:
    for head in (served.head("Content-Length: 5000"), served.head("Transfer-Encoding: chunked")):
        with served.connect() as line:
            line.sendall(head + b"[{" if b"Length" in head else head + b"2\r\n[{\r\n")
    with served.client() as client:
        assert client.post(PRODUCTS, json=[product()]).status_code == 202
    assert stored(hub) == 1


def test_an_endless_body_is_cut_off(hub: Hub, served: Served) -> None:
    chunk = b"2710\r\n" + b" " * 10_000 + b"\r\n"
    with served.connect() as line:
        line.sendall(served.head("Transfer-Encoding: chunked"))
        with pytest.raises(OSError, match="Broken pipe|reset"):
            line.sendall(chunk * 10_000)
    assert stored(hub) == 0


def test_a_declared_length_over_the_limit_is_refused_before_it_is_sent(served: Served) -> None:
    with served.connect() as line:
        line.sendall(served.head("Content-Length: 999999999", "Expect: 100-continue"))
        answer = line.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_headers_without_end_are_refused(served: Served) -> None:
    with served.connect() as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n" + b"X-Long: " + b"x" * 200_000)
        assert line.recv(65_536).startswith(b"HTTP/1.1 4")


def test_what_was_acknowledged_survives_kill_9_and_is_applied_afterwards(hub: Hub) -> None:
    with serving(hub.settings, new_key(hub), "--no-work") as first, first.client() as client:
        message_id = client.post(PRODUCTS, json=[product()], headers={"Idempotency-Key": "k"}).json()["message_id"]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with serving(hub.settings, new_key(hub)) as second, second.client() as client:
        again = client.post(f"{PRODUCTS}?wait=true", json=[product()], headers={"Idempotency-Key": "k"})
    assert again.json()["message_id"] == message_id
    assert [result["status"] for result in again.json()["results"]] == ["accepted"]
    assert hub.database.run("SELECT code FROM sku") == [{"code": "TEE-RED-M"}]


def test_the_process_ends_when_asked(hub: Hub) -> None:
    with serving(hub.settings, new_key(hub)) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(STOP_S) == 0


def test_a_taken_port_is_said_in_one_line(hub: Hub, served: Served) -> None:
    port = str(httpx.URL(served.url).port)
    command = [sys.executable, "-m", "hub_api", "serve", "--port", port]
    ended = subprocess.run(command, env=environment(hub.settings), capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_worker_process_applies_what_the_door_took(hub: Hub, served: Served) -> None:
    command = [sys.executable, "-m", "hub_api", "worker", "--json"]
    worker = subprocess.Popen(command, env=environment(hub.settings), stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline()) == {"worker": "ready"}
    with served.client() as client:
        place = client.post(PRODUCTS, json=[product()]).headers["location"]
        for _ in range(200):
            if client.get(place).json()["state"] == "applied":
                break
            time.sleep(0.05)
        assert client.get(place).json()["accepted"] == 1
    worker.terminate()
    assert worker.wait(STOP_S) == 0


def test_a_broker_that_is_away_is_named_and_pushes_are_stored_all_the_same(hub: Hub) -> None:
    settings = hub.settings.model_copy(update={"broker_url": SecretStr("amqp://127.0.0.1:9")})
    with serving(settings, new_key(hub)) as running, running.client() as client:
        ready = client.get("/readyz")
        pushed = client.post(f"{PRODUCTS}?wait=true", json=[product()])
    assert ready.status_code == 503
    assert "YIPAN_BROKER_URL" in ready.json()["checks"]["broker"]
    assert [result["status"] for result in pushed.json()["results"]] == ["accepted"]


def test_failed_sign_ins_count_for_the_address_that_a_trusted_proxy_names(hub: Hub) -> None:
    settings = hub.settings.model_copy(update={"trusted_proxies": "127.0.0.0/8"})
    with serving(settings, new_key(hub), "--no-work") as running, running.client() as browser:
        for number in range(FREE_PER_ADDRESS):
            assert enter(browser, f"nobody-{number}", "guess", forwarded="203.0.113.7").status_code == 401
        assert enter(browser, "nobody", "guess", forwarded="203.0.113.7").status_code == 429
        assert enter(browser, "nobody", "guess", forwarded="198.51.100.9").status_code == 401


def test_a_database_that_goes_away_is_said_and_the_hub_comes_back_with_it() -> None:
    with server_folder() as folder:
        settings = Settings(data_dir=folder, estate=write_estate(folder))
        with build(settings) as hub:
            key = new_key(hub)
        try:
            with serving(settings, key) as running, running.client() as client:
                yipan(settings, "db", "stop")
                away = client.post(PRODUCTS, json=[product()])
                ready = client.get("/readyz")
                yipan(settings, "db", "start")
                back = tried_again(client, f"{PRODUCTS}?wait=true", json=[product()])
        finally:
            yipan(settings, "db", "stop")
    assert (away.status_code, away.json()["type"]) == (503, "urn:yipan:problem:transient")
    assert int(away.headers["retry-after"]) > 0
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"].startswith("away")
    assert [result["status"] for result in back.json()["results"]] == ["accepted"]
