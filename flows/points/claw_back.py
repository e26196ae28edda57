"""``points.claw_back``: what came back of a sale no longer earns; its points go back to who issued them.

1. *look*, *await_sale*: a return may come before its sale has earned. It waits, ever longer, up to PATIENCE_S in all;
   then a person is asked.
2. *take_back*: each returned unit's share of what its line earned, never more than that in all. Points of that very
   sale are taken first; what the member has spent is owed, what has expired is not.

Returns of one sale go one after another, so each knows what came back before.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.errors import RejectedError
from canonical_model.ledger import AccountKind, Command, Move, Short, Take
from canonical_model.order import OrderKind
from canonical_model.store import ledger, orders
from flows.points import store
from flows.points.earning import EarnedLine, EarnedPart, Returned, TakenBack
from flows.points.earning import take_back as taken_back_of
from flows.points.keys import ledger_key
from flows.points.requests import CLAW_BACK, EARN, sale_key
from flows.points.rules import asset_ids
from flows.points.splitting import apportion
from flows.points.store import Gone
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, Park, Run, step, wait_for
from flows.runtime.runs import ENDED

PATIENCE_S: Final = 3_600
FIRST_WAIT_S: Final = 5
LONGEST_WAIT_S: Final = 600
TAKEN_BACK: Final = "taken_back"
NOTHING: Final = "nothing"

Units = dict[int, int]
"""Units by line number."""


@dataclass(frozen=True, slots=True)
class _Earn:
    """What one earn of the sale gave."""

    key: str
    holder: str
    transfer_id: int
    lines: tuple[EarnedLine, ...]
    growth: tuple[str, str] | None

    @property
    def points(self) -> int:
        return sum(line.points for line in self.lines)

    def units(self, line_no: int) -> int:
        return sum(line.quantity for line in self.lines if line.line_no == line_no)


@dataclass(frozen=True, slots=True)
class _Sale:
    """The sale as far as it is known. ``delivered``: units that have earned what they will; ``skus``: lines of a SKU,
    where the hub has the order; ``returned``: units that came back before."""

    earns: tuple[_Earn, ...]
    is_open: bool
    delivered: Mapping[int, int]
    skus: Mapping[int, Sequence[int]]
    returned: Mapping[int, int]


class _NotYetError(RejectedError):
    """The return speaks of units that are not known to have been sold."""

    default_code = "points.sale_unknown"


@step()
def look(run: Run, uow: UnitOfWork) -> dict[str, Any] | Park:
    """How long to wait until the sale is looked for again: not at all if all of the return is known."""
    try:
        _units(run, _sale(run, uow))
    except _NotYetError as error:
        waited_s = run.results.get("take_back", {}).get("waited_s", 0)
        if waited_s >= PATIENCE_S:
            return Park(error.code, f"{error.detail}; send what is missing or correct the return, then retry the run")
        return {"wait_s": min(max(FIRST_WAIT_S, waited_s), LONGEST_WAIT_S)}
    return {"wait_s": 0}


def _wait_s(run: Run) -> float:
    return float(run.results["look"]["wait_s"])


await_sale = wait_for("await_sale", signals=("earned",), timeout_s=_wait_s, on_timeout=None)


@step()
def take_back(run: Run, uow: UnitOfWork) -> Goto | Finish:
    """Post what is taken back of each earn of the sale."""
    sale = _sale(run, uow)
    try:
        now = _units(run, sale)
    except _NotYetError:
        waited_s = run.results.get("take_back", {}).get("waited_s", 0) + run.results["look"]["wait_s"]
        return Goto("look", {"waited_s": waited_s})
    assets = asset_ids(uow.connection, run.owner)
    asset_id, commands = assets[run.input["programme"]], _commands(run, uow, sale, now, assets)
    transfers = [
        ledger.apply_one(uow.connection, run.owner, run.brand, command, now=datetime.now(UTC)).id
        for command in commands
    ]
    points = sum(take.amount for command in commands for take in command.takes if take.asset_id == asset_id)
    told = {"returned": {str(line_no): units for line_no, units in now.items()}, "points": points}
    return Finish(TAKEN_BACK if points else NOTHING, told | {"transfers": transfers})


def _sale(run: Run, uow: UnitOfWork) -> _Sale:
    rows = store.runs_of_sale(uow.connection, run.owner, run.brand, sale_key(run.input))
    earns = tuple(_earn(row) for row in rows if row["flow"] == EARN and row["results"].get("earn"))
    is_open = any(row["flow"] == EARN and row["state"] not in ENDED for row in rows)
    returned: Counter[int] = Counter()
    for row in rows:
        if row["flow"] == CLAW_BACK and row["id"] < run.id and row["state"] == "done":
            returned.update({int(n): units for n, units in row["results"]["take_back"]["returned"].items()})
    if run.input.get("sale_id") is not None:
        delivered, skus = _delivered(run, uow)
        return _Sale(earns, is_open, delivered, skus, returned)
    numbers = {line.line_no for earn in earns for line in earn.lines}
    return _Sale(earns, is_open, {n: sum(earn.units(n) for earn in earns) for n in numbers}, {}, returned)


def _earn(row: Mapping[str, Any]) -> _Earn:
    told = row["results"]["earn"]
    lines = tuple(
        EarnedLine(
            line["line_no"], line["quantity"], line["points"], tuple(EarnedPart(*part) for part in line["parts"])
        )
        for line in told["lines"]
    )
    growth = (told["growth"][0], told["growth"][1]) if told["growth"] else None
    return _Earn(row["business_key"], row["input"]["holder"], told.get("transfer_id", 0), lines, growth)


def _delivered(run: Run, uow: UnitOfWork) -> tuple[Units, dict[int, list[int]]]:
    """Of an order of the hub: units by line that left or were carried out, and the lines of each SKU."""
    order = orders.get_order(uow.connection, run.owner, run.brand, run.input["sale_id"])
    is_sent = order["kind"] == OrderKind.DELIVERY
    skus: dict[int, list[int]] = defaultdict(list)
    for line in order["lines"]:
        skus[line["sku_id"]].append(line["line_no"])
    return {line["line_no"]: line["shipped" if is_sent else "quantity"] for line in order["lines"]}, skus


def _units(run: Run, sale: _Sale) -> Units:
    """What comes back now, by line of the sale. _NotYetError: the sale is not known, or not so much of it."""
    what = f"return {run.input['return_no']} of order {run.input['order_no']}"
    if sale.is_open or not sale.delivered:
        raise _NotYetError(f"{what}: the order has not earned in {run.input['programme']} yet")
    now: Counter[int] = Counter()
    for line in run.input["lines"]:
        candidates = sale.skus.get(line["sku_id"], ()) if "sku_id" in line else (line["line_no"],)
        left = line["quantity"]
        for line_no in candidates:
            free = sale.delivered.get(line_no, 0) - sale.returned.get(line_no, 0) - now[line_no]
            now[line_no] += (units := max(0, min(left, free)))
            left -= units
        if left:
            named = f"SKU {line['sku_id']}" if "sku_id" in line else f"line {line['line_no']}"
            raise _NotYetError(f"{what}: {named} comes back {left} times more often than it was delivered")
    return {line_no: units for line_no, units in now.items() if units}


def _commands(run: Run, uow: UnitOfWork, sale: _Sale, now: Units, assets: Mapping[str, int]) -> list[Command]:
    """One transfer for each earn of which something is taken back."""
    commands = []
    before: Counter[int] = Counter(sale.returned)
    after = before + Counter(now)
    start: Counter[int] = Counter()
    for earn in sale.earns:
        returned = {}
        for line in earn.lines:
            first = start[line.line_no]
            earlier, later = (_within(units[line.line_no] - first, line.quantity) for units in (before, after))
            if later > earlier:
                returned[line.line_no] = Returned(earlier, later - earlier)
        start.update({line.line_no: line.quantity for line in earn.lines})
        taken = taken_back_of(earn.lines, returned)
        if any(line.points for line in taken) and (command := _command(run, uow, earn, taken, assets)):
            commands.append(command)
    return commands


def _within(units: int, most: int) -> int:
    return max(0, min(units, most))


def _command(
    run: Run, uow: UnitOfWork, earn: _Earn, taken: Sequence[TakenBack], assets: Mapping[str, int]
) -> Command | None:
    """What is taken back of an earn; None when all of that has expired: what nobody could spend is not owed."""
    issuers: Counter[str] = Counter()
    for line in taken:
        issuers.update({part.issuer: part.points for part in line.parts})
    happened_at = min(datetime.fromisoformat(run.input["happened_at"]), datetime.now(UTC))
    gone = store.gone_of(uow.connection, earn.transfer_id, happened_at)
    takes, moves = _taken(earn, assets[run.input["programme"]], issuers, gone)
    if earn.growth:
        name, issuer = earn.growth
        more_takes, more_moves = _taken(earn, assets[name], Counter({issuer: issuers.total()}), gone)
        takes, moves = takes + more_takes, moves + more_moves
    if not takes:
        return None
    lines = [[line.line_no, line.points] for line in taken if line.points]
    return Command(
        key=ledger_key("claw_back", run.business_key, earn.key),
        kind="claw_back",
        happened_at=happened_at,
        takes=tuple(takes),
        moves=tuple(moves),
        reference=run.input["order_no"],
        reverses=earn.transfer_id,
        detail={"programme": run.input["programme"], "return_no": run.input["return_no"], "lines": lines},
    )


def _taken(
    earn: _Earn, asset_id: int, issuers: Mapping[str, int], gone: Mapping[int, Gone]
) -> tuple[list[Take], list[Move]]:
    """The lines for one asset: each issuer's points, less those that have expired."""
    points, known = sum(issuers.values()), gone.get(asset_id, Gone(0, 0))
    units = min(points, earn.points - known.expired - known.taken_back)
    if units <= 0:
        return [], []
    names = sorted(issuers)
    shares = apportion(units, [issuers[name] for name in names])
    moves = [
        Move(asset_id, AccountKind.ISSUED, name, share) for name, share in zip(names, shares, strict=True) if share
    ]
    return [Take(asset_id, earn.holder, units, Short.ARREARS, earn.transfer_id)], moves


CLAW_BACK_POINTS: Final = Flow(CLAW_BACK, version=1, steps=(look, await_sale, take_back))
