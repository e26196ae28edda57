"""What can be asked of a ledger, with everything named by what it is: assets, holders and transfers by their names."""

from dataclasses import dataclass, field
from datetime import datetime

Line = tuple[str, str, str, int]
"""Asset, kind of the account, holder, units."""


@dataclass(frozen=True, slots=True)
class Take:
    asset: str
    holder: str
    units: int
    owe: bool = False
    first: str | None = None


@dataclass(frozen=True, slots=True)
class Give:
    asset: str
    holder: str
    units: int
    issuer: str
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    key: str
    kind: str
    at: datetime
    takes: tuple[Take, ...] = ()
    gives: tuple[Give, ...] = ()
    moves: tuple[Line, ...] = ()
    reverses: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    key: str
    asset: str
    holder: str
    units: int
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Post:
    """``transfer`` has no takes; ``units`` (None: all) of what ``hold`` keeps are taken."""

    hold: str
    transfer: Transfer
    units: int | None


@dataclass(frozen=True, slots=True)
class Void:
    hold: str


@dataclass(frozen=True, slots=True)
class Reverse:
    key: str
    of: str
    units: int | None
    at: datetime
    grace_days: int = 0
    owe: bool = False


@dataclass(frozen=True, slots=True)
class ExpireHolds:
    pass


@dataclass(frozen=True, slots=True)
class ExpireLots:
    as_of: datetime
    limit: int


@dataclass(frozen=True, slots=True)
class Merge:
    key: str
    kept: str
    merged: str


@dataclass(frozen=True, slots=True)
class Unmerge:
    merge: str


@dataclass(frozen=True, slots=True)
class Extract:
    holder: str


Ask = Transfer | Batch | Hold | Post | Void | Reverse | ExpireHolds | ExpireLots | Merge | Unmerge | Extract


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that stands in the books, for comparison: units that are not 0, lots, holds with their states."""

    accounts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    lots: list[tuple[object, ...]] = field(default_factory=list)
    holds: dict[str, tuple[str, int]] = field(default_factory=dict)

    def differences(self, other: "Books") -> list[str]:
        """Where ``other`` is not the same."""
        found = [
            f"account {name}: {self.accounts.get(name, 0)}, not {other.accounts.get(name, 0)}"
            for name in sorted({*self.accounts, *other.accounts})
            if self.accounts.get(name, 0) != other.accounts.get(name, 0)
        ]
        found += [f"lot {lot} is there" for lot in self.lots if lot not in other.lots]
        found += [f"lot {lot} is not there" for lot in other.lots if lot not in self.lots]
        found += [
            f"hold {key}: {self.holds.get(key)}, not {other.holds.get(key)}"
            for key in sorted({*self.holds, *other.holds})
            if self.holds.get(key) != other.holds.get(key)
        ]
        return found
