"""One seed's world through the real flows: requests twice, late and out of order, lost answers, workers that die.

Requests of one round are about different members, so their order does not matter; rounds follow one another.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from canonical_model.errors import ConflictError
from canonical_model.store import ledger_expiry, ledger_holds, ledger_journal, wallets
from flows.points import requests
from flows.runtime.bootstrap import FLOWS
from flows.runtime.database import Database, UnitOfWork
from flows.runtime.runner import Runner
from flows.runtime.runs import Started
from tests.flows.points.simulation.asks import Ask, ExpireLots, Give, Merge, Reverse, Take, Transfer, Unmerge
from tests.flows.points.simulation.model import DONE, NEVER, Model
from tests.flows.points.simulation.play import Story
from tests.flows.points.simulation.providers import BUSY, LOST, UNHEARD, World
from tests.flows.points.simulation.rules import (
    BERRIES,
    COINS,
    GRACE_DAYS,
    GROWTH,
    ISSUERS,
    LEAVES,
    MILES,
    PROVIDERS,
    STARS,
    due,
    exchanged,
    line_points,
    taken_back,
)
from tests.flows.points.world import OWNER, Club

MEMBERS = 4
START = datetime(2025, 2, 1, 15, 58, tzinfo=UTC)
MOST_DEATHS = 6
DEATH = 0.03
HOLDS_GO = 0.02
ENDED = ("done", "undone", "parked")

Request = Callable[[UnitOfWork, str, str, Mapping[str, Any]], Started]


@dataclass
class Sale:
    programme: str
    holder: str
    lines: list[tuple[int, int, int]]
    """Quantity, points, units that came back."""


@dataclass
class Asked:
    """A request, and the ledger's ask that it comes to if it is done."""

    start: Request
    body: dict[str, Any]
    ask: Ask | None
    wanted: bool | None
    """Whether it must be done; None: it may, by what others did meanwhile."""
    holder: str
    run_id: int = 0
    settle: Callable[[bool], None] = lambda done: None


