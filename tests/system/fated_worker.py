"""A worker process that can be told when to die, and those who keep two of them at work.

Each line on the process's standard input is a number: after so many more commits it kills itself with SIGKILL; 0 spares
it. What counts are commits of the threads that carry runs on; sweeper, relay and leases commit on and on.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

READY_TIMEOUT_S = 60.0


class Fate:
    """Counts down to the moment of death."""

    def __init__(self) -> None:
        self._left = 0
        self._lock = threading.Lock()

    def set(self, commits: int) -> None:
        with self._lock:
            self._left = commits

    def tick(self) -> None:
        if threading.current_thread().name.startswith("yipan-"):
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FatedWorker:
    """Starts the process, and starts it again whenever it has died."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.deaths = 0
        self._command = [*command, "-m", "tests.system.fated_worker"]
        self._log = log
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "FatedWorker":
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._process is not None:
            self._process.kill()
        self._keeper.join()

    def die_after(self, commits: int) -> None:
        """Die that many commits from now; 0 is never."""
        assert self._ready.wait(READY_TIMEOUT_S), f"the worker does not start; its reason is in {self._log}"
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{commits}\n")
        self._process.stdin.flush()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            with (
                self._log.open("ab") as log,
                subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
                ) as self._process,
            ):
                assert self._process.stdout is not None
                if self._process.stdout.readline():
                    self._ready.set()
                self._process.wait()
                self._ready.clear()
                self.deaths += not self._stopping.is_set()
                with contextlib.suppress(BrokenPipeError):
                    assert self._process.stdin is not None
                    self._process.stdin.close()


def main() -> None:
    """Be a worker until standard input is closed, or until the fate says."""
    from flows.runtime.bootstrap import build
    from flows.runtime.settings import get_settings
    from hub_api.worker import Work, traced

    fate = Fate()
    with build(get_settings()) as hub, traced(hub):
        hub.database.on_commit = fate.tick
        with Work(hub):
            print("ready", flush=True)
            for line in sys.stdin:
                fate.set(int(line))


if __name__ == "__main__":
    main()
