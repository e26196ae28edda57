"""A small OpenID provider that really answers over HTTP, and lies when a test asks it to."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import RSAKey

CLIENT_ID: Final = "yipan"
CLIENT_SECRET: Final = "shared with the provider"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Who signs in is ``claims``; ``lies`` overrides what an honest id token says (None leaves a claim out)."""

    def __init__(self) -> None:
        self.url = ""
        self.claims: dict[str, Any] = {"sub": "u-17", "preferred_username": "Li", "name": "李伟"}
        self.lies: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.issuer_said: str | None = None
        self.refuses = False
        self.broken = False
        self.key = self.new_key()
        self.published = [self.key]
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    @staticmethod
    def new_key(kid: str | None = None) -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": kid or secrets.token_hex(4), "use": "sig", "alg": "RS256"})

    def rotate(self, *, kid: str | None = None) -> None:
        """Sign with another key from now on, and publish that one only."""
        self.key = self.new_key(kid)
        self.published = [self.key]

    def describe(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer_said or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """The person says yes; where their browser is sent."""
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        answer = {"state": query["state"], "iss": self.url}
        if self.refuses:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(8)
            self._codes[answer["code"]] = query
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET.replace(' ', '+')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        query = self._codes.pop(form.get("code", ""), None)
        challenge = base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if authorization.removeprefix("Basic ") not in (expected, plain):
            return 401, {"error": "invalid_client"}
        if query is None or challenge != query["code_challenge"] or form["redirect_uri"] != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(query["nonce"])}

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        honest = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce, **self.claims}
        claims = {name: value for name, value in {**honest, **self.lies}.items() if value is not None}
        if self.algorithm != "RS256":
            return self._forged(claims)
        return jws.serialize_compact({"alg": "RS256", "kid": self.key.kid}, json.dumps(claims), self.key)

    def _forged(self, claims: dict[str, Any]) -> str:
        """``none``: not signed; else signed with what everybody, or the hub itself, knows."""
        head = {"alg": "none" if self.algorithm == "none" else "HS256", "kid": self.key.kid}
        text = f"{base64url(json.dumps(head).encode())}.{base64url(json.dumps(claims).encode())}"
        known = {"public key": self.key.as_pem(private=False), "client secret": CLIENT_SECRET.encode()}
        if self.algorithm not in known:
            return f"{text}."
        return f"{text}.{base64url(hmac.digest(known[self.algorithm], text.encode(), 'sha256'))}"


@contextmanager
def running() -> Iterator[Provider]:
    """A provider on a free port of this machine."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            if provider.broken:
                self.answer(503, {"error": "temporarily_unavailable"})
            elif parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.authorize(dict(parse_qsl(parts.query))))
                self.end_headers()
            elif parts.path == "/jwks":
                self.answer(200, {"keys": [key.as_dict(private=False) for key in provider.published]})
            elif parts.path == "/.well-known/openid-configuration":
                self.answer(200, provider.describe())
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.answer(*provider.token(form, self.headers.get("Authorization", "")))

        def answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield provider
    server.shutdown()
    server.server_close()
    thread.join()
