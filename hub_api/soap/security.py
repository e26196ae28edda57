"""Who pushes: an API key, or a WS-Security UsernameToken as text or digest. What is not clearly right is refused."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Final

from lxml import etree

from canonical_model.errors import AccessError
from flows.runtime.database import Database
from hub_api.auth import PREFIX, Access, authenticate
from hub_api.soap.accounts import find_account, use_nonce

_OASIS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
WSSE: Final = f"{_OASIS}-wssecurity-secext-1.0.xsd"
WSU: Final = f"{_OASIS}-wssecurity-utility-1.0.xsd"
TEXT: Final = f"{_OASIS}-username-token-profile-1.0#PasswordText"
DIGEST: Final = f"{_OASIS}-username-token-profile-1.0#PasswordDigest"
BASE64: Final = f"{_OASIS}-soap-message-security-1.0#Base64Binary"
_UNDERSTOOD: Final = (f"{{{WSSE}}}UsernameToken", f"{{{WSU}}}Timestamp")
SECURITY: Final = f"{{{WSSE}}}Security"
FRESH: Final = timedelta(minutes=5)
AHEAD: Final = timedelta(minutes=1)
MAX_NAME: Final = 60
MAX_PASSWORD: Final = 200
NONCE_BYTES: Final = range(8, 129)
MAX_CREATED: Final = 40

MALFORMED: Final = "access.token"
WRONG: Final = "access"
STALE: Final = "access.stale"
REPLAYED: Final = "access.replayed"


@dataclass(frozen=True, slots=True)
class UsernameToken:
    """A token as it was sent. A digest comes with its nonce and the time it was made."""

    name: str
    password: str
    is_digest: bool
    nonce: bytes = b""
    created: str = ""


def identify(database: Database, headers: Sequence[etree._Element], holder: Access | None, now: datetime) -> Access:
    """Who calls: by the token in the headers, else ``holder``, whose key came with the request itself.

    AccessError: ``access`` (nobody, or not who they say), ``access.token`` (malformed), ``access.stale``,
    ``access.replayed``.
    """
    blocks = [block for block in headers if block.tag == SECURITY]
    if len(blocks) > 1:
        raise AccessError("there are several Security headers; send one", code=MALFORMED)
    if not blocks and holder is not None:
        return holder
    if not blocks:
        raise AccessError("send a WS-Security UsernameToken, or an API key as `Authorization: Bearer yk_…`", code=WRONG)
    token = _read(blocks[0])
    if not token.is_digest and token.password.startswith(f"{PREFIX}_"):
        return authenticate(database, token.password)
    return _by_account(database, token, now)


def find_holder(database: Database, authorization: str) -> Access | None:
    """Who holds the key of an ``Authorization`` header, if it bears one. AccessError when that is not in force."""
    scheme, _, key = authorization.partition(" ")
    return authenticate(database, key.strip()) if scheme.lower() == "bearer" else None


def _by_account(database: Database, token: UsernameToken, now: datetime) -> Access:
    account = find_account(database, token.name)
    right = _digest(token.nonce, token.created, account.password) if token.is_digest else account.password
    if not compare_digest(right.encode(), token.password.encode("utf-8", "replace")) or account.access is None:
        raise AccessError("the user name or the password is wrong", code=WRONG)
    if token.is_digest:
        created = _moment(token.created)
        if not now - FRESH <= created <= now + AHEAD:
            detail = "the token's Created is not of the last five minutes; set the clock, and make a token a message"
            raise AccessError(detail, code=STALE)
        if not use_nonce(database, token.name, token.nonce, created + FRESH + AHEAD):
            raise AccessError("the token's Nonce was used before; make a new token for every message", code=REPLAYED)
    return account.access


def _read(security: etree._Element) -> UsernameToken:
    tokens = list(security.iterfind(f"{{{WSSE}}}UsernameToken"))
    if len(tokens) != 1 or any(child.tag not in _UNDERSTOOD for child in security):
        detail = "the Security header holds something else than one UsernameToken; send that and at most a Timestamp"
        raise AccessError(detail, code=MALFORMED)
    name = _only(tokens[0], f"{{{WSSE}}}Username")
    password = _only(tokens[0], f"{{{WSSE}}}Password")
    if name is None or password is None:
        raise AccessError("the UsernameToken lacks Username or Password; send each once", code=MALFORMED)
    kind, said, shown = password.get("Type", TEXT), (name.text or "").strip(), password.text or ""
    if not said or len(said) > MAX_NAME or len(shown) > MAX_PASSWORD:
        raise AccessError("Username or Password is empty or too long", code=MALFORMED)
    if kind == TEXT:
        return UsernameToken(said, shown, is_digest=False)
    if kind != DIGEST:
        raise AccessError("the Password's Type is neither PasswordText nor PasswordDigest", code=MALFORMED)
    created = _only(tokens[0], f"{{{WSU}}}Created")
    nonce = _only(tokens[0], f"{{{WSSE}}}Nonce")
    if created is None or nonce is None:
        raise AccessError("a PasswordDigest comes with Nonce and Created; send both", code=MALFORMED)
    made = (created.text or "").strip()
    _moment(made)
    return UsernameToken(said, shown.strip(), is_digest=True, nonce=_nonce(nonce), created=made)


def _only(token: etree._Element, tag: str) -> etree._Element | None:
    found = token.findall(tag)
    return found[0] if len(found) == 1 else None


def _nonce(element: etree._Element) -> bytes:
    try:
        nonce = base64.b64decode((element.text or "").strip(), validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if element.get("EncodingType", BASE64) != BASE64 or len(nonce) not in NONCE_BYTES:
        raise AccessError("the Nonce is not 8 to 128 random bytes in base64", code=MALFORMED)
    return nonce


def _moment(text: str) -> datetime:
    """When a token was made. Without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text[:MAX_CREATED])
    except ValueError:
        raise AccessError("Created is no time such as 2026-03-01T01:30:00Z", code=MALFORMED) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _digest(nonce: bytes, created: str, password: str) -> str:
    hashed = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False).digest()
    return base64.b64encode(hashed).decode()
