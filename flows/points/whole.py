"""Points and money are whole numbers within limits."""

from typing import Final

from canonical_model.errors import RejectedError

CODE: Final = "points.number"


def check_whole(what: str, value: int, most: int, least: int = 0) -> None:
    """RejectedError ``points.number`` unless ``value`` is a whole number from ``least`` to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RejectedError(f"{what} is {value!r}; send a whole number from {least} to {most:,}", code=CODE)
