"""Better plans for orders that wait for their release: all of a brand together, on one snapshot of the pool.

Read and searched outside any transaction, then written group by group: orders that pass goods to one another change in
one transaction, all or none. Who was released, cancelled or planned anew meanwhile stays as it is, and so does their
group. A hold is taken over in the moment in which the old one ends, so nobody can come between and nothing is oversold.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import decisions, open_plans, orders
from canonical_model.store.decisions import NewDecision
from canonical_model.store.holds import Held, HoldAsked, HoldLine, hold_many
from canonical_model.store.open_plans import Open, PlannedHold
from canonical_model.store.orders import NewParcel
from flows.one_stock.bundles import OpenLine, items_of
from flows.one_stock.expiry import batches_of, parcel_lines
from flows.one_stock.routing import batch
from flows.one_stock.routing.batch import Change, Outcome, Search
from flows.one_stock.routing.board import SLOT, OpenOrder, Unit
from flows.one_stock.routing.problem import Plan, PlannedLine, PlannedParcel, Problem
from flows.one_stock.routing.record import pack
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.rulebooks import rulebook_of
from flows.one_stock.snapshot import Own, Shelf, Snapshot, Wish
from flows.runtime.database import Database

REOPTIMISED: Final = "reoptimised"
MAX_ORDERS: Final = 1_000
ORDERS: Final = 500
SEARCH: Final = Search(iterations=300)
"""What a pass beside other work may take: some seconds of one core."""


@dataclass(slots=True)
class Report:
    """What became of it: ``orders`` looked at, ``changed`` ones, those ``skipped`` because one of their group had
    changed meanwhile; what all plans cost before and now."""

    orders: int = 0
    changed: int = 0
    skipped: int = 0
    cost_before: float = 0.0
    cost_after: float = 0.0


@dataclass(frozen=True, slots=True)
class _Standing:
    """An open order as it was read."""

    wish: Wish
    problem: Problem
    plan: Plan
    holds: tuple[PlannedHold, ...]


@dataclass(frozen=True, slots=True)
class _Move:
    """An order that changes: the parcels that go, by number, and those that come."""

    standing: _Standing
    change: Change
    goes: tuple[str, ...]
    comes: tuple[PlannedParcel, ...]
    lines: tuple[tuple[HoldLine, ...], ...]


@dataclass(frozen=True, slots=True)
class _View:
    """Everything that was read of a brand: orders by the goods that they may take."""

    book: Rulebook
    snapshot: Snapshot
    by_shelf: Mapping[Shelf, Sequence[_Standing]]


def reoptimise(
    database: Database,
    owner: str,
    brand: str,
    *,
    now: datetime,
    limit: int = ORDERS,
    search: Search = SEARCH,
    member_schemes: Sequence[str] = (),
) -> Report:
    """Better the plans of the oldest ``limit`` open orders of a brand whose rules let orders wait.

    ``member_schemes``: the systems whose membership numbers orders may name, most trusted first.
    """
    report = Report()
    with database.unit() as uow:
        view = _read(uow.connection, owner, brand, now, limit, member_schemes)
    if view is None:
        return report
    for shelf in sorted(view.by_shelf, key=str):
        standing = {each.wish.order_id: each for each in view.by_shelf[shelf]}
        outcome = _search(list(standing.values()), search)
        moves = [_move(standing[change.key], change, view.snapshot) for change in outcome.changes]
        report.orders += len(standing)
        report.cost_before += outcome.before.cost
        report.cost_after += outcome.before.cost
        for group in _groups(moves):
            if _apply(database, owner, brand, view, group):
                report.changed += len(group)
                report.cost_after -= sum(move.change.saving for move in group)
            else:
                report.skipped += len(group)
    return report


def _read(
    connection: Connection[DictRow], owner: str, brand: str, now: datetime, limit: int, member_schemes: Sequence[str]
) -> _View | None:
    book = rulebook_of(connection, owner, brand)
    waiting = [channel for channel in book.channels if book.rules(channel).release_after_s]
    if not (waiting or book.rules().release_after_s):
        return None
    rows = open_plans.list_open(connection, owner, brand, limit=limit)
    rows = [row for row in rows if book.rules(row.channel).release_after_s]
    ids = [row.id for row in rows]
    holds = open_plans.list_planned(connection, ids)
    lines = orders.list_open_lines(connection, ids)
    wishes = [_wish(row, book, lines[row.id], holds[row.id]) for row in rows if holds[row.id]]
    if not wishes:
        return None
    snapshot = Snapshot(connection, owner, brand, wishes, now=now, member_schemes=member_schemes)
    by_shelf: dict[Shelf, list[_Standing]] = {}
    for wish in wishes:
        problem = snapshot.problem(wish)
        snapshot.take(wish, ())
        held = holds[wish.order_id]
        standing = _Standing(wish, problem, _plan(wish, held), tuple(held))
        by_shelf.setdefault(snapshot.shelf(wish.rules), []).append(standing)
    return _View(book, snapshot, by_shelf)


def _wish(row: Open, book: Rulebook, lines: Iterable[tuple[Any, ...]], holds: Sequence[PlannedHold]) -> Wish:
    """The order as if it were not planned: it wants what its parcels hold, too, and may use that."""
    held = Counter[int]()
    for hold in holds:
        held[hold.line_no] += hold.quantity
    wanted = (replace(line, wanted=line.wanted + held[line.line_no]) for line in (OpenLine(*line) for line in lines))
    return Wish(
        row.id,
        row.channel,
        book.rules(row.channel),
        items_of(list(wanted)),
        row.lat,
        row.lon,
        row.region_code,
        row.member_code,
        own=tuple(Own(hold.parcel_no, hold.location_id, hold.sku_id, hold.level_id, hold.quantity) for hold in holds),
        promised_at=row.promised_at,
    )


def _plan(wish: Wish, holds: Iterable[PlannedHold]) -> Plan:
    """The plan that stands. Its cost is reckoned where plans are compared."""
    unfilled = Counter[tuple[int, int]]()
    for item in wish.items:
        for part in item.parts:
            unfilled[part.line_no, part.sku_id] += part.per_set * item.quantity
    parcels: dict[str, list[PlannedHold]] = {}
    for hold in holds:
        unfilled[hold.line_no, hold.sku_id] -= hold.quantity
        parcels.setdefault(hold.parcel_no, []).append(hold)
    return Plan(
        tuple(
            PlannedParcel(
                lines[0].location_id, tuple(PlannedLine(hold.line_no, hold.sku_id, hold.quantity) for hold in lines)
            )
            for lines in parcels.values()
        ),
        tuple(PlannedLine(*line, units) for line, units in unfilled.items() if units > 0),
        0.0,
        0.0,
    )


def _search(standing: Sequence[_Standing], search: Search) -> Outcome:
    first = standing[0]
    lent = Counter(parcel.place_id for parcel in first.plan.parcels)
    places = first.problem.places
    return batch.reoptimise(
        [OpenOrder(each.wish.order_id, each.problem, each.wish.rules, each.plan) for each in standing],
        {(place.id, sku_id): units for place in places for sku_id, units in place.stock.items() if units > 0},
        {place.id: place.capacity_left - lent[place.id] for place in places if place.capacity_left is not None},
        search,
    )


def _move(standing: _Standing, change: Change, snapshot: Snapshot) -> _Move:
    """Parcels that the new plan has too stay as they are."""
    old: dict[tuple[int, frozenset[PlannedLine]], str] = {}
    numbers = dict.fromkeys(hold.parcel_no for hold in standing.holds)
    for parcel_no, parcel in zip(numbers, standing.plan.parcels, strict=True):
        old[parcel.place_id, frozenset(parcel.lines)] = parcel_no
    comes = [
        parcel
        for parcel in change.decision.plan.parcels
        if old.pop((parcel.place_id, frozenset(parcel.lines)), None) is None
    ]
    dated = {hold.sku_id for hold in standing.holds if hold.min_expiry is not None}
    until = snapshot.shelf(standing.wish.rules)[1]
    return _Move(
        standing,
        change,
        tuple(old.values()),
        tuple(comes),
        tuple(
            tuple(
                replace(line, min_expiry=until) if planned.sku_id in dated else line
                for line, planned in zip(snapshot.hold_lines(standing.wish, parcel), parcel.lines, strict=True)
            )
            for parcel in comes
        ),
    )


def _groups(moves: Sequence[_Move]) -> list[list[_Move]]:
    """Orders that pass units or parcel slots to one another, directly or through others."""
    givers: dict[Unit, list[int]] = defaultdict(list)
    takers: dict[Unit, list[int]] = defaultdict(list)
    for number, move in enumerate(moves):
        limited = {place.id for place in move.standing.problem.places if place.capacity_left is not None}
        uses = _uses(move.change.decision.plan, limited)
        uses.subtract(_uses(move.standing.plan, limited))
        for unit, units in uses.items():
            if units:
                (givers if units < 0 else takers)[unit].append(number)
    root = list(range(len(moves)))

    def top(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    for unit, giving in givers.items():
        linked = [*giving, *takers[unit]] if takers[unit] else []
        for number in linked[1:]:
            low, high = sorted((top(linked[0]), top(number)))
            root[high] = low
    groups: dict[int, list[_Move]] = defaultdict(list)
    for number, move in enumerate(moves):
        groups[top(number)].append(move)
    return list(groups.values())


def _uses(plan: Plan, limited: Collection[int]) -> Counter[Unit]:
    uses = Counter[Unit]()
    for parcel in plan.parcels:
        uses[parcel.place_id, SLOT] += parcel.place_id in limited
        for line in parcel.lines:
            uses[parcel.place_id, line.sku_id] += line.quantity
    return uses


def _apply(database: Database, owner: str, brand: str, view: _View, group: Sequence[_Move]) -> bool:
    """Whether the whole group changed; it does not if one of its orders changed meanwhile, or goods went elsewhere."""
    standing = {move.standing.wish.order_id: move.standing for move in group}
    with database.unit() as uow:
        connection = uow.connection
        if open_plans.lock_open(connection, standing.keys()) != standing.keys():
            return False
        held = open_plans.list_planned(connection, standing.keys())
        if any(tuple(held[order_id]) != each.holds for order_id, each in standing.items()):
            return False
        numbers = orders.count_parcels(connection, list(standing))
        named = [(move, _named(move, 1 + numbers.get(move.standing.wish.order_id, 0))) for move in group]
        asked = _asked(owner, brand, named, view.snapshot.day)
        if not all(isinstance(answer, Held) for answer in hold_many(connection, asked)):
            return False
        _write(connection, owner, brand, view.book, named)
        uow.commit()
    return True


def _named(move: _Move, first: int) -> list[str]:
    return [f"P{move.standing.wish.order_id:08d}-{number}" for number, _ in enumerate(move.comes, first)]


def _asked(owner: str, brand: str, named: Sequence[tuple[_Move, list[str]]], day: date) -> list[HoldAsked]:
    """One request an order; with the first, the holds of all old parcels end."""
    gone = tuple(parcel_no for move, _ in named for parcel_no in move.goes)
    return [
        HoldAsked(
            owner,
            brand,
            move.standing.wish.order_id,
            dict(zip(names, move.lines, strict=True)),
            replaces=() if number else gone,
            day=day,
        )
        for number, (move, names) in enumerate(named)
    ]


def _write(
    connection: Connection[DictRow], owner: str, brand: str, book: Rulebook, named: Sequence[tuple[_Move, list[str]]]
) -> None:
    """The parcels, the orders' feeds and the decisions."""
    batches = batches_of(
        connection, {name: lines for move, names in named for name, lines in zip(names, move.lines, strict=True)}
    )
    open_plans.drop_parcels(connection, owner, brand, [parcel_no for move, _ in named for parcel_no in move.goes])
    orders.plan_parcels(
        connection,
        [
            NewParcel(
                move.standing.wish.order_id,
                parcel_no,
                parcel.place_id,
                parcel_lines(parcel, batches[parcel_no]),
            )
            for move, names in named
            for parcel_no, parcel in zip(names, move.comes, strict=True)
        ],
    )
    open_plans.tell_reoptimised(
        connection,
        {move.standing.wish.order_id: {"parcels": names, "instead_of": list(move.goes)} for move, names in named},
    )
    decisions.insert_many(connection, [_kept(owner, brand, book, move) for move, _ in named])


def _kept(owner: str, brand: str, book: Rulebook, move: _Move) -> NewDecision:
    wish, change = move.standing.wish, move.change
    plan = change.decision.plan
    return NewDecision(
        owner,
        brand,
        wish.order_id,
        REOPTIMISED,
        change.decision.action,
        book.version,
        book.fingerprint,
        plan.cost,
        plan.gap,
        plan.stopped,
        pack(change.problem, wish.rules, book.version, wish.channel, change.decision),
    )
