"""A worker that kills itself after a commit: ``python -m tests.flows.points.fated_worker``, then a JSON line for each.

The process has imported everything and has no threads; each worker is a fork of it, so that dozens die in a test.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from flows.runtime.bootstrap import Hub, build
from flows.runtime.runs import get_run
from flows.runtime.settings import Settings

ENDED = ("done", "undone", "parked")
PATIENCE_S = 30.0


class Fate:
    """Counts commits; the one it was told of is the last."""

    def __init__(self, at: int) -> None:
        self._left = at

    def tick(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Nest:
    """Hatches workers one after another."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def work(self, hub: Hub, run_id: int, die_at: int) -> bool:
        """A worker carries that run on until it ends, or dies after that many commits; whether it died."""
        given = hub.settings
        assert given.database_url is not None
        line = {
            "run_id": run_id,
            "die_at": die_at,
            "data_dir": str(given.data_dir),
            "database_url": given.database_url.get_secret_value(),
            "estate": str(given.estate),
            "master_key": given.master_key,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return bool(json.loads(self._process.stdout.readline())["died"])


@contextmanager
def nest() -> Iterator[Nest]:
    """The process that workers are forked from; it ends with the block."""
    command = [sys.executable, "-m", "tests.flows.points.fated_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Nest(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _work(given: dict[str, Any]) -> None:
    settings = Settings(
        data_dir=Path(given["data_dir"]),
        database_url=SecretStr(given["database_url"]),
        database_pool=4,
        estate=Path(given["estate"]),
        master_key=given["master_key"],
        lease_s=1.0,
    )
    hub = build(settings)
    hub.database.on_commit = Fate(given["die_at"]).tick
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        hub.runner.drain()
        with hub.database.unit() as uow:
            if get_run(uow, given["run_id"])["state"] in ENDED:
                os._exit(0)
        time.sleep(0.05)
    os._exit(1)


def main() -> None:
    """Fork a worker for each line, wait for its end, and tell it."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _work(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"died": os.WIFSIGNALED(status)}), flush=True)


if __name__ == "__main__":
    main()
