"""The API process: uvicorn within stated limits, with a worker beside it unless workers run elsewhere."""

import logging
import socket
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

import uvicorn

from canonical_model.errors import ConfigurationError
from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from hub_api.rest.app import create_app
from hub_api.worker import Work, stop_signal, traced

MAX_HEADER_BYTES: Final = 64 * 1024
SOCKETS: Final = "websockets-sansio"
MAX_SOCKET_BYTES: Final = 1024 * 1024
MAX_SOCKET_QUEUE: Final = 16
MAX_CONNECTIONS: Final = 1_000
KEEP_ALIVE_S: Final = 15
STOP_S: Final = 30
BACKLOG: Final = 2_048


def serve(settings: Settings, *, host: str, port: int, work: bool, ready: Callable[[str], None]) -> None:
    """Answer on ``host:port`` (port 0: any) until SIGTERM or SIGINT. ``ready`` hears the URL once doors are open.

    ``work``: carry runs on in this process too. Raises what ``bootstrap.build`` raises.
    """
    with build(settings) as hub, traced(hub):
        config = uvicorn.Config(
            create_app(hub, console=True),
            http="h11",
            ws=SOCKETS,
            ws_max_size=MAX_SOCKET_BYTES,
            ws_max_queue=MAX_SOCKET_QUEUE,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
            proxy_headers=settings.trusted_proxies is not None,
            forwarded_allow_ips=settings.trusted_proxies,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level=logging.WARNING,
        )
        listening = _listen(host, port)
        with stop_signal(), Work(hub) if work else nullcontext():
            _Announced(config, lambda: ready(_url(listening))).run(sockets=[listening])


class _Announced(uvicorn.Server):
    """A server that says when it is open."""

    def __init__(self, config: uvicorn.Config, opened: Callable[[], None]) -> None:
        super().__init__(config)
        self._opened = opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._opened()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --host or --port", key="--port"
        ) from error


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
