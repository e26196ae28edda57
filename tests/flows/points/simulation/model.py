"""A ledger that anybody can read: one thread, plain lists, no database. What it says is what the books must say."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from tests.flows.points.simulation.asks import (
    Ask,
    Batch,
    Books,
    ExpireHolds,
    ExpireLots,
    Extract,
    Give,
    Hold,
    Merge,
    Post,
    Reverse,
    Take,
    Transfer,
    Unmerge,
    Void,
)

NEVER = datetime.max.replace(tzinfo=UTC)
DONE = "done"
_A = TypeVar("_A")
REPEATED = "repeated"


class RefusedError(Exception):
    """The ask is not done; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False, slots=True)
class Lot:
    number: int
    asset: str
    holder: str
    origin: str
    issuer: str
    due: datetime
    units: int
    left: int
    kept: int = 0

    @property
    def free(self) -> int:
        return self.left - self.kept

    @property
    def turn(self) -> tuple[datetime, int]:
        """Lots are spent in this order."""
        return self.due, self.number


@dataclass(slots=True)
class Posting:
    asset: str
    kind: str
    holder: str
    units: int
    lot: Lot | None = None


@dataclass(slots=True)
class Entry:
    kind: str
    postings: list[Posting]
    given_back: int = 0


@dataclass(slots=True)
class Kept:
    pins: list[tuple[Lot, int]]
    until: datetime
    state: str = "active"
    posted: int = 0


@dataclass(slots=True)
class Joined:
    holders: list[str]
    is_undone: bool = False


@dataclass(slots=True)
class Repaid:
    """Units of a lot that repaid what a holder owed, and still stand for it."""

    asset: str
    holder: str
    lot: Lot
    units: int
    entry: str
    number: int


