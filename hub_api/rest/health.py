"""``/healthz``, ``/readyz``, ``/metrics``: for whoever keeps the hub running."""

import socket
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from canonical_model.errors import TransientError
from flows.runtime.bootstrap import Hub
from flows.runtime.settings import Settings
from hub_api.measures import HubCollector, relay_lag_s
from hub_api.rest.dependencies import HubOf, Observer
from hub_api.rest.desk_shapes import Health, Readiness

router = APIRouter(tags=["health"])

CHECK_S: Final = 2.0
MAX_RELAY_LAG_S: Final = 60.0
OK: Final = "ok"
BROKER_PORTS: Final = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}


@router.get("/healthz", response_model=Health)
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": OK}


@router.get("/readyz", responses={200: {"model": Readiness}, 503: {"model": Readiness}})
async def readyz(hub: HubOf) -> Response:
    """Whether everything behind the door answers; 503 names what does not, and what to do.

    Pushes are stored as long as the database answers, whatever else is away.
    """
    checks = {"database": "away: start it, or correct YIPAN_DATABASE_URL"}
    with anyio.move_on_after(CHECK_S):
        checks = await run_sync(_checks, hub, abandon_on_cancel=True)
    ready = all(word == OK for word in checks.values())
    body = {"status": "ready" if ready else "not ready", "checks": checks}
    return JSONResponse(body, 200 if ready else 503, headers={} if ready else {"Retry-After": "5"})


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(hub: HubOf, _: Observer, request: Request) -> Response:
    """Prometheus text: this process's requests and runs, and what the database says of all processes."""
    database_part = CollectorRegistry()
    database_part.register(HubCollector(hub.database))
    parts = (REGISTRY, request.app.state.requests.registry, database_part)
    return Response(b"".join(map(generate_latest, parts)), media_type=CONTENT_TYPE_LATEST)


def _checks(hub: Hub) -> dict[str, str]:
    broker = _broker_word(hub.settings)
    try:
        lag_s = relay_lag_s(hub.database)
    except TransientError as error:
        return {"database": f"away: {error.detail}", "broker": broker}
    late = f"late: {lag_s:.0f} s behind; start a worker (`yipan worker`)"
    return {"database": OK, "relay": OK if lag_s <= MAX_RELAY_LAG_S else late, "broker": broker}


def _broker_word(settings: Settings) -> str:
    if settings.broker_url is None:
        return OK
    url = urlsplit(settings.broker_url.get_secret_value())
    address = (url.hostname or "", url.port or BROKER_PORTS.get(url.scheme, 0))
    try:
        socket.create_connection(address, timeout=CHECK_S / 2).close()
    except OSError:
        return f"away: nothing answers at {address[0]}:{address[1]}; start it, or correct YIPAN_BROKER_URL"
    return OK
