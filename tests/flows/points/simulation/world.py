"""What happens in a seed's world: members earn, spend, exchange and return, days pass, news comes twice and late."""

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.flows.points.simulation.asks import (
    Ask,
    Batch,
    ExpireHolds,
    ExpireLots,
    Extract,
    Give,
    Hold,
    Line,
    Merge,
    Post,
    Reverse,
    Take,
    Transfer,
    Unmerge,
    Void,
)
from tests.flows.points.simulation.model import Model

SHANGHAI = ZoneInfo("Asia/Shanghai")
START = datetime(2025, 1, 20, 3, tzinfo=UTC)
HOLDERS = ("1", "2", "3", "10", "11")
STARS, LEAVES, GROWTH, MILES = "yunshang/stars", "linmu/leaves", "yunshang/growth", "skymiles"
ISSUERS = {STARS: ("yunshang", "mall"), LEAVES: ("linmu",), GROWTH: ("yunshang",)}
REMEMBERED = 40
WEIGHTS = {
    "earn": 24, "spend": 14, "hold": 10, "post": 9, "void": 4, "reverse": 12, "claw_back": 9, "exchange": 8,
    "outside": 4, "adjust": 2, "batch": 8, "expire_holds": 3, "expire_lots": 7, "merge": 4, "unmerge": 3, "extract": 2,
    "again": 10, "altered": 3,
}  # fmt: skip


