"""Roles: what people are called, as bundles of the scopes that keys carry one by one.

docs/people.md shows the same table to people; a test compares the two.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from canonical_model.errors import RejectedError

_VIEWER: Final = frozenset({"ops:read", "orders:read", "stock:read", "points:read"})
_OPERATOR: Final = _VIEWER | {"members:read", "ops:write", "estate:write"}

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "steward": _OPERATOR | {"data:write", "data:unmask", "points:adjust", "points:rules"},
    "finance": _VIEWER | {"audit:read"},
    "integrator": _VIEWER | {"data:write", "keys:write", "ingest:*"},
    "admin": frozenset({"*"}),
}


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """Every scope that the roles open together. RejectedError names the first word that is no role."""
    opened: set[str] = set()
    for role in roles:
        if role not in ROLES:
            raise RejectedError(f"there is no role {role!r}; use one of {', '.join(ROLES)}", code="role.unknown")
        opened |= ROLES[role]
    return frozenset(opened)