@dataclass
class Model:
    lots: list[Lot] = field(default_factory=list)
    units: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    entries: dict[str, Entry] = field(default_factory=dict)
    holds: dict[str, Kept] = field(default_factory=dict)
    merges: dict[str, Joined] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    asked: dict[tuple[str, str], Ask] = field(default_factory=dict)
    repaid: list[Repaid] = field(default_factory=list)

    def do(self, ask: Ask, now: datetime) -> list[str]:
        """``done``, ``repeated`` or the code of the refusal; one for each transfer of a batch."""
        if isinstance(ask, Batch):
            return [self._said(self._transfer, each) for each in ask.transfers]
        match ask:
            case Transfer():
                return [self._said(self._transfer, ask)]
            case Hold():
                return [self._said(self._hold, ask)]
            case Post():
                return [self._said(self._post, ask)]
            case Reverse():
                return [self._said(self._reverse, ask)]
            case Merge():
                return [self._said(self._merge, ask)]
            case _:
                self._tidy(ask, now)
        return [DONE]

    def _tidy(self, ask: Ask, now: datetime) -> None:
        """What is never refused."""
        match ask:
            case Void():
                self._end(ask.hold, "voided")
            case ExpireHolds():
                for key, kept in self.holds.items():
                    if kept.until <= now:
                        self._end(key, "expired")
            case ExpireLots():
                due = [lot for lot in self.lots if lot.free and lot.due <= ask.as_of]
                for lot in sorted(due, key=lambda lot: lot.turn)[: ask.limit]:
                    self._expire(lot, lot.free)
            case Unmerge():
                self._unmerge(self.merges[ask.merge], ask.merge)
            case Extract():
                self._extract(ask.holder)

    def books(self) -> Books:
        """What stands in the books."""
        accounts = {name: units for name, units in self.units.items() if units}
        lots = [
            (lot.origin, lot.asset, lot.holder, lot.issuer, lot.units, lot.left, lot.kept, _due(lot))
            for lot in self.lots
        ]
        return Books(
            accounts, sorted(lots, key=str), {key: (hold.state, hold.posted) for key, hold in self.holds.items()}
        )

    def wallet(self, holder: str) -> set[str]:
        """Everybody in the holder's wallet."""
        return self.groups.setdefault(holder, {holder})

    def available(self, asset: str, holder: str, at: datetime) -> int:
        return sum(lot.free for lot in self._spendable(asset, holder, at))

    def owed(self, asset: str, holder: str) -> int:
        return -sum(self.units[asset, "arrears", each] for each in self.wallet(holder))

    def statement(self, asset: str) -> dict[str, tuple[int, int]]:
        """By issuer: what was issued, and what is outstanding."""
        sums: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for lot in self.lots:
            if lot.asset == asset:
                issued, outstanding = sums[lot.issuer]
                sums[lot.issuer] = issued + lot.units, outstanding + lot.left
        return dict(sums)

    @staticmethod
    def _said(deed: Callable[[_A], str], ask: _A) -> str:
        try:
            return deed(ask)
        except RefusedError as refused:
            return refused.code

    def _is_known(self, what: str, key: str, ask: Ask) -> bool:
        known = self.asked.get((what, key))
        if known is not None and known != ask:
            raise RefusedError("points.key_conflict")
        return known is not None

    def _spendable(self, asset: str, holder: str, at: datetime) -> list[Lot]:
        wallet = self.wallet(holder)
        lots = (lot for lot in self.lots if lot.asset == asset and lot.holder in wallet and lot.free and lot.due > at)
        return sorted(lots, key=lambda lot: lot.turn)

    def _transfer(self, ask: Transfer) -> str:
        if self._is_known("transfer", ask.key, ask):
            return REPEATED
        postings: list[Posting] = []
        for take in ask.takes:
            try:
                postings += self._take(take, ask.at)
            except RefusedError:
                self._move(postings, back=True)
                raise
        self._finish(ask, postings)
        return DONE

    def _finish(self, ask: Transfer, taken: list[Posting]) -> None:
        """Gives and moves of a transfer whose takes are made already."""
        postings = [*taken]
        for give in ask.gives:
            postings += self._give(give, ask.key)
        moved = [Posting(asset, kind, holder, units) for asset, kind, holder, units in ask.moves]
        self._move(moved)
        self.entries[ask.key] = Entry(ask.kind, postings + moved)
        self.asked["transfer", ask.key] = ask

    def _move(self, postings: Iterable[Posting], back: bool = False) -> None:
        for posting in postings:
            units = -posting.units if back else posting.units
            self.units[posting.asset, posting.kind, posting.holder] += units
            if posting.lot is not None:
                posting.lot.left += units

    def _take(self, take: Take, at: datetime) -> list[Posting]:
        lots = self._spendable(take.asset, take.holder, at)
        lots.sort(key=lambda lot: (lot.origin != take.first, *lot.turn))
        postings, left = [], take.units
        for lot in lots:
            units = min(left, lot.free)
            if units:
                postings.append(Posting(take.asset, "member", lot.holder, -units, lot))
                left -= units
        if left and not take.owe:
            raise RefusedError("points.insufficient")
        if left:
            postings.append(Posting(take.asset, "arrears", take.holder, -left))
        self._move(postings)
        return postings

    def _give(self, give: Give, key: str) -> list[Posting]:
        lot = Lot(len(self.lots), give.asset, give.holder, key, give.issuer, give.due or NEVER, give.units, 0)
        self.lots.append(lot)
        postings = [Posting(give.asset, "member", give.holder, give.units, lot)]
        self._move(postings)
        return postings + self._repay(lot, give.units, key)

    def _repay(self, lot: Lot, units: int, entry: str) -> list[Posting]:
        """Out of ``units`` of the lot, what its wallet owes."""
        postings: list[Posting] = []
        for holder in sorted(self.wallet(lot.holder)):
            repaid = min(units, -self.units[lot.asset, "arrears", holder])
            if repaid:
                pair = [
                    Posting(lot.asset, "member", lot.holder, -repaid, lot),
                    Posting(lot.asset, "arrears", holder, repaid),
                ]
                self._move(pair)
                postings += pair
                units -= repaid
                number = self.repaid[-1].number + 1 if self.repaid else 0
                self.repaid.append(Repaid(lot.asset, holder, lot, repaid, entry, number))
        return postings

    def _hold(self, ask: Hold) -> str:
        if self._is_known("hold", ask.key, ask):
            return REPEATED
        lots = self._spendable(ask.asset, ask.holder, ask.at)
        if sum(lot.free for lot in lots) < ask.units:
            raise RefusedError("points.insufficient")
        pins, left = [], ask.units
        for lot in lots:
            units = min(left, lot.free)
            if units:
                lot.kept += units
                pins.append((lot, units))
                left -= units
        self.holds[ask.key] = Kept(pins, ask.until)
        self.asked["hold", ask.key] = ask
        return DONE

    def _end(self, key: str, state: str) -> None:
        kept = self.holds[key]
        if kept.state == "active":
            kept.state = state
            for lot, units in kept.pins:
                lot.kept -= units

    def _post(self, ask: Post) -> str:
        if self._is_known("transfer", ask.transfer.key, ask):
            return REPEATED
        kept = self.holds[ask.hold]
        if kept.state != "active":
            raise RefusedError("points.hold_ended")
        self._end(ask.hold, "posted")
        pinned = sum(units for _, units in kept.pins)
        kept.posted = left = pinned if ask.units is None else ask.units
        postings = []
        for lot, pin in sorted(kept.pins, key=lambda pin: pin[0].turn):
            units = min(left, pin)
            if units:
                postings.append(Posting(lot.asset, "member", lot.holder, -units, lot))
                left -= units
        self._move(postings)
        self._finish(ask.transfer, postings)
        self.asked["transfer", ask.transfer.key] = ask
        return DONE

    def _expire(self, lot: Lot, units: int) -> None:
        if units:
            out = Posting(lot.asset, "member", lot.holder, -units, lot)
            self._move([out, Posting(lot.asset, "expired", lot.issuer, units)])

    def _reverse(self, ask: Reverse) -> str:
        if self._is_known("transfer", ask.key, ask):
            return REPEATED
        old = self.entries[ask.of]
        taken = [each for each in reversed(old.postings) if each.units < 0 and _is_taken(each, ask.of)]
        total = -sum(each.units for each in taken)
        if not total or old.kind in ("earn", "reverse"):
            raise RefusedError("points.not_reversible")
        units = total - old.given_back if ask.units is None else ask.units
        if not 0 < units <= total - old.given_back:
            raise RefusedError("points.over_reversed")
        made = [each for each in old.postings if each.lot is not None and each.lot.origin == ask.of]
        if units < total and (made or len({each.asset for each in old.postings}) > 1):
            raise RefusedError("points.whole_only")
        postings = [
            Posting(each.asset, each.kind, each.holder, part, each.lot)
            for each, part in _slices(taken, old.given_back, units)
        ]
        postings += self._give_up(old, made, ask)
        self._go_back(ask, postings)
        old.given_back += units
        free = [each for each in reversed(old.postings) if each.kind not in ("member", "arrears")]
        parts = (
            [(each, each.units) for each in free] if units == total else _slices(free, old.given_back - units, units)
        )
        self._move(Posting(each.asset, each.kind, each.holder, -part) for each, part in parts)
        self.entries[ask.key] = Entry("reverse", postings)
        self.asked["transfer", ask.key] = ask
        return DONE

    def _give_up(self, old: Entry, made: list[Posting], ask: Reverse) -> list[Posting]:
        """What a transfer gave is taken back; debts that it repaid are owed again."""
        postings = []
        for lot in {id(each.lot): each.lot for each in made if each.lot is not None}.values():
            units = sum(each.units for each in made if each.lot is lot)
            there = min(units, lot.free)
            if there < units and not ask.owe:
                raise RefusedError("points.spent")
            if there:
                postings.append(Posting(lot.asset, "member", lot.holder, -there, lot))
            if there < units:
                postings.append(Posting(lot.asset, "arrears", lot.holder, there - units))
        if made:
            postings += [
                Posting(each.asset, "arrears", each.holder, -each.units)
                for each in old.postings
                if each.kind == "arrears" and each.units > 0
            ]
            self.repaid = [each for each in self.repaid if each.entry != ask.of]
        return postings

    def _go_back(self, ask: Reverse, postings: list[Posting]) -> None:
        """Lots get back what was taken of them; what is too late expires, the rest repays what is owed."""
        owing = dict.fromkeys(
            (each.asset, each.holder) for each in postings if each.kind == "arrears" and each.units > 0
        )
        back: Counter[Lot] = Counter({each.lot: 0 for each in postings if each.lot is not None and each.units > 0})
        if ask.grace_days:
            may_live = {*back, *(each.lot for each in self.repaid if each.units and (each.asset, each.holder) in owing)}
            for lot in may_live:
                if lot.due <= ask.at:
                    self._expire(lot, lot.free)
        for asset, holder in owing:
            moved = sum(
                each.units for each in postings if (each.asset, each.kind, each.holder) == (asset, "arrears", holder)
            )
            back.update(self._owe_again(asset, holder, moved + self.units[asset, "arrears", holder]))
        self._move(postings)
        for each in postings:
            if each.lot is not None and each.units > 0:
                back[each.lot] += each.units
        for lot in sorted(back, key=lambda lot: lot.turn):
            if lot.due <= ask.at and ask.grace_days:
                lot.due = ask.at + timedelta(days=ask.grace_days)
            elif lot.due <= ask.at:
                self._expire(lot, back.pop(lot))
        for lot in sorted(back, key=lambda lot: lot.turn):
            self._repay(lot, back[lot], f"repay:{ask.key}")

    def _owe_again(self, asset: str, holder: str, units: int) -> Counter[Lot]:
        """A debt that was repaid is owed again: the lots that did, the last first, have it back."""
        back: Counter[Lot] = Counter()
        standing = [each for each in self.repaid if (each.asset, each.holder) == (asset, holder)]
        last = {id(each.lot): each.number for each in standing}
        for each in sorted(standing, key=lambda each: (last[id(each.lot)], each.number), reverse=True):
            part = min(units, each.units)
            if part > 0:
                each.units -= part
                units -= part
                self._move([Posting(asset, "member", each.lot.holder, part, each.lot)])
                self._move([Posting(asset, "arrears", holder, -part)])
                back[each.lot] += part
        return back

    def _merge(self, ask: Merge) -> str:
        if self._is_known("merge", ask.key, ask):
            return DONE
        kept, merged = self.wallet(ask.kept), self.wallet(ask.merged)
        if kept is merged:
            raise RefusedError("points.same_wallet")
        self.merges[ask.key] = Joined(sorted(merged))
        kept |= merged
        for holder in merged:
            self.groups[holder] = kept
        self.asked["merge", ask.key] = ask
        return DONE

    def _unmerge(self, joined: Joined, key: str) -> None:
        if joined.is_undone:
            return
        joined.is_undone = True
        later = [*self.merges][[*self.merges].index(key) + 1 :]
        self._forget(joined.holders, [self.merges[each] for each in later])
        self._leave(joined.holders)

    def _extract(self, holder: str) -> None:
        if len(self.wallet(holder)) > 1:
            self._leave([holder])
            self._forget([holder], self.merges.values())

    def _leave(self, holders: list[str]) -> None:
        stay = self.wallet(holders[0]) - set(holders)
        for group in (stay, set(holders)):
            for holder in group:
                self.groups[holder] = group

    def _forget(self, holders: list[str], merges: Iterable[Joined]) -> None:
        for each in merges:
            if not each.is_undone:
                each.holders = [holder for holder in each.holders if holder not in holders]
                each.is_undone = not each.holders


def _due(lot: Lot) -> str:
    return "never" if lot.due == NEVER else lot.due.isoformat()


def _is_taken(posting: Posting, entry: str) -> bool:
    if posting.lot is not None:
        return posting.lot.origin != entry
    return posting.kind == "arrears"


def _slices(postings: list[Posting], before: int, units: int) -> list[tuple[Posting, int]]:
    """Of postings laid end to end, what lies between ``before`` and ``before + units``."""
    found, start = [], 0
    for posting in postings:
        end = start + abs(posting.units)
        part = min(end, before + units) - max(start, before)
        if part > 0:
            found.append((posting, part))
        start = end
    return found
