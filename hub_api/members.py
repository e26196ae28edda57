"""Members as a caller reads them: what is personal masked, their points entries beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from canonical_model.store import members, points
from flows.runtime.database import UnitOfWork
from flows.runtime.sealing import Sealed
from hub_api.auth import Access
from hub_api.masking import mask

KEPT_INSIDE: Final = frozenset({"sealed", "key_id", "mobile_token"})
MAX_ENTRIES: Final = 500


def list_members(
    uow: UnitOfWork,
    access: Access,
    *,
    system: str | None = None,
    code: str | None = None,
    mobile: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Members of the caller's brand by id; ``mobile`` finds the equal number, however it is written."""
    rows = members.list_members(
        uow.connection,
        owner=access.owner,
        brand=access.brand,
        system=system,
        code=code,
        mobile_token=None if mobile is None else uow.services.vault.token(mobile),
        after=after,
        limit=limit,
    )
    return _shown(uow, rows)


def read_member(uow: UnitOfWork, access: Access, member_id: int) -> dict[str, Any]:
    """One member and the newest points entries. NotFoundError outside the caller's brand."""
    (shown,) = _shown(uow, [members.get_member(uow.connection, access.owner, access.brand, member_id)])
    return {**shown, "points": points.list_entries_of(uow.connection, member_id, limit=MAX_ENTRIES)}


def _shown(uow: UnitOfWork, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their personal part masked, or ``erased``."""
    plain = uow.services.vault.open_many(uow.connection, [Sealed(row["key_id"], row["sealed"]) for row in rows])
    return [
        {
            **{name: value for name, value in row.items() if name not in KEPT_INSIDE},
            **({"erased": True} if content is None else mask(orjson.loads(content))),
        }
        for row, content in zip(rows, plain, strict=True)
    ]
