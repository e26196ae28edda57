"""A connector in use against its own simulator, which runs as a separate process, and a hub that only listens."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from canonical_model.errors import AccessError
from canonical_model.ports import Connector, Door, PushReply, PushRequest, Receipt, Record, SystemConfig
from connectors.kit.http import HttpClient
from connectors.kit.process import SimulatorProcess
from connectors.kit.registry import connect
from flows.testing import soap_push
from flows.testing.soap_push import from_soap
from mappings.engine import MapContext, load_mapping

API_KEY: Final = "conformance-key"
WAIT_S: Final = 20.0


class ListeningHub:
    """Takes every push as the hub's doors do, checks its signature, acknowledges and remembers it."""

    def __init__(self) -> None:
        self.pushes: list[PushRequest] = []
        self.door: Door | None = None
        self.read_soap: Callable[[PushRequest], PushRequest] = lambda push: push
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where simulators push to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, push: PushRequest) -> PushReply:
        """What the hub answers; a push with a wrong signature or key is not remembered."""
        try:
            if self.door is not None:
                self.door.verify(push)
            elif push.headers.get("authorization") != f"Bearer {API_KEY}":
                raise AccessError("wrong key")
        except AccessError as error:
            return self._reply(accepted=False, code=error.code, detail=error.detail)
        self.pushes.append(push)
        return self._reply(accepted=True, code="", detail="")

    def take_soap(self, push: PushRequest) -> PushReply:
        """As ``take``, for a push to the SOAP door."""
        self.take(self.read_soap(push))
        return PushReply(soap_push.ANSWER, "text/xml")

    def _reply(self, *, accepted: bool, code: str, detail: str) -> PushReply:
        if self.door is not None:
            return self.door.reply(accepted=accepted, code=code, detail=detail)
        return PushReply(b"{}", "application/json")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                address = urlsplit(self.path)
                push = PushRequest(
                    stream=address.path.rpartition("/")[2],
                    query=dict(parse_qsl(address.query, keep_blank_values=True)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(int(self.headers["content-length"])),
                    received_at=datetime.now(UTC),
                )
                reply = hub.take_soap(push) if address.path == soap_push.DOOR else hub.take(push)
                self.send_response(200)
                self.send_header("content-type", reply.media_type)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: what arrives is in ``pushes``."""

        return Handler


@dataclass(frozen=True)
class LiveSystem:
    """A running simulator, and the connector that talks to it."""

    config: SystemConfig
    connector: Connector
    simulator: SimulatorProcess
    hub: ListeningHub

    @property
    def context(self) -> MapContext:
        """The circumstances that mappings see."""
        return MapContext(
            owner=self.config.owner,
            brand=self.config.brand,
            system=self.config.name,
            zone=self.config.zone,
            message_id="conformance",
            received_at=datetime.now(UTC),
        )

    def control(self, method: str, path: str, value: Any = None) -> Any:
        """Ask the simulator's control ``path``; what it answers."""
        with HttpClient(self.simulator.url, timeout_s=10) as http:
            return http.send(method, path, json=value).json()

    @contextlib.contextmanager
    def faults(self, **rates: float) -> Iterator[None]:
        """These fault rates while inside."""
        self.control("PUT", "/_faults", rates)
        try:
            yield
        finally:
            self.control("PUT", "/_faults", dict.fromkeys(rates, 0))

    def outward(self, writer: str, document: Record) -> dict[str, Any]:
        """A canonical document in the system's own words."""
        spec = self.connector.manifest.writer(writer)
        assert spec is not None
        return load_mapping(self.config.connector, spec.mapping).map(document, self.context)

    def write(self, writer: str, key: str, document: Record) -> Receipt:
        """Map and send."""
        return self.connector.writers[writer].write(key, self.outward(writer, document))

    def elsewhere(self, base_url: str) -> Connector:
        """The same connector, pointed at another address."""
        return connect(replace(self.config, settings={**self.config.settings, "base_url": base_url}))

    def wait_until_pushed(self) -> None:
        """Wait until the simulator's queue is empty; TimeoutError if it does not drain."""
        deadline = time.monotonic() + WAIT_S
        while (state := self.control("GET", "/_outgoing"))["pending"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"pushes are stuck: {state}")
            time.sleep(0.05)


@contextlib.contextmanager
def live_system(
    connector: str,
    data: Path,
    *,
    settings: Mapping[str, str],
    secrets: Mapping[str, str],
    simulator_settings: Mapping[str, str],
    faults: Mapping[str, float],
) -> Iterator[LiveSystem]:
    """Start the simulator of ``connector`` over the books ``data`` and connect to it."""
    hub = ListeningHub()
    try:
        process = SimulatorProcess(
            connector, data, hub=hub.url, key=API_KEY, settings=simulator_settings, faults=faults
        )
        with process as simulator:
            config = SystemConfig(
                name=connector,
                connector=connector,
                owner="owner",
                brand="brand",
                settings={"base_url": simulator.url, **settings},
                secrets=secrets,
            )
            live = LiveSystem(config, connect(config), simulator, hub)
            hub.door = live.connector.door
            hub.read_soap = partial(from_soap, manifest=live.connector.manifest, schemas=live.connector.schemas)
            yield live
    finally:
        hub.close()
