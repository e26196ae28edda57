"""Pages: ``items`` and the ``next`` cursor, absent at the end."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import Query

MAX_PAGE: Final = 500

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most items in one answer.")]
After = Annotated[int, Query(ge=0, le=2**62, description="`next` of the page before.")]


def page(rows: Sequence[Mapping[str, Any]], limit: int, key: str = "id") -> dict[str, Any]:
    """One page; a full one says where the next begins."""
    more = len(rows) == limit
    return {"items": rows, "next": rows[-1][key] if more else None}
