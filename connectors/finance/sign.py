"""The signature that both sides put on every call and every answer."""

import hmac
from hashlib import sha256
from typing import Final

APP_ID: Final = "X-App-Id"
TIMESTAMP: Final = "X-Timestamp"
NONCE: Final = "X-Nonce"
SIGNATURE: Final = "X-Signature"


def request_signature(secret: str, method: str, path: str, timestamp: str, nonce: str, body: bytes) -> str:
    """Hex HMAC-SHA256 over method, path (below the base URL), timestamp (ms since 1970), nonce and body, by lines."""
    return _signed(secret, (method, path, timestamp, nonce), body)


def answer_signature(secret: str, status: int, timestamp: str, nonce: str, body: bytes) -> str:
    """The same over ``ANSWER``, HTTP status, the answer's own timestamp, the nonce of the request and the body.

    The nonce ties an answer to its request; the first word keeps a request from being sent back as an answer.
    """
    return _signed(secret, ("ANSWER", str(status), timestamp, nonce), body)


def is_equal(given: str, expected: str) -> bool:
    """Whether two signatures are the same, in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _signed(secret: str, head: tuple[str, ...], body: bytes) -> str:
    return hmac.new(secret.encode(), "\n".join((*head, "")).encode() + body, sha256).hexdigest()
