"""Putting the console onto the hub's application: guard, forms, assets, and NiceGUI's pages below ``/console``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from nicegui import app as pages_app
from nicegui import core, ui
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from flows.runtime.bootstrap import Hub
from hub_api.console import assets, sign_in
from hub_api.console import pages as _pages  # noqa: F401 - importing registers them
from hub_api.console.guard import FOREVER, HOME, Guard

RECONNECT_S: Final = 5.0
COLOURS: Final = {
    "primary": "#1c5fb8",
    "secondary": "#4a5666",
    "accent": "#1c5fb8",
    "positive": "#1b7446",
    "negative": "#b3261e",
    "warning": "#8a5a00",
    "info": "#1c5fb8",
    "dark": "#1d2630",
    "dark_page": "#10151b",
}


def install(app: FastAPI, hub: Hub) -> None:
    """Serve the console from ``app``. NiceGUI is one for the process: only one such application may run at a time."""
    for home in (HOME, f"{HOME}/"):
        app.add_api_route(home, _home, include_in_schema=False)
    app.add_api_route("/console/assets/{name}", _asset, include_in_schema=False)
    app.include_router(sign_in.router)
    if core.app.config.has_run_config:
        _mount_again(app)
    else:
        _mount(app)
    app.add_middleware(Guard, hub=hub)


def _mount(app: FastAPI) -> None:
    pages_app.config.socket_io_js_transports = ["websocket"]
    pages_app.config.quasar_config["loadingBar"] = {"color": "primary", "skipHijack": True}
    pages_app.colors(**COLOURS)
    ui.run_with(
        app,
        mount_path=HOME,
        favicon=assets.FAVICON,
        dark=None,
        language="zh-CN",
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        message_history_length=200,
        cache_control_directives=FOREVER,
        gzip_middleware_factory=None,
        tailwind=False,
        show_welcome_message=False,
    )


def _mount_again(app: FastAPI) -> None:
    app.mount(HOME, core.app)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(outer: Any) -> AsyncIterator[Any]:
        async with core.app.router.lifespan_context(core.app), inner(outer) as state:
            yield state

    app.router.lifespan_context = lifespan


def _home() -> Response:
    return RedirectResponse("/console/inbox", 303)


def _asset(name: str, request: Request) -> Response:
    try:
        return Response(assets.content(name), media_type=assets.MEDIA_TYPES[name])
    except KeyError:
        return PlainTextResponse("there is no such file", 404)
