"""Signing in through the company's own OpenID provider: authorization code with PKCE.

``start`` sends the browser there, ``finish`` takes what it brings back. What the id token says is believed only after
its signature (by the provider's published keys, never ``none``, never a shared secret), issuer, audience, expiry and
nonce were checked. docs/people.md says how claims become a login and roles.
"""

import hashlib
import hmac
import logging
import secrets
import time
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from canonical_model.errors import AccessError, ConfigurationError, TransientError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row
from flows.runtime.settings import Settings, resolve_secret
from hub_api import people, sessions
from hub_api.roles import ROLES
from hub_api.sessions import Session

with warnings.catch_warnings():
    from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]

    # authlib would like another HTTP library; it works with the one that we have
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.base_client.errors import OAuthError  # type: ignore[import-untyped]
    from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]
    from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]

RETURN_PATH: Final = "/console/oidc/callback"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
HTTP_LIBRARIES: Final = ("httpx", "httpx2")
TIMEOUT_S: Final = 10.0
STATE_S: Final = 600
SWEPT_AT_ONCE: Final = 1_000
LEEWAY_S: Final = 60
DISCOVERY_KEPT_S: Final = 3_600.0
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
MAX_GIVEN: Final = 4_096

_log = logging.getLogger(__name__)
_providers: dict[str, tuple[float, "_Provider"]] = {}


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and a secret for a cookie of it: only that browser can finish."""

    url: str
    binding: str


@dataclass(slots=True)
class _Provider:
    """What the provider says about itself; ``keys`` are fetched when first needed."""

    issuer: str
    endpoints: Mapping[str, str]
    keys: KeySet | None = None


def is_on(settings: Settings) -> bool:
    """Whether there is a provider to sign in at."""
    return settings.oidc_issuer is not None


def start(hub: Hub) -> Started:
    """Begin a sign-in. Raises ConfigurationError (a setting is missing or wrong), TransientError (provider away)."""
    roles_by_word(hub)
    provider = _provider(hub.settings)
    state, nonce, verifier, binding = (secrets.token_urlsafe(32) for _ in range(4))
    hub.database.run(
        "DELETE FROM oidc_state WHERE hash IN (SELECT hash FROM oidc_state WHERE expires_at < clock_timestamp()"
        " LIMIT %s FOR UPDATE SKIP LOCKED)",
        (SWEPT_AT_ONCE,),
    )
    hub.database.run(
        "INSERT INTO oidc_state (hash, binding, nonce, verifier, expires_at)"
        " VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (_hash(state), _hash(binding), nonce, verifier, STATE_S),
    )
    with _client(hub.settings) as client:
        url, _ = client.create_authorization_url(
            provider.endpoints["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
        )
    return Started(str(url), binding)


def finish(hub: Hub, given: Mapping[str, str], binding: str) -> Session:
    """The session of whoever comes back with ``given`` (the query of the address they were sent to).

    ``binding``: the cookie of their browser. AccessError: ``oidc.state`` (not asked for here, or used before),
    ``oidc.refused`` (the provider said no), ``oidc.token`` (its token does not hold), ``oidc.account`` (nobody here
    goes by that login), ``sign_in.refused``, ``sign_in.no_role``. Also ConfigurationError and TransientError.
    """
    asked = _take_state(hub, given.get("state", ""), binding)
    provider = _provider(hub.settings)
    if given.get("iss", provider.issuer) != provider.issuer:
        raise AccessError("the answer comes from another provider than was asked; sign in again", code="oidc.state")
    if "code" not in given:
        _log.warning("the OpenID provider refused a sign-in: %.200r", given.get("error"))
        raise AccessError("the sign-in provider said no; ask its admin, or try again", code="oidc.refused")
    claims = _claims(hub.settings, provider, given["code"][:MAX_GIVEN], asked)
    login = _login(hub.settings, claims)
    subject = _hash(f"{provider.issuer}\n{claims['sub']}")
    granted = _granted(hub, claims)
    with hub.database.unit() as uow:
        version = people.meet(uow, hub, login, subject=subject, name=str(claims.get("name") or login), roles=granted)
        uow.commit()  # what the provider has withdrawn is gone, whether a session can begin or not
    with hub.database.unit() as uow:
        session = sessions.begin(uow, hub, login, version=version)
        uow.commit()
    return session


def roles_by_word(hub: Hub) -> dict[str, tuple[str, str]]:
    """The setting ``oidc_roles`` as word -> (brand, role). ConfigurationError names what is wrong in it."""
    table = {}
    for word, meaning in hub.settings.oidc_roles.items():
        brand, _, role = meaning.rpartition(":")
        brand = brand or hub.estate.brand
        if role not in ROLES or brand not in people.brands_of(hub):
            raise ConfigurationError(
                f"YIPAN_OIDC_ROLES: {word!r} stands for {meaning!r}; use a role ({', '.join(ROLES)}),"
                f" or brand:role with a brand of the estate ({', '.join(people.brands_of(hub))})",
                key="YIPAN_OIDC_ROLES",
            )
        table[word] = (brand, role)
    return table


def _take_state(hub: Hub, state: str, binding: str) -> Row:
    """What was remembered when the sign-in began; it can be taken once."""
    rows = hub.database.run(
        "DELETE FROM oidc_state WHERE hash = %s RETURNING *, expires_at > clock_timestamp() AS fresh", (_hash(state),)
    )
    if not rows or not rows[0]["fresh"] or not hmac.compare_digest(rows[0]["binding"], _hash(binding)):
        raise AccessError("this sign-in was not begun here, or is over; sign in again", code="oidc.state")
    return rows[0]


def _provider(settings: Settings) -> _Provider:
    """The provider's own description, kept for an hour."""
    issuer = _required(settings.oidc_issuer, "OIDC_ISSUER")
    _check_https(issuer, "YIPAN_OIDC_ISSUER")
    kept_until, provider = _providers.get(issuer, (0.0, None))
    if provider is not None and time.monotonic() < kept_until:
        return provider
    with _client(settings) as client, _answering(issuer):
        document = _json(client.request("GET", issuer.rstrip("/") + DISCOVERY_PATH, withhold_token=True), issuer)
    if document.get("issuer") != issuer:
        raise ConfigurationError(
            f"{issuer} calls itself {document.get('issuer')!r}; write that into YIPAN_OIDC_ISSUER if it is right",
            code="oidc.provider",
            key="YIPAN_OIDC_ISSUER",
        )
    endpoints = {name: str(document.get(name) or "") for name in ENDPOINTS}
    for name, address in endpoints.items():
        _check_https(address, f"{name} of {issuer}")
    provider = _Provider(issuer, endpoints)
    _providers[issuer] = (time.monotonic() + DISCOVERY_KEPT_S, provider)
    return provider


