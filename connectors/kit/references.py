"""The hub's key of a write, as systems with short and plain reference fields take it."""

import re
from hashlib import sha256
from typing import Final

_DIGEST: Final = 16
_PLAIN: Final = re.compile(r"[A-Za-z0-9:._#-]+")


def plain_reference(key: str, length: int) -> str:
    """``key`` if it is plain (letters, digits, ``:._#-``) and at most ``length`` characters; any other is cut and told
    apart by ``~`` and 16 digits of a digest. ``length`` is more than 17."""
    if len(key) <= length and _PLAIN.fullmatch(key):
        return key
    kept = "".join(_PLAIN.findall(key))[: length - _DIGEST - 1]
    return f"{kept}~{sha256(key.encode()).hexdigest()[:_DIGEST]}"
