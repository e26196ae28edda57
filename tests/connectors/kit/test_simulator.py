"""What simulators share: faults, books, the queue to the hub, the process."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canonical_model.errors import ConfigurationError, RejectedError, TransientError
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.http import HttpClient
from connectors.kit.process import SimulatorProcess
from connectors.kit.simulator import parse_options
from flows.testing.live import API_KEY, ListeningHub


@pytest.fixture
def hub() -> Iterator[ListeningHub]:
    hub = ListeningHub()
    yield hub
    hub.close()


def test_faults_repeat_with_their_seed() -> None:
    def draw(seed: int) -> list[bool]:
        faults = Faults(seed, {"delay": 0.5})
        return [faults.strikes("delay") for _ in range(50)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_rate_of_nought_never_strikes_and_one_always_does() -> None:
    faults = Faults(1, {"delay": 1})
    assert all(faults.strikes("delay") and not faults.strikes("duplicate") for _ in range(100))


@pytest.mark.parametrize("rates", [{"earthquake": 0.1}, {"delay": 1.1}, {"delay": -0.1}, {"delay": "often"}])
def test_an_impossible_fault_is_refused_and_changes_nothing(rates: dict[str, float]) -> None:
    faults = Faults(1, {"delay": 0.5})
    with pytest.raises(ValueError, match="fault|rate"):
        faults.set({"duplicate": 1.0, **rates})
    assert faults.rates["duplicate"] == 0
    assert faults.rates["delay"] == 0.5


def test_a_transaction_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    books = Books(tmp_path / "deep" / "books.db", "CREATE TABLE IF NOT EXISTS t (a INTEGER UNIQUE);")

    def book(values: list[int]) -> None:
        with books.transaction() as db:
            db.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])

    with pytest.raises(sqlite3.IntegrityError):
        book([1, 2, 2])
    assert books.number("SELECT count(*) FROM t") == 0
    assert books.find("SELECT a FROM t") is None


def test_options_name_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse_options(
        "pos", {"zone": "Asia/Shanghai"}, ["--data", "x.db", "--fault", "delay=0.5", "--set", "zone=UTC"]
    )
    assert (options.faults, options.settings) == ({"delay": 0.5}, {"zone": "UTC"})
    with pytest.raises(SystemExit):
        parse_options("pos", {"zone": ""}, ["--data", "x.db", "--set", "colour=red"])
    assert "colour" in capsys.readouterr().err


def queue(simulator: SimulatorProcess, body: bytes) -> None:
    with HttpClient(simulator.url, timeout_s=5) as http:
        headers = {"Content-Type": "application/json"}
        http.send("POST", "/_push?stream=sales&key=B1", content=body, headers=headers)


def outgoing(simulator: SimulatorProcess) -> dict[str, Any]:
    with HttpClient(simulator.url, timeout_s=5) as http:
        return dict(http.read("GET", "/_outgoing").json())


def settled(simulator: SimulatorProcess) -> dict[str, Any]:
    while outgoing(simulator)["pending"]:
        time.sleep(0.05)
    return outgoing(simulator)


def test_a_queued_push_waits_for_the_hub_and_keeps_its_key(tmp_path: Path, hub: ListeningHub) -> None:
    books, body = tmp_path / "books.db", b'{"batchNo": "B1", "data": []}'
    with SimulatorProcess("pos", books) as alone:
        queue(alone, body)
        queue(alone, body)
        assert outgoing(alone)["pending"] == 1
    with SimulatorProcess("pos", books, hub=hub.url, key=API_KEY) as again:
        assert settled(again)["acknowledged"] == 1
    assert [(push.stream, push.headers["idempotency-key"], push.body) for push in hub.pushes] == [("sales", "B1", body)]


def test_a_refused_push_is_set_aside_with_the_hubs_words(tmp_path: Path) -> None:
    with (
        SimulatorProcess("pos", tmp_path / "other.db") as refuser,  # a till system knows no /v1/ingest
        SimulatorProcess("pos", tmp_path / "books.db", hub=refuser.url, key="any") as sender,
    ):
        queue(sender, b"{}")
        state = settled(sender)
    assert state["refused"] == 1
    assert state["refusals"] == [{"stream": "sales", "key": "B1", "answer": "Not Found"}]


def test_a_simulator_keeps_its_port_over_kill_9_and_stops_at_the_end(tmp_path: Path) -> None:
    simulator = SimulatorProcess("pos", tmp_path / "books.db").start()
    port = simulator.port
    simulator.kill()
    with HttpClient(simulator.url, timeout_s=1) as http, pytest.raises(TransientError):
        http.send("GET", "/_health")
    with simulator, HttpClient(simulator.url, timeout_s=5) as http:
        assert simulator.port == port
        assert http.read("GET", "/_health").json() == {"system": "pos"}
    simulator.stop()


def test_a_simulator_that_cannot_start_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="did not start"):
        SimulatorProcess("pos", tmp_path / "books.db", settings={"colour": "red"}).start()
    assert "colour" in capfd.readouterr().err


def test_wrong_faults_are_refused_over_the_wire(tmp_path: Path) -> None:
    with (
        SimulatorProcess("pos", tmp_path / "books.db", faults={"delay": 0.25}) as simulator,
        HttpClient(simulator.url, timeout_s=5) as http,
    ):
        assert http.read("GET", "/_faults").json()["delay"] == 0.25
        with pytest.raises(RejectedError, match="earthquake"):
            http.send("PUT", "/_faults", json={"earthquake": 1})
