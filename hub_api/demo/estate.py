"""The demo's own estate: a folder of its own, simulators as processes, a hub as a process, keys and secrets."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from canonical_model.errors import ConfigurationError
from connectors.kit.process import SimulatorProcess
from flows.runtime import embedded
from flows.runtime.bootstrap import Hub, build
from flows.runtime.settings import Settings
from hub_api.auth import create_key
from hub_api.demo import legacy
from hub_api.demo.retailer import BRAND, LIVE_ROOM, MINI_PROGRAM, OWNER

FAULTS: Final = {
    "delay": 0.03,
    "error500": 0.03,
    "drop_answer": 0.04,
    "duplicate": 0.04,
    "malformed": 0.02,
    "lacking": 0.03,
    "partial": 0.05,
    "no_stock": 0.02,
}
STOP_TIMEOUT_S: Final = 40.0
CHANNEL_SCOPES: Final = ("orders:write", "orders:read", "stock:read")


class HubProcess:
    """``yipan serve`` on the loopback; its log is ``hub.log``. After ``kill`` a ``start`` opens the same port.

    ``command`` begins with ``env`` and the hub's settings; without ``work`` runs are carried on elsewhere.
    """

    def __init__(self, folder: Path, command: Sequence[str], port: int, *, work: bool) -> None:
        self._log = folder / "hub.log"
        self._command = [*command, "-m", "hub_api", "serve", "--json", "--port", str(port)]
        if not work:
            self._command.append("--no-work")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until its doors are open. ConfigurationError if it ends at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self._end()
            raise ConfigurationError(f"the hub did not start; its reason is in {self._log}")
        return self

    def kill(self) -> None:
        """End it as ``kill -9`` does: what it had in hand is left as it is."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def stop(self) -> None:
        """Ask it to finish what it has in hand; kill it if it does not."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


@dataclass(frozen=True, slots=True)
class DemoEstate:
    """Everything is up. ``hub`` looks into the same database as the hub process at ``url``.

    ``command`` is Python with the hub's settings, to which ``-m hub_api worker`` and the like may be added.
    """

    folder: Path
    url: str
    command: tuple[str, ...]
    hub: Hub
    server: HubProcess
    legacy: Mapping[str, SimulatorProcess]
    operator_key: str
    channel_keys: Mapping[str, str]

    @property
    def simulators(self) -> tuple[SimulatorProcess, ...]:
        """All of them."""
        return tuple(self.legacy.values())

    @property
    def pos(self) -> SimulatorProcess:
        """The tills."""
        return self.legacy["pos"]

    @property
    def wms(self) -> SimulatorProcess:
        """The warehouses."""
        return self.legacy["wms"]

    @property
    def sap(self) -> SimulatorProcess:
        """The ERP."""
        return self.legacy["sap"]

    def client(self, key: str) -> httpx.Client:
        """A client of the hub's API that shows ``key``."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)


@contextmanager
def running_estate(
    folder: Path,
    seed: int,
    *,
    faults: Mapping[str, float],
    settings: Mapping[str, str] | None = None,
    work: bool = True,
    systems: Sequence[str] = legacy.CORE,
) -> Iterator[DemoEstate]:
    """A fresh estate in ``folder``, in place of an earlier one's. Its PostgreSQL goes on running.

    ``faults`` are rates by kind, for every simulator; kinds that only a warehouse knows are for the WMS alone.
    ``settings`` of the hub processes go by their names in the environment; without ``work`` nothing carries runs on.
    """
    folder = folder.resolve()
    _clear(folder)
    own = Settings(data_dir=folder, estate=folder / "estate.toml")
    ports = {name: _free_port() for name in ("hub", *systems)}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    old = legacy.Legacy(folder, systems, urls, embedded.start(folder / "postgres"))
    own.estate.write_text(old.estate_file(), encoding="utf-8")
    with ExitStack() as stack:
        hub = stack.enter_context(build(own))
        keys = {name: _key(hub, name, [f"ingest:{name}"]) for name in systems}
        channels = {
            name: _key(hub, name, [*CHANNEL_SCOPES, f"channel:{name}", f"ingest:{name}"])
            for name in (MINI_PROGRAM, LIVE_ROOM)
        }
        operator_key = _key(hub, "operator", ["*"])
        simulators = old.simulators(urls["hub"], seed, faults, keys)
        for name, simulator in simulators.items():
            simulator.port = ports[name]
            stack.enter_context(simulator)
        given = {"YIPAN_DATA_DIR": folder, "YIPAN_ESTATE": own.estate, "YIPAN_SWEEP_S": "0.5", **(settings or {})}
        command = ("env", *(f"{name}={value}" for name, value in given.items()), sys.executable)
        server = stack.enter_context(HubProcess(folder, command, ports["hub"], work=work))
        yield DemoEstate(folder, urls["hub"], command, hub, server, simulators, operator_key, channels)


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for child in folder.iterdir():
        if child.name != "postgres":
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    embedded.drop(folder / "postgres")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _key(hub: Hub, name: str, scopes: list[str]) -> str:
    return create_key(hub.database, owner=OWNER, brand=BRAND, name=name, scopes=scopes)
