"""Members' points for tests: a programme of two brands' group, and short ways to earn, spend and look."""

from datetime import UTC, datetime, timedelta
from itertools import count

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.ledger import (
    AccountKind,
    AssetKind,
    Balance,
    Command,
    Done,
    Give,
    HoldCommand,
    Move,
    Short,
    Take,
)
from canonical_model.store import ledger, ledger_holds, ledger_reversal, ledger_views

OWNER = "yunshang"
BRAND = "yunshang"
T0 = datetime(2026, 3, 1, 4, tzinfo=UTC)
_numbers = count(1)


def at(days: float) -> datetime:
    return T0 + timedelta(days=days)


class Purse:
    """Stars of one brand, leaves of another, and what members do with them. Times are days after T0."""

    def __init__(self, connection: Connection[DictRow], owner: str = OWNER) -> None:
        self.connection = connection
        self.owner = owner
        self.stars = self._asset(BRAND, "stars")
        self.leaves = self._asset("linmu", "leaves")

    def _asset(self, brand: str, code: str) -> int:
        known = ledger.find_asset(self.connection, self.owner, f"{brand}/{code}")
        if known is not None:
            return int(known["id"])
        return ledger.ensure_asset(self.connection, self.owner, brand, code, AssetKind.POINTS)

    def apply(self, command: Command, day: float | None = None) -> Done:
        now = command.happened_at if day is None else at(day)
        return ledger.apply_one(self.connection, self.owner, BRAND, command, now=now)

    def earn(
        self,
        holder: str,
        amount: int,
        *,
        day: float = 0,
        lives: float | None = None,
        key: str = "",
        issuer: str = "yunshang",
        recorded: float | None = None,
        asset: int = 0,
    ) -> int:
        asset = asset or self.stars
        expires_at = None if lives is None else at(day + lives)
        give = Give(asset, holder, amount, issuer, 5_000, expires_at)
        move = Move(asset, AccountKind.ISSUED, issuer, -amount)
        name = key or f"earn-{next(_numbers)}"
        return self.apply(Command(name, "earn", at(day), gives=(give,), moves=(move,), reference=name), recorded).id

    def spend(self, holder: str, amount: int, *, day: float = 1, key: str = "", short: Short = Short.REFUSE) -> int:
        take = Take(self.stars, holder, amount, short)
        move = Move(self.stars, AccountKind.REDEEMED, "giftco", amount)
        name = key or f"spend-{next(_numbers)}"
        return self.apply(Command(name, "spend", at(day), takes=(take,), moves=(move,), reference=name)).id

    def claw_back(self, holder: str, amount: int, earn: int, *, day: float = 1, key: str = "") -> int:
        take = Take(self.stars, holder, amount, Short.ARREARS, first_from=earn)
        move = Move(self.stars, AccountKind.ISSUED, "yunshang", amount)
        name = key or f"claw-{next(_numbers)}"
        return self.apply(Command(name, "claw_back", at(day), takes=(take,), moves=(move,), reverses=earn)).id

    def exchange(self, holder: str, stars: int, leaves: int, *, day: float = 1, key: str = "") -> int:
        command = Command(
            key or f"exchange-{next(_numbers)}",
            "exchange",
            at(day),
            takes=(Take(self.stars, holder, stars),),
            gives=(Give(self.leaves, holder, leaves, "linmu", 7_000, at(day + 300)),),
            moves=(
                Move(self.stars, AccountKind.CLEARING, "linmu", stars),
                Move(self.leaves, AccountKind.CLEARING, "yunshang", -leaves - 1),
                Move(self.leaves, AccountKind.SPREAD, "", 1),
            ),
        )
        return self.apply(command).id

    def hold(self, holder: str, amount: int, *, day: float = 1, until: float = 2, key: str = "") -> str:
        name = key or f"hold-{next(_numbers)}"
        command = HoldCommand(name, self.stars, holder, amount, at(day), at(until))
        ledger_holds.hold(self.connection, self.owner, BRAND, command, now=at(day))
        return name

    def post(self, hold_key: str, amount: int, *, day: float = 1, key: str = "", all_of: bool = False) -> Done:
        move = Move(self.stars, AccountKind.REDEEMED, "giftco", amount)
        command = Command(key or f"post-{next(_numbers)}", "spend", at(day), moves=(move,))
        part = None if all_of else amount
        return ledger_holds.post_hold(self.connection, self.owner, BRAND, hold_key, command, amount=part, now=at(day))

    def void(self, hold_key: str, *, day: float = 1) -> bool:
        return ledger_holds.void_hold(self.connection, self.owner, BRAND, hold_key, now=at(day))

    def reverse(
        self,
        transfer: int,
        amount: int | None = None,
        *,
        day: float = 2,
        key: str = "",
        grace_days: int = 0,
        short: Short = Short.REFUSE,
    ) -> Done:
        return ledger_reversal.reverse(
            self.connection,
            self.owner,
            BRAND,
            key or f"reverse-{next(_numbers)}",
            transfer,
            amount=amount,
            happened_at=at(day),
            now=at(day),
            grace_until=at(day + grace_days) if grace_days else None,
            short=short,
        )

    def balance(self, holder: str, *, day: float = 1, asset: int = 0) -> Balance:
        return ledger.balance(self.connection, asset or self.stars, holder, at=at(day))

    def lots(self, holder: str, *, asset: int = 0) -> list[tuple[int, int]]:
        """What is left and kept of each lot in the wallet, in the order in which they were made."""
        rows = ledger_views.list_lots(self.connection, asset or self.stars, holder, open_only=False)
        return [(row["remaining"], row["held"]) for row in sorted(rows, key=lambda row: row["id"])]
