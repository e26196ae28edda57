"""Where orders ship from: decided for many at once on one snapshot, held in one round trip, kept to be explained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import checkouts, decisions, orders
from canonical_model.store.checkouts import Found, Kept, Key
from canonical_model.store.decisions import NewDecision
from canonical_model.store.holds import Held, HoldAsked, hold_many
from canonical_model.store.orders import NewParcel
from flows.one_stock.bundles import OpenLine, items_of
from flows.one_stock.expiry import batches_of, parcel_lines
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Action, Decision, PlannedParcel, Problem
from flows.one_stock.routing.record import Names, explain, pack, unpack
from flows.one_stock.routing.rulebook import Rulebook, Rules
from flows.one_stock.rulebooks import rulebook_of
from flows.one_stock.snapshot import Snapshot, Wish

CANCEL_REQUESTED: Final = "cancel_requested"
PLACED: Final = "placed"
RESOURCED: Final = "resourced"
RESTOCKED: Final = "restocked"
WAITED: Final = "waited"


@dataclass(frozen=True, slots=True)
class Ask:
    """An order to be planned. ``refused``: places that may not be asked again, with the reason. ``resourced``: parcels
    went out before, so what there is goes out now; ``waited``: it has been in the queue."""

    order_id: int
    refused: Mapping[int, str] = field(default_factory=dict)
    resourced: bool = False
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of an ask: ``parcels`` now held and planned, what nobody can promise, and the rules it went by.

    ``contested``: other orders won the goods meanwhile; nothing is held, ask again.
    """

    action: Action
    rules: Rules
    parcels: list[str] = field(default_factory=list)
    unfilled: list[dict[str, int]] = field(default_factory=list)
    contested: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    """What was decided about an order, before it is known whether the goods can be held; not what was thought of each
    place, which for a batch is a lot to keep."""

    ask: Ask
    order: DictRow
    wish: Wish
    decision: Decision
    asked: HoldAsked | None
    kept: NewDecision | None
    checkout: Found | None = None

    @property
    def unfilled(self) -> list[dict[str, int]]:
        """What nobody can promise, as it is told in results and events."""
        return [{"line_no": line.line_no, "quantity": line.quantity} for line in self.decision.plan.unfilled]


def plan_orders(
    connection: Connection[DictRow], asks: Sequence[Ask], *, now: datetime, member_schemes: Sequence[str] = ()
) -> dict[int, Planned | None]:
    """Plan and hold all of it, by order id; None for an order that its buyer wants cancelled. What an order's own
    checkout holds is the order's to use.

    The orders are decided one after another by id, each with what those before it left, and stay locked until the
    commit. ``member_schemes``: the systems whose membership numbers orders may name, most trusted first.
    """
    by_order = {ask.order_id: ask for ask in asks}
    known = orders.lock_orders(connection, sorted(by_order))
    live = {key: row for key, row in known.items() if row["status_reason"] != CANCEL_REQUESTED}
    drafts: list[_Draft] = []
    own = checkouts.find_for_orders(connection, [_key(row) for row in live.values()]) if live else {}
    for company in sorted({(row["owner"], row["brand"]) for row in live.values()}):
        mine = [row for row in live.values() if (row["owner"], row["brand"]) == company]
        drafts += _drafts(connection, *company, mine, by_order, own, now, member_schemes)
    asked = [draft.asked for draft in drafts if draft.asked]
    answers = dict(zip((each.order_id for each in asked), hold_many(connection, asked), strict=True)) if asked else {}
    contested = {key for key, answer in answers.items() if not isinstance(answer, Held)}
    _write(connection, [draft for draft in drafts if draft.ask.order_id not in contested])
    planned = {draft.ask.order_id: _planned(draft, draft.ask.order_id in contested) for draft in drafts}
    return {key: planned.get(key) for key in by_order}


def explained(connection: Connection[DictRow], owner: str, brand: str, order_id: int) -> list[dict[str, Any]]:
    """Every decision about an order, by round, told in the codes that people use."""
    rows = decisions.list_decisions(connection, owner, brand, order_id)
    records = [unpack(row.record) for row in rows]
    place_ids = {place.id for record in records for place in record.problem.places}
    sku_ids = {part.sku_id for record in records for item in record.problem.items for part in item.parts}
    names = Names(*decisions.list_names(connection, owner, brand, sorted(place_ids), sorted(sku_ids)))
    told = []
    for row, record in zip(rows, records, strict=True):
        story = explain(record, names)
        story["rules"]["fingerprint"] = row.rules_fingerprint
        told.append({"round": row.round, "cause": row.cause, "decided_at": row.decided_at, **story})
    return told


