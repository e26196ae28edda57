"""What every simulator shares: options, controls, faults, books, the queue to the hub, and a server.

    python -m connectors.wms.simulator --port 0 --data wms.db --hub http://127.0.0.1:8000 --key KEY --fault delay=0.1

prints ``{"system": "wms", "port": 40123}`` on one line when it is ready.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.kit.books import Books
from connectors.kit.faults import Faults, FaultyWire
from connectors.kit.outgoing import HubClient, Push

Task = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Options:
    """How a simulator was started. ``settings`` are its own, such as ``pick_s``."""

    system: str
    port: int
    data: Path
    hub: str | None
    key: str = field(repr=False)
    seed: int
    faults: Mapping[str, float]
    settings: Mapping[str, str] = field(repr=False)


def parse_options(system: str, settings: Mapping[str, str], arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line; ``settings`` are the simulator's own with their defaults."""
    parser = argparse.ArgumentParser(prog=f"python -m connectors.{system}.simulator")
    parser.add_argument("--system", default=system, help="this installation's name at the hub")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--data", type=Path, required=True, help="SQLite file of its own books")
    parser.add_argument("--hub", help="base URL of the hub; without it pushes stay queued")
    parser.add_argument("--key", default="", help="API key at the hub")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=RATE")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help=f"one of {', '.join(settings)}"
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input closes")
    given = parser.parse_args(arguments)
    own = dict(pair.partition("=")[::2] for pair in given.set)
    if unknown := set(own) - set(settings):
        parser.error(f"unknown setting {min(unknown)!r}; choose from {', '.join(settings)}")
    if given.exit_with_stdin:
        threading.Thread(target=_exit_with_stdin, daemon=True).start()
    return Options(
        system=given.system,
        port=given.port,
        data=given.data,
        hub=given.hub,
        key=given.key,
        seed=given.seed,
        faults={kind: float(rate) for kind, _, rate in (pair.partition("=") for pair in given.fault)},
        settings={**settings, **own},
    )


def simulator_app(
    system: str, *, books: Books, faults: Faults, hub: HubClient, routes: Sequence[Route], tasks: Sequence[Task] = ()
) -> ASGIApp:
    """The protocol's own ``routes`` behind faults, the controls beside them, and background ``tasks``."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(task()) for task in (hub.run, *tasks)]
        for task in running:
            task.add_done_callback(_stop_if_it_failed)
        yield
        for task in running:
            task.cancel()

    app = Starlette(routes=[*routes, *_controls(system, books, faults, hub)], lifespan=lifespan)
    return FaultyWire(app, faults)


def serve(app: ASGIApp, system: str, port: int) -> None:
    """Serve on the loopback until told to stop; prints one JSON line when ready. ``port`` 0 takes any."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    ready = orjson.dumps({"system": system, "port": listening.getsockname()[1]}).decode()
    server = _AnnouncingServer(uvicorn.Config(app, log_level="warning", access_log=False), ready)
    server.run(sockets=[listening])


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(self._ready + "\n")
        sys.stdout.flush()


def _controls(system: str, books: Books, faults: Faults, hub: HubClient) -> list[Route]:
    async def health(_: Request) -> Response:
        return json_response({"system": system})

    async def show_faults(_: Request) -> Response:
        return json_response(faults.rates)

    async def set_faults(request: Request) -> Response:
        try:
            faults.set(orjson.loads(await request.body()))
        except ValueError as error:
            return json_response({"detail": str(error)}, 422)
        return json_response(faults.rates)

    async def outgoing(_: Request) -> Response:
        return json_response(hub.state())

    async def push(request: Request) -> Response:
        """Queue any body as it is: ``?stream=&key=``. How bad records get into a demo."""
        item = Push(
            stream=request.query_params["stream"],
            key=request.query_params["key"],
            body=await request.body(),
            media_type=request.headers["content-type"],
        )
        with books.transaction() as transaction:
            hub.queue(transaction, item)
        return json_response({"key": item.key}, 202)

    return [
        Route("/_health", health),
        Route("/_faults", show_faults),
        Route("/_faults", set_faults, methods=["PUT"]),
        Route("/_outgoing", outgoing),
        Route("/_push", push, methods=["POST"]),
    ]


def _stop_if_it_failed(task: "asyncio.Task[None]") -> None:
    """A background task that dies takes the process with it: half a simulator would only confuse."""
    if not task.cancelled() and (error := task.exception()) is not None:
        sys.stderr.write(f"a task of the simulator failed: {error!r}\n")
        os._exit(1)


def _exit_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
