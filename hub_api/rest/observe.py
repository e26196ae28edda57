"""Every request is counted, timed and traced by its route, never by its raw path."""

import time
from typing import Any, Final

from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.runtime import telemetry

UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
WATCHED_BY_PEOPLE: Final = "/console/"  # pages that refresh themselves would drown what systems do
UNKNOWN_ROUTE: Final = "unknown"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Requests:
    """The request metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.total = Counter("yipan_http_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "yipan_http_request_seconds", "Time to answer.", ("method", "route"), registry=self.registry
        )


class Observed:
    """ASGI middleware: one span and one count a request; an incoming ``traceparent`` is continued."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self.app = app
        self.requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED or scope["path"].startswith(WATCHED_BY_PEOPLE):
            await self.app(scope, receive, send)
            return
        status = 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        started = time.perf_counter()
        traceparent = Headers(scope=scope).get("traceparent")
        with telemetry.span(f"{method} request", traceparent=traceparent, kind=SpanKind.SERVER) as span:
            try:
                await self.app(scope, receive, answered)
            finally:
                route = _route(scope)
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.request.method": method, "http.route": route, "http.status_code": status})
                self.requests.total.labels(method, route, str(status)).inc()
                self.requests.seconds.labels(method, route).observe(time.perf_counter() - started)


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return getattr(route, "path", UNKNOWN_ROUTE)
