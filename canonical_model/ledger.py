"""The ledger's words: what may be asked of it, and what it answers. Amounts are whole units of an asset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

MAX_POINTS: Final = 10**12
MAX_KEY: Final = 200
MAX_COMMAND_LINES: Final = 100


class AssetKind(StrEnum):
    """What an asset counts: a programme's points, money in minor units, or units of somebody outside."""

    POINTS = "points"
    MONEY = "money"
    OUTSIDE = "outside"


class AccountKind(StrEnum):
    """Whose side an account is on. ``MEMBER`` (made of lots, never below what is held) and ``ARREARS`` (what a member
    owes, never above zero) are bounded; the others may have either sign."""

    MEMBER = "member"
    ARREARS = "arrears"
    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    CLEARING = "clearing"
    SPREAD = "spread"
    PARTY = "party"
    OUTSIDE = "outside"


class Short(StrEnum):
    """What happens when a wallet has too little: the whole transfer is refused, or the rest becomes arrears."""

    REFUSE = "refuse"
    ARREARS = "arrears"


@dataclass(frozen=True, slots=True)
class Take:
    """``amount`` out of a wallet's lots, the earliest due first.

    ``holder``: any holder of the wallet. ``first_from``: the transfer whose lots are taken before all others (a
    claw-back takes what the sale had earned). Arrears, if ``short`` allows them, are the holder's.
    """

    asset_id: int
    holder: str
    amount: int
    short: Short = Short.REFUSE
    first_from: int | None = None


@dataclass(frozen=True, slots=True)
class Give:
    """``amount`` to a holder as a new lot. What the holder's wallet owes is repaid from it at once, in the same
    transfer. ``cost_micro``: what one unit cost its issuer, in millionths of a minor unit of money."""

    asset_id: int
    holder: str
    amount: int
    issuer: str
    cost_micro: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """``amount`` into (or, negative, out of) an account that is neither a member's nor arrears."""

    asset_id: int
    kind: AccountKind
    holder: str
    amount: int


@dataclass(frozen=True, slots=True)
class Command:
    """One transfer to make: all of it or nothing, once for each (owner, brand, key).

    ``kind``: earn, spend, claw_back, exchange, adjust … ``reference``: what it is about (an order's number).
    ``reverses``: the transfer that it takes back in part or in whole. ``detail`` explains it (JSON, no personal data).
    """

    key: str
    kind: str
    happened_at: datetime
    takes: tuple[Take, ...] = ()
    gives: tuple[Give, ...] = ()
    moves: tuple[Move, ...] = ()
    reference: str = ""
    reverses: int | None = None
    rules_version: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HoldCommand:
    """Keep ``amount`` of a wallet's lots until ``expires_at``, once for each (owner, brand, key)."""

    key: str
    asset_id: int
    holder: str
    amount: int
    happened_at: datetime
    expires_at: datetime
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The transfer (or hold) that stands for a key. ``repeated``: it stood before."""

    id: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet's units of an asset: ``available`` = posted - held - what is due already; ``arrears`` (>= 0) is owed."""

    posted: int
    held: int
    available: int
    arrears: int