def _claims(settings: Settings, provider: _Provider, code: str, asked: Row) -> Mapping[str, Any]:
    """Trade the code for an id token; what it says, checked."""
    with _client(settings) as client, _answering(provider.issuer):
        try:
            token = client.fetch_token(
                provider.endpoints["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=asked["verifier"],
            )
        except OAuthError as error:
            _log.warning("the OpenID provider does not take the code: %.200r", error.error)
            raise AccessError("the sign-in provider does not confirm you; try again", code="oidc.refused") from error
        try:
            return _checked(client, settings, provider, token, asked["nonce"])
        except (JoseError, ValueError, TypeError, KeyError) as error:
            _log.warning("an id token does not hold: %s: %.200s", type(error).__name__, error)
            raise AccessError(
                "what the sign-in provider says about you does not hold; tell an admin", code="oidc.token"
            ) from error


def _checked(
    client: Any, settings: Settings, provider: _Provider, token: Mapping[str, Any], nonce: str
) -> Mapping[str, Any]:
    registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    fresh = provider.keys is None
    try:
        decoded = jwt.decode(token["id_token"], key=_keys(client, provider), registry=registry)
    except (InvalidKeyIdError, BadSignatureError):
        if fresh:
            raise
        provider.keys = None  # they may have changed their keys since
        decoded = jwt.decode(token["id_token"], key=_keys(client, provider), registry=registry)
    claims: Mapping[str, Any] = CodeIDToken(
        decoded.claims,
        decoded.header,
        {
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": settings.oidc_client_id},
            "sub": {"essential": True},
            "nonce": {"essential": True, "value": nonce},
        },
        {"nonce": nonce, "client_id": settings.oidc_client_id, "access_token": token.get("access_token")},
    )
    claims.validate(leeway=LEEWAY_S)  # type: ignore[attr-defined]
    return claims


def _keys(client: Any, provider: _Provider) -> KeySet:
    keys = provider.keys
    if keys is None:
        document = _json(client.request("GET", provider.endpoints["jwks_uri"], withhold_token=True), provider.issuer)
        keys = KeySet.import_key_set({"keys": [key for key in document["keys"] if key.get("kty") != "oct"]})
        provider.keys = keys
    return keys


def _login(settings: Settings, claims: Mapping[str, Any]) -> str:
    value = claims.get(settings.oidc_login_claim)
    unverified = settings.oidc_login_claim == "email" and claims.get("email_verified") is not True
    if not isinstance(value, str) or not value.strip() or not value.strip().isprintable() or unverified:
        raise AccessError(
            f"the sign-in provider gives no {settings.oidc_login_claim} that counts; tell an admin", code="oidc.token"
        )
    return sessions.fold(value)


def _granted(hub: Hub, claims: Mapping[str, Any]) -> dict[str, set[str]] | None:
    """Roles by brand as the provider tells them; None when the accounts here have their own."""
    path = hub.settings.oidc_role_claim
    if path is None:
        return None
    value: Any = claims.get(path)
    if value is None and "." in path:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    table = roles_by_word(hub)
    granted: dict[str, set[str]] = {}
    for word in words:
        if isinstance(word, str) and word in table:
            brand, role = table[word]
            granted.setdefault(brand, set()).add(role)
    return granted


def _client(settings: Settings) -> Any:
    public_url = _required(settings.public_url, "PUBLIC_URL")
    secret = settings.oidc_client_secret
    return OAuth2Client(
        _required(settings.oidc_client_id, "OIDC_CLIENT_ID"),
        resolve_secret(secret) if secret else None,
        scope=settings.oidc_scopes,
        redirect_uri=public_url.rstrip("/") + RETURN_PATH,
        code_challenge_method="S256",
        timeout=TIMEOUT_S,
        trust_env=False,
    )


@contextmanager
def _answering(issuer: str) -> Any:
    """What authlib's HTTP library raises becomes TransientError, and so does an answer that is not JSON."""
    try:
        yield
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if library not in HTTP_LIBRARIES and not isinstance(error, ValueError):
            raise
        raise TransientError(
            f"the sign-in provider {issuer} does not answer as it should ({type(error).__name__}); try again later",
            code="oidc.away",
        ) from error


def _json(response: Any, issuer: str) -> dict[str, Any]:
    if response.status_code != 200:
        raise TransientError(
            f"the sign-in provider {issuer} answers {response.status_code} at {response.url.path}; try again later",
            code="oidc.away",
        )
    document = response.json()
    assert isinstance(document, dict)
    return document


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise ConfigurationError(f"YIPAN_{name} is not set; signing in through OpenID needs it", key=f"YIPAN_{name}")
    return value


def _check_https(address: str, what: str) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ConfigurationError(f"{what} is {address!r}; it must be an https address", code="oidc.provider")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
