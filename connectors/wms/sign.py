"""The Qimen signature, which both sides put on every call."""

import hashlib
from collections.abc import Mapping
from typing import Final

SIGN: Final = "sign"


def signature(secret: str, parameters: Mapping[str, str], body: bytes) -> str:
    """Upper-hex MD5 over secret, the sorted parameters (key and value joined), body, secret.

    MD5 is what the protocol prescribes; the secret on both ends is what makes it hold.
    """
    signed = "".join(f"{name}{value}" for name, value in sorted(parameters.items()) if name != SIGN)
    payload = secret.encode() + signed.encode() + body + secret.encode()
    return hashlib.md5(payload, usedforsecurity=False).hexdigest().upper()


def signed_query(
    secret: str, method: str, body: bytes, *, app_key: str, customer_id: str, timestamp: str
) -> dict[str, str]:
    """The query parameters of one call. ``timestamp`` is ``YYYY-MM-DD HH:MM:SS`` of the sender's zone."""
    parameters = {
        "method": method,
        "timestamp": timestamp,
        "format": "xml",
        "app_key": app_key,
        "v": "2.0",
        "sign_method": "md5",
        "customerId": customer_id,
    }
    return {**parameters, SIGN: signature(secret, parameters, body)}