class Generator:
    """Asks for one seed. It looks at the model to ask for what makes sense, and sometimes for what does not."""

    def __init__(self, seed: int, model: Model) -> None:
        self.dice = random.Random(seed)
        self.now = START
        self._model = model
        self._numbers = 0
        self._earns: dict[str, tuple[str, str, int]] = {}
        self._past: deque[Ask] = deque(maxlen=REMEMBERED)

    def next(self) -> Ask:
        """The next ask, after some time."""
        self.now = self._later()
        for _ in range(20):
            what = self.dice.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
            ask: Ask | None = getattr(self, f"_{what}")()
            if ask is not None:
                break
        else:
            ask = self._earn()
        if not isinstance(ask, ExpireHolds | ExpireLots | Unmerge | Extract):
            self._past.append(ask)
        return ask

    def plans(self, threads: int, each: int) -> list[list[Transfer | Batch]]:
        """For each thread, what it asks beside the others; some of it is asked by two."""
        makes = [self._earn, self._earn, self._spend, self._exchange, self._claw_back, self._adjust, self._batch]
        plans: list[list[Transfer | Batch]] = [[] for _ in range(threads)]
        while min(map(len, plans)) < each:
            made = self.dice.choice(makes)()
            if made is not None:
                for plan in self.dice.sample(plans, self.dice.choice([1, 1, 1, 2])):
                    plan.append(made)
        return plans

    def _later(self) -> datetime:
        """Mostly soon; sometimes days on, sometimes just before, at or after midnight in Shanghai."""
        way = self.dice.random()
        if way < 0.55:
            return self.now + timedelta(seconds=self.dice.randint(0, 3_000))
        if way < 0.75:
            day = self.now.astimezone(SHANGHAI).date() + timedelta(days=self.dice.choice([1, 1, 1, 2, 9]))
            midnight = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).astimezone(UTC)
            return midnight + timedelta(microseconds=self.dice.choice([-1, 0, 0, 1]))
        return self.now + timedelta(hours=self.dice.randint(1, 24 * self.dice.choice([1, 3, 20])))

    def _at(self) -> datetime:
        """When it happened: now, or before, if the news is late."""
        return self.now - timedelta(hours=self.dice.choice([0, 0, 0, 0, 1, 30, 80]))

    def _key(self, what: str) -> str:
        self._numbers += 1
        return f"{what}.{self._numbers}"

    def _due(self, at: datetime) -> datetime | None:
        days = self.dice.choice([1, 2, 5, 20, 60, None])
        if days is None:
            return None
        day = at.astimezone(SHANGHAI).date() + timedelta(days=days)
        return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).astimezone(UTC)

    def _holder(self) -> str:
        return self.dice.choice(HOLDERS)

    def _some(self, most: int) -> int:
        """Up to ``most``, now and then all of it or one more."""
        if most < 1:
            return self.dice.randint(1, 50)
        return self.dice.choice([most, most + 1, *[self.dice.randint(1, most) for _ in range(6)]])

    def _earn(self) -> Transfer:
        holder, at, asset = self._holder(), self._at(), self.dice.choice([STARS, STARS, LEAVES])
        key, units = self._key("earn"), self.dice.choice([1, 7, 60, 100, 350])
        issuer = self.dice.choice(ISSUERS[asset])
        gives = [Give(asset, holder, units, issuer, self._due(at))]
        moves = [(asset, "issued", issuer, -units)]
        if asset == STARS and self.dice.random() < 0.3:
            gives.append(Give(GROWTH, holder, units, "yunshang"))
            moves.append((GROWTH, "issued", "yunshang", -units))
        self._earns[key] = (asset, holder, units)
        return Transfer(key, "earn", at, gives=tuple(gives), moves=tuple(moves))

    def _spend(self) -> Transfer:
        holder, at, asset = self._holder(), self._at(), self.dice.choice([STARS, LEAVES])
        units = self._some(self._model.available(asset, holder, at))
        moves: tuple[Line, ...] = ((asset, "redeemed", "giftco", units),)
        if units > 1 and self.dice.random() < 0.3:
            part = self.dice.randint(1, units - 1)
            moves = ((asset, "redeemed", "giftco", part), (asset, "redeemed", "cardco", units - part))
        return Transfer(self._key("spend"), "spend", at, takes=(Take(asset, holder, units),), moves=moves)

    def _exchange(self) -> Transfer:
        holder, at = self._holder(), self._at()
        units = self._some(self._model.available(STARS, holder, at))
        spread = units // 50
        got = max(1, (units - spread) * 2 // 3)
        moves = [(STARS, "clearing", LEAVES, units - spread), (LEAVES, "clearing", STARS, -got)]
        if spread:
            moves.append((STARS, "spread", LEAVES, spread))
        gives = (Give(LEAVES, holder, got, "linmu", self._due(at)),)
        takes = (Take(STARS, holder, units),)
        return Transfer(self._key("exchange"), "exchange", at, takes=takes, gives=gives, moves=tuple(moves))

    def _outside(self) -> Transfer:
        holder, at = self._holder(), self._at()
        units = self._some(self._model.available(STARS, holder, at))
        if self.dice.random() < 0.3:
            moves = ((MILES, "clearing", STARS, units), (MILES, "outside", "airline", -units))
            give = Give(STARS, holder, units, "airline", self._due(at))
            back = ((STARS, "clearing", MILES, -units),)
            return Transfer(self._key("exchange"), "exchange", at, gives=(give,), moves=moves + back)
        moves = ((STARS, "clearing", MILES, units), (MILES, "clearing", STARS, -units))
        out = ((MILES, "outside", "airline", units),)
        takes = (Take(STARS, holder, units),)
        return Transfer(self._key("exchange"), "exchange", at, takes=takes, moves=moves + out)

    def _adjust(self) -> Transfer:
        """Taken whatever the member has: the rest is owed."""
        holder, units = self._holder(), self.dice.randint(1, 120)
        moves = ((LEAVES, "issued", "linmu", units),)
        return Transfer(
            self._key("adjust"), "adjust", self._at(), takes=(Take(LEAVES, holder, units, owe=True),), moves=moves
        )

    def _claw_back(self) -> Transfer | None:
        known = [key for key in self._earns if key in self._model.entries]
        if not known:
            return None
        earn = self.dice.choice(known[-12:])
        asset, holder, left = self._earns[earn]
        if not left:
            return None
        units = self.dice.randint(1, left)
        self._earns[earn] = (asset, holder, left - units)
        issuer = self.dice.choice(ISSUERS[asset])
        take = Take(asset, holder, units, owe=True, first=earn)
        moves = ((asset, "issued", issuer, units),)
        return Transfer(self._key("claw"), "claw_back", self._at(), takes=(take,), moves=moves, reverses=earn)

    def _hold(self) -> Hold:
        holder, at, asset = self._holder(), self._at(), self.dice.choice([STARS, STARS, LEAVES])
        units = self._some(self._model.available(asset, holder, at))
        until = self.now + timedelta(minutes=self.dice.choice([10, 60, 3_000]))
        return Hold(self._key("hold"), asset, holder, units, at, until)

    def _a_hold(self) -> str | None:
        """One that was made; mostly one that is active."""
        holds = self._model.holds
        active = [key for key, hold in holds.items() if hold.state == "active"]
        if self.dice.random() < 0.15:
            active = [*holds]
        return self.dice.choice(active[-8:]) if active else None

    def _post(self) -> Post | None:
        key = self._a_hold()
        if key is None:
            return None
        hold = self._model.asked["hold", key]
        assert isinstance(hold, Hold)
        units = self.dice.choice([None, hold.units, self.dice.randint(1, hold.units)])
        posted = hold.units if units is None else units
        gives: tuple[Give, ...] = ()
        moves: tuple[Line, ...] = ((hold.asset, "redeemed", "giftco", posted),)
        if hold.asset == STARS and self.dice.random() < 0.4:
            gives = (Give(LEAVES, hold.holder, posted, "linmu", self._due(self.now)),)
            moves = ((STARS, "clearing", LEAVES, posted), (LEAVES, "clearing", STARS, -posted))
        kind = "exchange" if gives else "spend"
        return Post(key, Transfer(self._key("post"), kind, self.now, gives=gives, moves=moves), units)

    def _void(self) -> Void | None:
        key = self._a_hold()
        return Void(key) if key else None

    def _reverse(self) -> Reverse | None:
        entries = [key for key, each in self._model.entries.items() if each.kind != "earn" or self.dice.random() < 0.02]
        if not entries:
            return None
        of = self.dice.choice(entries[-15:])
        units = None if self.dice.random() < 0.5 else self.dice.randint(1, 60)
        grace = self.dice.choice([0, 0, 3, 30])
        return Reverse(self._key("back"), of, units, self._at(), grace, self.dice.random() < 0.5)

    def _expire_holds(self) -> ExpireHolds:
        return ExpireHolds()

    def _expire_lots(self) -> ExpireLots:
        return ExpireLots(self.now, self.dice.choice([1, 3, 1_000, 1_000]))

    def _merge(self) -> Merge:
        kept, merged = self.dice.sample(HOLDERS, 2)
        return Merge(self._key("merge"), kept, merged)

    def _unmerge(self) -> Unmerge | None:
        return Unmerge(self.dice.choice([*self._model.merges])) if self._model.merges else None

    def _extract(self) -> Extract:
        return Extract(self._holder())

    def _batch(self) -> Batch:
        makes = [self._earn, self._earn, self._spend, self._exchange, self._claw_back, self._adjust]
        transfers: list[Transfer] = []
        for _ in range(self.dice.randint(2, 7)):
            made = self.dice.choice(makes)()
            if made is not None:
                transfers.append(made)
        if transfers and self.dice.random() < 0.3:
            transfers.append(self.dice.choice(transfers))
        return Batch(tuple(transfers or [self._earn()]))

    def _again(self) -> Ask | None:
        """News that came before, now or much later."""
        return self.dice.choice([*self._past]) if self._past else None

    def _altered(self) -> Transfer | None:
        """A key that was used, for something else."""
        known = [ask for ask in self._past if isinstance(ask, Transfer) and ask.key in self._model.entries]
        if not known:
            return None
        ask = self.dice.choice(known)
        return Transfer(ask.key, ask.kind, ask.at - timedelta(seconds=1), ask.takes, ask.gives, ask.moves, ask.reverses)
