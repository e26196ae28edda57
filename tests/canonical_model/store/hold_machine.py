"""Random holds, ends, facts and limits against a model of plain dictionaries: what is answered, and what is left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from canonical_model.errors import ConflictError
from canonical_model.ports import StockMeaning
from canonical_model.store import stock
from canonical_model.store.stock import Full, Held, HoldAsked, HoldLine, Short
from flows.runtime.database import Database
from tests.canonical_model.store.shelf import NOON, OWNER, Shelf, at, snapshot

SKUS: Final = ("A", "B")
PLACES: Final = ("W1", "W2")
TODAY: Final = NOON.date()
DAYS: Final = (TODAY, TODAY + timedelta(days=1))
EXPIRIES: Final = (TODAY + timedelta(days=10), TODAY + timedelta(days=20), TODAY + timedelta(days=30))
MEANING: Final = StockMeaning(clock_skew_s=0.0)


@dataclass
class Kept:
    """One hold line as the model remembers it."""

    line: HoldLine
    order_id: int
    expires: int | None
    state: str = "active"
    deducting: int = 0
    shipped_at: int = 0


@dataclass
class Shelves:
    """The model: figures by level id, holds by reference, slots by reference."""

    place: dict[int, int]
    on_hand: dict[int, int]
    lots: dict[int, dict[date, int]] = field(default_factory=dict)
    safety: dict[int, int] = field(default_factory=dict)
    capacity: dict[int, int | None] = field(default_factory=dict)
    holds: dict[str, list[Kept]] = field(default_factory=dict)
    slots: dict[str, tuple[int, date]] = field(default_factory=dict)

    def kept(self, level: int) -> Iterator[Kept]:
        return (kept for holds in self.holds.values() for kept in holds if kept.line.level_id == level)

    def held(self, level: int) -> int:
        return sum(kept.deducting for kept in self.kept(level))

    def lasting(self, level: int, day: date) -> int:
        """Units that last until a day, less what may have left them and what was promised of them."""
        lots = self.lots.get(level, {})
        gone = max(0, sum(lots.values()) - self.on_hand[level])
        there = max(0, sum(units for expires, units in lots.items() if expires >= day) - gone)
        return there - sum(
            kept.deducting
            for kept in self.kept(level)
            if kept.state == "shipped" or (kept.line.min_expiry is not None and kept.line.min_expiry >= day)
        )

    def decide(self, asked: HoldAsked) -> Held | Short | Full | type[ConflictError]:
        """Answer one request, and remember it if it is held."""
        known = {reference: self.holds[reference] for reference in asked.parcels if reference in self.holds}
        if known:
            return Held() if self._same(asked, known) else ConflictError
        before = self.slots.copy()
        given_back = [
            kept for reference in asked.replaces for kept in self.holds.get(reference, ()) if kept.state == "active"
        ]
        units = [kept.deducting for kept in given_back]
        for kept in given_back:
            kept.state, kept.deducting = "released", 0
        self.free_slots()
        answer = self._try(asked)
        if not isinstance(answer, Held):
            for kept, deducting in zip(given_back, units, strict=True):
                kept.state, kept.deducting = "active", deducting
            self.slots = before
        return answer

    def _same(self, asked: HoldAsked, known: dict[str, list[Kept]]) -> bool:
        return all(
            [kept.line for kept in known.get(reference, ())] == list(lines)
            and all(
                kept.order_id == asked.order_id and kept.state in ("active", "shipped") for kept in known[reference]
            )
            for reference, lines in asked.parcels.items()
        )

    def _try(self, asked: HoldAsked) -> Held | Short | Full:
        lines = [line for parcel in asked.parcels.values() for line in parcel]
        levels = {line.level_id for line in lines}
        short = sorted(level for level in levels if self._lacks(level, [ln for ln in lines if ln.level_id == level]))
        if short:
            return Short(tuple(short))
        assert asked.day is not None
        slots = {
            reference: (min(limited), asked.day)
            for reference, parcel in asked.parcels.items()
            if (limited := [p for line in parcel if self.capacity.get(p := self.place[line.level_id]) is not None])
        }
        full = sorted({slot[0] for slot in slots.values() if self._is_full(slot, list(slots.values()).count(slot))})
        if full:
            return Full(tuple(full))
        self.slots |= slots
        for reference, parcel in asked.parcels.items():
            expires = None if asked.expires_at is None else int((asked.expires_at - NOON).total_seconds())
            self.holds[reference] = [
                Kept(line, asked.order_id or 0, expires, deducting=line.quantity) for line in parcel
            ]
        return Held()

    def _lacks(self, level: int, lines: Sequence[HoldLine]) -> bool:
        wanted = sum(line.quantity for line in lines)
        if self.on_hand[level] - self.safety.get(level, 0) - self.held(level) < wanted:
            return True
        latest = max((line.min_expiry for line in lines if line.min_expiry), default=date.min)
        return any(
            self.lasting(level, day)
            < sum(line.quantity for line in lines if line.min_expiry and line.min_expiry >= day)
            for day in EXPIRIES
            if day <= latest
        )

    def _is_full(self, slot: tuple[int, date], wanted: int) -> bool:
        capacity = self.capacity[slot[0]]
        return capacity is not None and list(self.slots.values()).count(slot) + wanted > capacity

    def free_slots(self) -> None:
        """Slots go with the last hold of their parcel, unless some of it shipped."""
        for reference in list(self.slots):
            if not any(kept.state in ("active", "shipped") for kept in self.holds[reference]):
                del self.slots[reference]


lines_ = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from([None, None, *EXPIRIES])), min_size=1, max_size=2
)
requests_ = st.lists(
    st.tuples(
        st.lists(lines_, min_size=1, max_size=2),
        st.integers(0, 10),
        st.sampled_from(DAYS),
        st.sampled_from([None, 40]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


class HoldMachine(RuleBasedStateMachine):
    """Two SKUs at two places; every rule does one thing to the books and to the model."""

    on: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        self._unit = self.on.unit()
        self.shelf = Shelf(self._unit.__enter__().connection, skus=SKUS, places=PLACES, meaning=MEANING)
        self.clock = 0
        self.numbers = iter(range(1, 10**6))
        self.asked: list[HoldAsked] = []

    def teardown(self) -> None:
        self._unit.__exit__(None, None, None)

    @initialize(counts=st.lists(st.integers(0, 8), min_size=4, max_size=4))
    def stock_up(self, counts: list[int]) -> None:
        codes = [(sku, place) for sku in SKUS for place in PLACES]
        self.shelf.apply(*(snapshot(n, sku=sku, place=place) for n, (sku, place) in zip(counts, codes, strict=True)))
        views = [self.shelf.level(*code) for code in codes]
        self.codes = {view.level_id: code for view, code in zip(views, codes, strict=True)}
        self.levels = list(self.codes)
        self.places = {row["code"]: row["id"] for row in self._rows("SELECT code, id FROM location WHERE brand = %s")}
        self.model = Shelves(
            {level: self.places[place] for level, (_, place) in self.codes.items()},
            {view.level_id: view.on_hand for view in views},
        )

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        return self.shelf.connection.execute(query, [self.shelf.brand]).fetchall()

    def _request(self, parcels: Any, replaced: int, day: date, ttl: int | None) -> HoldAsked:
        known = list(self.model.holds)
        return HoldAsked(
            OWNER,
            self.shelf.brand,
            next(self.numbers),
            {
                f"P{next(self.numbers)}": [
                    HoldLine(number, self.levels[level], units, expiry)
                    for number, (level, units, expiry) in enumerate(lines, 1)
                ]
                for lines in parcels
            },
            None if ttl is None else NOON + timedelta(seconds=self.clock + ttl),
            tuple(known[replaced : replaced + 1]),
            day,
        )

    @rule(drawn=requests_)
    def hold(self, drawn: Any) -> None:
        self.clock += 1
        asked: list[HoldAsked] = []
        for parcels, replaced, day, ttl, again in drawn:
            repeat = again and self.asked
            asked.append(
                self.asked[replaced % len(self.asked)] if repeat else self._request(parcels, replaced, day, ttl)
            )
        answers = stock.hold_each(self.shelf.connection, asked)
        expected = [self.model.decide(request) for request in asked]
        assert [ConflictError if isinstance(answer, ConflictError) else answer for answer in answers] == expected
        self.asked += asked

    @precondition(lambda self: self.model.holds)
    @rule(which=st.integers(0, 50))
    def release(self, which: int) -> None:
        reference = list(self.model.holds)[which % len(self.model.holds)]
        live = [kept for kept in self.model.holds[reference] if kept.state == "active"]
        assert self.shelf.release(reference).lines == tuple(kept.line.line_no for kept in live)
        for kept in live:
            kept.state, kept.deducting = "released", 0
        self.model.free_slots()

    @rule(seconds=st.integers(1, 60))
    def expire(self, seconds: int) -> None:
        self.clock += seconds
        due = {
            (reference, kept.line.line_no): kept
            for reference, holds in self.model.holds.items()
            for kept in holds
            if kept.state == "active" and kept.expires is not None and kept.expires <= self.clock
        }
        rows = stock.expire_due(self.shelf.connection, NOON + timedelta(seconds=self.clock))
        assert {(row["reference"], row["line_no"]) for row in rows} == set(due)
        for kept in due.values():
            kept.state, kept.deducting = "expired", 0
        self.model.free_slots()

    @precondition(lambda self: self.model.holds)
    @rule(which=st.integers(0, 50), part=st.sampled_from([0.0, 0.5, 1.0]))
    def ship(self, which: int, part: float) -> None:
        """All lines of a parcel leave, or a part of each, or nothing."""
        self.clock += 1
        reference = list(self.model.holds)[which % len(self.model.holds)]
        lines = []
        for kept in self.model.holds[reference]:
            shipped = int(kept.line.quantity * part)
            lines.append(stock.ShippedLine(kept.line.line_no, shipped, kept.line.quantity - shipped))
            if kept.state == "active" or (kept.state in ("released", "expired") and shipped):
                kept.state = "shipped" if shipped else "released"
                kept.deducting, kept.shipped_at = shipped, self.clock
        stock.ship(
            self.shelf.connection,
            owner=OWNER,
            brand=self.shelf.brand,
            reference=reference,
            shipped_at=at(self.clock),
            lines=lines,
        )
        self._prove(dict.fromkeys(self.levels, -1))
        self.model.free_slots()

    def _prove(self, until: dict[int, int]) -> None:
        for level, seconds in until.items():
            for kept in self.model.kept(level):
                if kept.state == "shipped" and kept.shipped_at <= seconds:
                    kept.deducting = 0

    @rule(which=st.integers(0, 3), lots=st.dictionaries(st.sampled_from(EXPIRIES), st.integers(0, 5)))
    def count(self, which: int, lots: dict[date, int]) -> None:
        """The authority counts a level, batch by batch or not."""
        self.clock += 1
        level = self.levels[which]
        sku, place = self.codes[level]
        facts = [
            snapshot(units, self.clock, sku, place, batch=f"{expires}", expires_on=f"{expires}")
            for expires, units in lots.items()
        ]
        self.shelf.apply(*(facts or [snapshot(4, self.clock, sku, place)]))
        self.model.on_hand[level] = sum(lots.values()) if facts else 4
        self.model.lots[level] = lots
        self._prove({level: self.clock})

    @rule(which=st.integers(0, 3), safety=st.integers(0, 4))
    def keep_back(self, which: int, safety: int) -> None:
        stock.set_safety(self.shelf.connection, self.levels[which], safety)
        self.model.safety[self.levels[which]] = safety

    @rule(which=st.sampled_from(PLACES), capacity=st.sampled_from([None, 0, 1, 2, 3]))
    def limit(self, which: str, capacity: int | None) -> None:
        self.shelf.connection.execute("UPDATE location SET capacity = %s WHERE id = %s", [capacity, self.places[which]])
        self.model.capacity[self.places[which]] = capacity

    @invariant()
    def the_books_are_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        assert stock.verify(self.shelf.connection) == []
        for level, code in self.codes.items():
            view = self.shelf.level(*code)
            expected = (self.model.on_hand[level], self.model.held(level), self.model.safety.get(level, 0))
            assert (view.on_hand, view.held, view.safety) == expected
        slots = self._rows("SELECT reference, location_id, day FROM place_slot WHERE brand = %s")
        assert {row["reference"]: (row["location_id"], row["day"]) for row in slots} == self.model.slots
