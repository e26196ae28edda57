"""The second factor: six digits from a phone (RFC 6238), and recovery codes for whoever lost it."""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

ISSUER: Final = "Yipan Hub"
DIGITS: Final = 6
STEP_S: Final = 30
DRIFT: Final = 1
SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10


def new_secret() -> bytes:
    """A secret to share with somebody's phone."""
    return secrets.token_bytes(SECRET_BYTES)


def uri(login: str, secret: bytes) -> str:
    """The ``otpauth://`` address that an authenticator app reads from a QR code."""
    return _totp(secret).get_provisioning_uri(login, ISSUER)


def code_at(secret: bytes, at: float) -> str:
    """The six digits of the moment ``at`` (seconds since 1970)."""
    return _totp(secret).generate(int(at)).decode()


def find_step(secret: bytes, code: str, *, after: int, at: float | None = None) -> int | None:
    """The time step whose code this is, within one step of now and later than ``after``; else None."""
    now = int((time.time() if at is None else at) // STEP_S)
    right = None
    for step in range(now - DRIFT, now + DRIFT + 1):
        same = hmac.compare_digest(code_at(secret, step * STEP_S).encode(), code.encode("utf-8", "replace"))
        if same and step > after:
            right = step
    return right


def new_recovery_codes() -> list[str]:
    """Codes that open once each, 80 random bits: ``abcd-efgh-ijkl-mnop``."""
    plain = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in plain]


def recovery_hash(code: str) -> str:
    """What is kept of a recovery code; blanks, hyphens and capitals make no difference."""
    plain = code.replace("-", "").replace(" ", "").lower()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_S)  # noqa: S303 - what authenticator apps speak; HMAC-SHA1 is not broken
