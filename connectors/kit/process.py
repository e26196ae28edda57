"""Starts a simulator as the separate process that it is: for tests and demonstrations."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from canonical_model.errors import ConfigurationError, TransientError

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0


class SimulatorProcess:
    """One simulator of ``connector`` on the loopback; it ends with us, also when we are killed.

    ``data`` is the SQLite file of its books; ``settings`` are the simulator's own. After ``kill`` a ``start``
    goes on from the same books at the same port. ``command`` starts something else than
    ``connectors.<connector>.simulator``.
    """

    def __init__(
        self,
        connector: str,
        data: Path,
        *,
        system: str | None = None,
        hub: str | None = None,
        key: str = "",
        seed: int = 7,
        faults: Mapping[str, float] | None = None,
        settings: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.connector = connector
        self.port = 0
        options = {"data": str(data), "system": system or connector, "seed": str(seed), "hub": hub, "key": key or None}
        pairs = [("fault", f) for f in (faults or {}).items()] + [("set", s) for s in (settings or {}).items()]
        self._command = [
            *(command or [sys.executable, "-m", f"connectors.{connector}.simulator"]),
            "--exit-with-stdin",
            *(f"--{name}={value}" for name, value in options.items() if value is not None),
            *(f"--{option}={name}={value}" for option, (name, value) in pairs),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Base URL once started."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start and wait until it is ready. ConfigurationError if it ends at once, TransientError if it hangs."""
        process = subprocess.Popen(
            [*self._command, f"--port={self.port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for whoever started us
        )
        self._process = process
        alarm = threading.Timer(START_TIMEOUT_S, process.kill)
        alarm.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            code = process.wait()
            self._process = None
            error = TransientError if code == -9 else ConfigurationError
            raise error(f"the {self.connector} simulator did not start (exit {code}); its reason is on standard error")
        self.port = int(orjson.loads(line)["port"])
        return self

    def kill(self) -> None:
        """End it as ``kill -9`` does: nothing is flushed, nothing is said."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def stop(self) -> None:
        """Close its standard input, at which it ends; kill it if it does not."""
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
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
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None
