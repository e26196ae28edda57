"""The hub's REST door."""

from importlib.metadata import version

from fastapi import Depends, FastAPI

from flows.runtime.bootstrap import Hub
from hub_api.rest import (
    audit,
    corrections,
    health,
    holds,
    ingest,
    members,
    messages,
    orders,
    points,
    problems,
    quarantine,
    routing,
    runs,
    search,
    stock,
    systems,
    traces,
)
from hub_api.rest.dependencies import refuse_unknown_query
from hub_api.rest.document import DescribedApi
from hub_api.rest.inbox import Inbox
from hub_api.rest.limits import BodyLimits
from hub_api.rest.observe import Observed, Requests
from hub_api.soap import door


def create_app(hub: Hub, *, console: bool = False) -> FastAPI:
    """The application over an open hub; whoever built the hub closes it.

    ``console``: with the pages under /console. They are one for the process, and take a second to load.
    """
    app = DescribedApi(
        title="Yipan Hub",
        version=version("yipan"),
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.hub = hub
    app.state.inbox = Inbox(hub)
    app.state.holds = holds.Holds(hub)
    app.state.requests = Requests()
    problems.install(app)
    for part in (
        orders,
        holds,
        stock,
        routing,
        points,
        members,
        messages,
        quarantine,
        corrections,
        runs,
        traces,
        search,
        systems,
        audit,
    ):
        app.include_router(part.router)
    app.include_router(health.router, dependencies=[Depends(refuse_unknown_query)])
    app.include_router(door.router)
    app.include_router(ingest.router)
    if console:
        from hub_api.console.app import install

        install(app, hub)
    app.add_middleware(BodyLimits, bulk_bytes=hub.settings.max_body_bytes, worded={door.PATH: door.refuse_body})
    app.add_middleware(Observed, requests=app.state.requests)
    return app
