"""How a call to the gift supplier is signed: by us, and checked by the simulator."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

APP_KEY: Final = "X-App-Key"
TIMESTAMP: Final = "X-Timestamp"
SIGNATURE: Final = "X-Signature"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
MAX_AGE_S: Final = 300


def signature(secret: str, method: str, target: str, *, key: str, timestamp: str, body: bytes) -> str:
    """Hex HMAC-SHA256 over method, path with query, idempotency key, Unix time and the body's digest, line by line.

    The idempotency key is signed too, so that a call which is sent again by somebody else does nothing new.
    """
    lines = [method, target, key, timestamp, hashlib.sha256(body).hexdigest()]
    return hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()


def signed_headers(
    app_key: str, secret: str, method: str, target: str, *, key: str, now_s: float, body: bytes
) -> Mapping[str, str]:
    """The headers of one call. ``target`` is the path with its query as sent; ``key`` is empty for a read."""
    timestamp = str(int(now_s))
    signed = signature(secret, method, target, key=key, timestamp=timestamp, body=body)
    headers = {APP_KEY: app_key, TIMESTAMP: timestamp, SIGNATURE: signed}
    return {**headers, IDEMPOTENCY_KEY: key} if key else headers