@dataclass
class FlowPlay:
    club: Club
    look: Database
    seed: int
    story: Story
    world: World = field(default_factory=World)
    model: Model = field(default_factory=Model)
    sales: dict[str, Sale] = field(default_factory=dict)
    spends: dict[str, tuple[str, int]] = field(default_factory=dict)
    merges: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.now = START
        self.numbers = 0
        self.members = [self.club.member(f"S{self.seed}-{n}") for n in range(MEMBERS)]
        for holder in self.members:
            self.world.accounts[f"A{holder}"] = self.dice.randint(0, 300)
        self.first = dict(self.world.accounts)

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            self.now += timedelta(minutes=self.dice.choice([1, 1, 3, 90, 1_440, 8_000]))
            if self.dice.random() < 0.25:
                self._tidy()
            asked = self._round()
            for each in asked:
                self._start(each)
            self._survive([each.run_id for each in asked])
            for each in asked:
                self._settle(each)
            self._compare()
        self._check_outside()

    def _tidy(self) -> None:
        """Expiry, or a change of wallets; nothing is under way."""
        what = self.dice.choice(["expire", "expire", "merge", "unmerge"])
        key = f"{self.seed}-M{self._number()}"
        kept, merged = self.dice.sample(self.members, 2)
        self.story.tell(f"{what} {key} {kept} {merged}")
        with self.look.unit() as uow:
            if what == "expire":
                ledger_expiry.expire_lots(uow.connection, OWNER, as_of=self.now, now=self.now)
                self.model.do(ExpireLots(self.now, len(self.model.lots)), self.now)
            elif what == "merge" and self.model.do(Merge(key, kept, merged), self.now) == [DONE]:
                self.merges[key] = wallets.merge(
                    uow.connection, OWNER, self.club.brand, key, kept, merged, now=self.now
                )
            elif what == "unmerge" and self.merges:
                key = self.dice.choice([*self.merges])
                self.model.do(Unmerge(key), self.now)
                wallets.unmerge(uow.connection, OWNER, self.club.brand, self.merges[key], now=self.now)
            uow.commit()

    def _number(self) -> str:
        self.numbers += 1
        return f"{self.seed}-{self.numbers}"

    def _round(self) -> list[Asked]:
        """A few requests about members who share nothing."""
        asked: list[Asked] = []
        busy: set[str] = set()
        for _ in range(self.dice.randint(1, 3)):
            makes = [self._earn, self._earn, self._claw_back, self._spend, self._spend, self._refund, self._exchange]
            made = self.dice.choice(makes)(self.dice.choice(self.members))
            if made is None or self.model.wallet(made.holder) & busy:
                continue
            busy |= self.model.wallet(made.holder)
            asked.append(made)
        return asked

    def _earn(self, holder: str) -> Asked:
        programme, number = self.dice.choice([STARS, STARS, LEAVES, BERRIES]), self._number()
        sold = [(self.dice.randint(1, 5), self.dice.choice([0, 99, 150, 5_050, 30_000])) for _ in range(2)]
        points = [line_points(programme, amount, self.now) for _, amount in sold]
        lines = [
            {"line_no": n, "sku": f"K{n}", "quantity": quantity, "amount_minor": amount}
            for n, (quantity, amount) in enumerate(sold, 1)
        ]
        body = {"programme": programme, "holder": holder, "order_no": number, "lines": lines}
        units = sum(points)
        gives = [Give(programme, holder, units, ISSUERS[programme], due(programme, self.now))]
        if programme == STARS:
            gives.append(Give(GROWTH, holder, units, "yunshang"))
        moves = tuple((give.asset, "issued", give.issuer, -units) for give in gives)
        ask = Transfer(number, "earn", self.now, gives=tuple(gives), moves=moves) if units else None

        def settle(done: bool) -> None:
            kept = [(quantity, each, 0) for (quantity, _), each in zip(sold, points, strict=True)]
            self.sales[number] = Sale(programme, holder, kept)

        return Asked(requests.start_earn, body, ask, True, holder, settle=settle)

    def _claw_back(self, holder: str) -> Asked | None:
        sales = [key for key, sale in self.sales.items() if sale.holder == holder]
        if not sales:
            return None
        key = self.dice.choice(sales)
        sale = self.sales[key]
        back = [self.dice.randint(0, quantity - before) for quantity, _, before in sale.lines]
        if not any(back):
            return None
        units = sum(
            taken_back(points, quantity, before, now)
            for (quantity, points, before), now in zip(sale.lines, back, strict=True)
        )
        number = self._number()
        lines = [{"line_no": n, "quantity": now} for n, now in enumerate(back, 1) if now]
        body = {"programme": sale.programme, "order_no": key, "return_no": number, "lines": lines}
        assets = [sale.programme, GROWTH] if sale.programme == STARS else [sale.programme]
        takes = tuple(Take(asset, holder, units, owe=True, first=key) for asset in assets)
        moves = tuple((asset, "issued", ISSUERS[asset], units) for asset in assets)
        ask = Transfer(number, "claw_back", self.now, takes=takes, moves=moves, reverses=key) if units else None

        def settle(done: bool) -> None:
            sale.lines = [(q, p, before + now) for (q, p, before), now in zip(sale.lines, back, strict=True)]

        return Asked(requests.start_claw_back, body, ask, True, holder, settle=settle)

    def _spend(self, holder: str) -> Asked:
        programme, number = self.dice.choice([STARS, STARS, LEAVES, BERRIES]), self._number()
        available = self.model.available(programme, holder, self.now)
        points = self.dice.randint(1, max(1, available + 5))
        line = {"line_no": 1, "sku": "GIFT", "quantity": 1, "points": points}
        body = {
            "programme": programme, "holder": holder, "order_no": number, "region_code": "330106",
            "supplier": "giftco", "lines": [line], "points": points,
        }  # fmt: skip
        ask = Transfer(
            number, "spend", self.now, takes=(Take(programme, holder, points),),
            moves=((programme, "redeemed", "giftco", points),),
        )  # fmt: skip
        reference = f"{self.club.brand}:{number}"
        fate = self.dice.random()
        (self.world.sold_out if fate < 0.1 else self.world.lapsing if fate < 0.2 else set()).add(reference)
        self._break(reference)
        wanted = None if points <= available and fate >= 0.2 else False

        def settle(done: bool) -> None:
            if done:
                self.spends[number] = (holder, points)
                if self.dice.random() < 0.2:
                    self.world.shipped.add(reference)

        return Asked(requests.start_spend, body, ask, wanted, holder, settle=settle)

    def _refund(self, holder: str) -> Asked | None:
        spends = [key for key, (who, left) in self.spends.items() if who == holder and left]
        if not spends:
            return None
        key, number = self.dice.choice(spends), self._number()
        left = self.spends[key][1]
        points = self.dice.choice([None, self.dice.randint(1, left), left + 1])
        body = {"order_no": key, "refund_no": number, "points": points}
        programme = self.model.entries[key].postings[0].asset
        ask = Reverse(number, key, points, self.now, GRACE_DAYS[programme])
        reference = f"{self.club.brand}:{key}"
        if points is None:
            self._break(reference)
        wanted = (points or 0) <= left and not (points is None and reference in self.world.shipped)

        def settle(done: bool) -> None:
            if done:
                self.spends[key] = (holder, left - (points or left))

        return Asked(requests.start_refund, body, ask, wanted, holder, settle=settle)

    def _exchange(self, holder: str) -> Asked:
        from_, to = self.dice.choice([(STARS, LEAVES), (STARS, MILES), (MILES, STARS), (BERRIES, COINS)])
        number, account = self._number(), f"A{holder}"
        there = self.world.accounts[account] if from_ == MILES else self.model.available(from_, holder, self.now)
        points = self.dice.randint(2, max(2, there + 3))
        spread, got = exchanged(from_, to, points)
        if not got:
            points = 10
            spread, got = exchanged(from_, to, points)
        body = {"from": from_, "to": to, "holder": holder, "points": points, "exchange_no": number}
        provider = PROVIDERS.get(to) or PROVIDERS.get(from_)
        if provider:
            body["account"] = account
            self._break(f"{self.club.brand}:{number}")
        takes = () if from_ == MILES else (Take(from_, holder, points),)
        gives: tuple[Give, ...] = ()
        if to not in PROVIDERS:
            gives = (Give(to, holder, got, "airline" if from_ == MILES else ISSUERS[to], due(to, self.now)),)
        moves = [(from_, "clearing", to, points - spread), (to, "clearing", from_, -got)]
        moves += [(from_, "spread", to, spread)] if spread else []
        moves += [(from_, "outside", "airline", -points)] if from_ == MILES else []
        moves += [(to, "outside", PROVIDERS[to], got)] if to in PROVIDERS else []
        ask = Transfer(number, "exchange", self.now, takes=takes, gives=gives, moves=tuple(moves))
        wanted = None if provider and from_ != MILES and points <= there else points <= there
        return Asked(requests.start_exchange, body, ask, wanted, holder)

    def _break(self, reference: str) -> None:
        """Decide now how the next writes about it will go wrong."""
        faults = self.dice.choices(["", BUSY, LOST, UNHEARD], [6, 1, 2, 2], k=self.dice.randint(0, 4))
        self.world.faults[reference].extend(faults)

    def _start(self, asked: Asked) -> None:
        """Ask, sometimes twice, sometimes under the same number for something else."""
        body = {**asked.body, "happened_at": self.now.isoformat()}
        self.story.tell(f"{asked.start.__name__} {body}")
        asked.run_id = self._ask(asked.start, body)
        if self.dice.random() < 0.3:
            assert self._ask(asked.start, body) == asked.run_id
        if self.dice.random() < 0.1:
            with suppress(ConflictError):
                self._ask(asked.start, {**body, "happened_at": (self.now + timedelta(seconds=1)).isoformat()})
                raise AssertionError("the same number with other content was taken")

    def _ask(self, start: Request, body: Mapping[str, Any]) -> int:
        with self.look.unit() as uow:
            started = start(uow, OWNER, self.club.brand, body)
            uow.commit()
        return started.run_id

    def _survive(self, runs: list[int]) -> None:
        """Carry these runs to their end, with a new worker whenever the one before dies after some commit."""
        database = self.club.hub.database
        deaths = 0

        def after_commit() -> None:
            if threading.current_thread() is not threading.main_thread():
                return
            if self.dice.random() < HOLDS_GO:
                self.story.tell("     the holds ran out")
                with self.look.unit() as uow:
                    ledger_holds.expire_holds(uow.connection, datetime.now(UTC) + timedelta(days=30))
                    uow.commit()
            if deaths < MOST_DEATHS and self.dice.random() < DEATH:
                raise KeyboardInterrupt

        database.on_commit = after_commit
        runner = self._runner()
        try:
            for _ in range(200):
                try:
                    runner.drain()
                except KeyboardInterrupt:
                    deaths += 1
                    self.story.tell("     the worker died")
                    runner.close()
                    runner = self._runner()
                    self.look.run("UPDATE flow_run SET lease_until = clock_timestamp() WHERE state = 'running'")
                self._pass_time()
                if not self.look.run(
                    "SELECT 1 FROM flow_run WHERE id = ANY (%s) AND NOT state = ANY (%s)", [runs, [*ENDED]]
                ):
                    return
            raise AssertionError(f"the runs {runs} do not end")
        finally:
            database.on_commit = None
            runner.close()

    def _runner(self) -> Runner:
        return Runner(self.club.hub.database, FLOWS, self.world.writer, lanes=self.world.lanes)

    def _pass_time(self) -> None:
        self.look.run("UPDATE flow_run SET wake_at = clock_timestamp() WHERE state = 'ready'")
        self.look.run("UPDATE lane SET blocked_until = NULL")
        self.look.run(
            "UPDATE effect SET intended_at = intended_at - interval '1 hour' WHERE state IN ('in_doubt', 'intended')"
        )

    def _settle(self, asked: Asked) -> None:
        (run,) = self.look.run("SELECT state, outcome, results FROM flow_run WHERE id = %s", [asked.run_id])
        done = run["state"] == "done" and run["outcome"] != "lost"
        told = f"{asked.start.__name__} {asked.body}: {run['state']} {run['outcome']} {run['results'].get('error')}"
        self.story.tell(f"     {told}")
        assert run["state"] in ("done", "undone"), told
        assert asked.wanted in (None, done), told
        if done and asked.ask is not None:
            said = self.model.do(asked.ask, self.now)
            assert said == [DONE], f"{told}, the model {said}"
        asked.settle(done)

    def _compare(self) -> None:
        """Lots and debts of the seed's members are the model's; nothing is kept any more."""
        rows = self.look.run(
            "SELECT concat_ws('/', nullif(asset.brand, ''), asset.code) AS asset, account.holder, lot.issuer,"
            " lot.amount, lot.remaining, lot.held, nullif(lot.due, 'infinity') AS due FROM points_lot AS lot"
            " JOIN ledger_account AS account ON account.id = lot.account_id"
            " JOIN ledger_asset AS asset ON asset.id = account.asset_id WHERE account.holder = ANY (%s)",
            [self.members],
        )
        found = Counter[tuple[Any, ...]](
            tuple((row["due"] or NEVER) if name == "due" else row[name] for name in row) for row in rows
        )
        wanted = Counter[tuple[Any, ...]](
            (lot.asset, lot.holder, lot.issuer, lot.units, lot.left, lot.kept, lot.due) for lot in self.model.lots
        )
        assert found == wanted, f"too many: {[*(found - wanted)]}, missing: {[*(wanted - found)]}"
        rows = self.look.run(
            "SELECT concat_ws('/', nullif(asset.brand, ''), asset.code) AS asset, holder, balance FROM ledger_account"
            " AS account JOIN ledger_asset AS asset ON asset.id = account.asset_id"
            " WHERE account.kind = 'arrears' AND balance <> 0 AND holder = ANY (%s)",
            [self.members],
        )
        owed = {(row["asset"], row["holder"]): row["balance"] for row in rows}
        assert owed == {
            (a, h): units for (a, kind, h), units in self.model.units.items() if kind == "arrears" and units
        }

    def _check_outside(self) -> None:
        """Everybody else's books are ours."""
        moved = Counter(dict.fromkeys(("airline", "finance"), 0))
        for system, _, _, amount in self.world.movements:
            moved[system] += amount
        ours = Counter(dict.fromkeys(moved, 0))
        for (_, kind, holder), units in self.model.units.items():
            if kind == "outside":
                ours[holder] += units
        assert moved == ours
        assert len({reference for _, reference, _, _ in self.world.movements}) == len(self.world.movements)
        ordered = {reference for reference, state in self.world.orders.items() if state == "ordered"}
        spent = {f"{self.club.brand}:{key}" for key in self.spends if not self._is_returned(key)}
        assert ordered == spent, f"ordered only: {ordered - spent}, spent only: {spent - ordered}"
        assert not [reference for reference, state in self.world.orders.items() if state == "held"]
        with self.look.unit() as uow:
            verified = ledger_journal.verify(uow.connection, OWNER)
        assert verified.broken == []

    def _is_returned(self, key: str) -> bool:
        """Whether a whole refund took the goods back; one in parts leaves them with the member."""
        asks = (ask for (what, _), ask in self.model.asked.items() if what == "transfer")
        return any(isinstance(ask, Reverse) and ask.of == key and ask.units is None for ask in asks)


def play_flows(club: Club, look: Database, seed: int, rounds: int) -> None:
    """``rounds`` of the seed's world."""
    story = Story(seed, "tests/flows/points/simulation/test_flow_seeds.py")
    with story.told():
        FlowPlay(club, look, seed, story).play(rounds)