def _drafts(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    rows: Sequence[DictRow],
    asks: Mapping[int, Ask],
    own: Mapping[Key, Found],
    now: datetime,
    member_schemes: Sequence[str],
) -> list[_Draft]:
    """Decide about the orders of one brand, one after another."""
    ids = [row["id"] for row in rows]
    book = rulebook_of(connection, owner, brand)
    lines = orders.list_open_lines(connection, ids)
    found = [own.get(_key(row)) for row in rows]
    wishes = [
        _wish(row, asks[row["id"]], book, lines[row["id"]], checkout.kept if checkout else (), now)
        for row, checkout in zip(rows, found, strict=True)
    ]
    snapshot = Snapshot(connection, owner, brand, wishes, now=now, member_schemes=member_schemes)
    numbers = orders.count_parcels(connection, ids)
    drafts = []
    for row, wish, checkout in zip(rows, wishes, found, strict=True):
        ask = asks[wish.order_id]
        problem = snapshot.problem(wish)
        decision = decide(problem, wish.rules, considered=False)
        asked = _asked(row, wish, snapshot, decision, 1 + numbers.get(wish.order_id, 0), checkout)
        still_waits = ask.waited and decision.action is Action.QUEUE
        kept = None if still_waits else _kept(row, ask, book, wish, problem, decision)
        snapshot.take(wish, decision.plan.parcels)
        drafts.append(_Draft(ask, row, wish, decision, asked, kept, checkout))
    return drafts


def _key(row: DictRow) -> Key:
    return row["owner"], row["brand"], row["channel"], row["order_no"]


def _wish(
    row: DictRow, ask: Ask, book: Rulebook, lines: Sequence[tuple[Any, ...]], own: tuple[Kept, ...], now: datetime
) -> Wish:
    rules = book.rules(row["channel"])
    if ask.resourced:
        rules = _but(rules, "partial")
    elif rules.on_short == "queue" and now >= row["created_at"] + timedelta(seconds=rules.queue_for_s):
        rules = _but(rules, "cancel")
    return Wish(
        row["id"],
        row["channel"],
        rules,
        items_of([OpenLine(*line) for line in lines]),
        row["lat"],
        row["lon"],
        row["region_code"],
        row["member_code"],
        ask.refused,
        own,
        row["promised_at"],
    )


@lru_cache(maxsize=64)
def _but(rules: Rules, on_short: str) -> Rules:
    """The same rules with another answer to goods that are short."""
    return rules.model_copy(update={"on_short": on_short})


def _asked(
    row: DictRow, wish: Wish, snapshot: Snapshot, decision: Decision, first: int, checkout: Found | None
) -> HoldAsked | None:
    parcels = {
        f"P{wish.order_id:08d}-{number}": snapshot.hold_lines(wish, parcel)
        for number, parcel in enumerate(_nearest_first(decision), first)
    }
    if not parcels:
        return None
    replaces = checkout.references if checkout else ()
    return HoldAsked(row["owner"], row["brand"], wish.order_id, parcels, replaces=replaces, day=snapshot.day)


def _nearest_first(decision: Decision) -> list[PlannedParcel]:
    """The parcels in the order in which they are numbered."""
    return sorted(decision.plan.parcels, key=lambda parcel: (parcel.km is None, parcel.km or 0.0, parcel.place_id))


def _kept(row: DictRow, ask: Ask, book: Rulebook, wish: Wish, problem: Problem, decision: Decision) -> NewDecision:
    plan = decision.plan
    return NewDecision(
        row["owner"],
        row["brand"],
        wish.order_id,
        _cause(ask, decision),
        decision.action,
        book.version,
        book.fingerprint,
        plan.cost,
        plan.gap,
        plan.stopped,
        pack(problem, wish.rules, book.version, wish.channel, decision),
    )


def _cause(ask: Ask, decision: Decision) -> str:
    if ask.waited:
        return RESTOCKED if decision.plan.parcels else WAITED
    return RESOURCED if ask.resourced or ask.refused else PLACED


def _write(connection: Connection[DictRow], drafts: Sequence[_Draft]) -> None:
    """The parcels that are held, what the orders' feeds tell of them, and the decisions; in one round trip, for others
    wait for the goods' locks."""
    sent = [(draft, draft.asked) for draft in drafts if draft.asked]
    parcels = _parcels(connection, sent) if sent else []
    with connection.pipeline():
        if sent:
            checkouts.confirm(connection, [draft.checkout.id for draft, _ in sent if draft.checkout])
            orders.plan_parcels(connection, parcels)
            orders.allocate(connection, {draft.ask.order_id: _event(draft, asked) for draft, asked in sent})
        decisions.insert_many(connection, [draft.kept for draft in drafts if draft.kept])


def _parcels(connection: Connection[DictRow], sent: Sequence[tuple[_Draft, HoldAsked]]) -> list[NewParcel]:
    batches = batches_of(connection, {name: lines for _, asked in sent for name, lines in asked.parcels.items()})
    return [
        NewParcel(draft.ask.order_id, name, parcel.place_id, parcel_lines(parcel, batches[name]))
        for draft, asked in sent
        for name, parcel in zip(asked.parcels, _nearest_first(draft.decision), strict=True)
    ]


def _event(draft: _Draft, asked: HoldAsked) -> dict[str, Any]:
    unfilled = {"unfilled": draft.unfilled} if draft.unfilled else {}
    return {"parcels": list(asked.parcels), **unfilled}


def _planned(draft: _Draft, contested: bool) -> Planned:
    parcels = list(draft.asked.parcels) if draft.asked and not contested else []
    return Planned(draft.decision.action, draft.wish.rules, parcels, draft.unfilled, contested)
