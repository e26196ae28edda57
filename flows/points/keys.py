"""Keys of runs and transfers: their parts joined so that no two lists of parts make one key."""

from hashlib import sha256
from typing import Final

from canonical_model.ledger import MAX_KEY

_DIGEST: Final = 32


def key_of(*parts: str) -> str:
    """The parts with colons between them; a colon within a part is written as ``%3A``."""
    return ":".join(part.replace("%", "%25").replace(":", "%3A") for part in parts)


def ledger_key(*parts: str) -> str:
    """As ``key_of``; what is longer than the ledger takes is cut and told apart by its digest."""
    key = key_of(*parts)
    if len(key) <= MAX_KEY:
        return key
    return f"{key[: MAX_KEY - _DIGEST - 1]}~{sha256(key.encode()).hexdigest()[:_DIGEST]}"
