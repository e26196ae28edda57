"""Nobody past without a session: every page, asset and websocket under ``/console`` is asked for one.

Also what every answer carries: the content security policy (scripts run by nonce only) and the other security headers.
"""

import secrets
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from nicegui import Client
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canonical_model.errors import TransientError
from flows.runtime.bootstrap import Hub
from hub_api.console.cookies import cookies_of
from hub_api.console.visits import Visit, find_visit

HOME: Final = "/console"
SIGN_IN: Final = "/console/sign-in"
PASSWORD: Final = "/console/password"  # noqa: S105 - an address
SOCKET: Final = "/console/_nicegui_ws/"
ASSETS: Final = ("/console/_nicegui/", "/console/assets/")
OPEN: Final = frozenset(
    {SIGN_IN, "/console/oidc/start", "/console/oidc/callback", "/console/preferences", "/console/sign-out"}
)
FOREVER: Final = "private, max-age=31536000, immutable"
RECHECK_S: Final = 3.0
AGAIN_S: Final = 5
VISIT: Final = "yipan.visit"
NONCE: Final = "yipan.nonce"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def policy(nonce: str) -> str:
    """The content security policy of one answer. NiceGUI compiles templates (``unsafe-eval``) and sets styles."""
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    )


class Guard:
    """ASGI middleware around the whole application; what is not under ``/console`` passes untouched."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self.app = app
        self.hub = hub
        self.cookies = cookies_of(hub.settings.public_url)
        self._pages = GZipMiddleware(_Dressed(app), minimum_size=1_000)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path != HOME and not path.startswith(f"{HOME}/"):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._page(scope, receive, send, path)

    async def _page(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        scope[NONCE] = secrets.token_urlsafe(16)
        try:
            scope[VISIT] = visit = await self._visit(scope)
            refusal = self._refusal(scope, path, visit)
        except TransientError as error:
            refusal = PlainTextResponse(error.detail, 503, headers={"Retry-After": str(AGAIN_S)})
        if refusal is None:
            await self._pages(scope, receive, send)
        else:
            await _Dressed(refusal)(scope, receive, send)

    def _refusal(self, scope: Scope, path: str, visit: Visit | None) -> Response | None:
        if path.startswith(SOCKET):
            return PlainTextResponse("this console speaks through a websocket only", 403)
        if path in OPEN:
            return None
        if visit is not None:
            must_change = visit.session.must_change_password and path not in (PASSWORD, *ASSETS)
            return RedirectResponse(PASSWORD, 303) if must_change else None
        if path.startswith(ASSETS) or scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("sign in first", 403)
        query = scope["query_string"].decode("latin-1")
        return RedirectResponse(f"{SIGN_IN}?next={quote(path + ('?' + query if query else ''))}", 303)

    async def _visit(self, scope: Scope) -> Visit | None:
        token = self.cookies.token(_cookies(scope))
        return await run_in_threadpool(find_visit, self.hub, token) if token else None

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            visit = await self._visit(scope) if self._from_here(scope) else None
        except TransientError:
            visit = None
        if visit is None:
            await receive()
            await send({"type": "websocket.close", "code": 4401, "reason": "sign in first"})
            return
        await self.app(scope, _Watched(self.hub, visit.token, scope, receive), send)

    def _from_here(self, scope: Scope) -> bool:
        """Whether a page of this console opens the socket: its Origin is where people reach the console."""
        headers, public = Headers(scope=scope), self.hub.settings.public_url
        if public is not None:
            ours = urlsplit(public)
            scheme, host = ours.scheme, ours.netloc
        else:
            scheme, host = scope["scheme"].replace("ws", "http"), headers.get("host", "")
        return bool(host) and headers.get("origin", "").lower() == f"{scheme}://{host}".lower()


@dataclass(slots=True)
class _Watched:
    """What a browser sends, as long as its session lasts; then its page is sent to the sign-in."""

    hub: Hub
    token: str
    scope: Scope
    receive: Receive
    checked_at: float = 0.0
    ended: bool = False

    async def __call__(self) -> Message:
        while True:
            message = await self.receive()
            if message["type"] != "websocket.receive":
                return message
            if self.ended:
                return {"type": "websocket.disconnect", "code": 4401}
            if time.monotonic() - self.checked_at < RECHECK_S:
                return message
            if await run_in_threadpool(self._lasts):
                self.checked_at = time.monotonic()
                return message
            self.ended = True
            self._leave()

    def _lasts(self) -> bool:
        """Whether the session is in force. While the database is away nothing can be asked of it, nor done."""
        try:
            return find_visit(self.hub, self.token, idle=True) is not None
        except TransientError:
            return True

    def _leave(self) -> None:
        for part in self.scope["query_string"].decode("latin-1").split("&"):
            name, _, value = part.partition("=")
            if name == "client_id" and (client := Client.instances.get(value)):
                client.open(SIGN_IN.removeprefix(HOME))


class _Dressed:
    """Adds the headers, and puts the nonce on the scripts of a page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: dict[str, Any] = {"start": None, "body": b""}

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _dress(scope, message)
                if _is_page(message):
                    held["start"] = message
                    return
            elif message["type"] == "http.response.body" and held["start"] is not None:
                held["body"] += message.get("body", b"")
                if message.get("more_body", False):
                    return
                message = {**message, "body": _with_nonce(held["body"], scope[NONCE])}
                MutableHeaders(scope=held["start"])["content-length"] = str(len(message["body"]))
                await send(held["start"])
                held["start"] = None
            await send(message)

        await self.app(scope, receive, dressed)


def _dress(scope: Scope, start: MutableMapping[str, Any]) -> None:
    headers = MutableHeaders(scope=start)
    headers["Content-Security-Policy"] = policy(scope[NONCE])
    for name, value in _HEADERS.items():
        headers[name] = value
    unchanging = scope["path"].startswith(ASSETS) and "/dynamic_resources/" not in scope["path"]
    headers["Cache-Control"] = FOREVER if unchanging and start["status"] in (200, 304) else "no-store"


def _is_page(start: Message) -> bool:
    return MutableHeaders(scope=start).get("content-type", "").startswith("text/html")


def _with_nonce(body: bytes, nonce: str) -> bytes:
    """Every ``<script`` of the page template; what people wrote cannot contain one, for NiceGUI escapes its ``<``."""
    return body.replace(b"<script", b'<script nonce="' + nonce.encode() + b'"')


def _cookies(scope: Scope) -> dict[str, str]:
    return cookie_parser(Headers(scope=scope).get("cookie", ""))
