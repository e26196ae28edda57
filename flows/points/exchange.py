"""``points.exchange``: points of one programme become those of another, or units of somebody outside, at the rate of
the day.

Between two programmes of the group it is one transfer. Out of the group, the points are kept (*decide*), the provider
credits its member (*move_outside*, the pivot; after a lost answer it is asked before anything is sent again), and what
was kept is posted (*settle*). Into the group, the provider debits its member first. A provider that refuses ends the
run, and the member has everything back. Each asset balances by itself: the clearing house stands between the two.

Exchanges of one wallet go one after another and forward in time: going back to the rate of an earlier day would make
points from nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from canonical_model.errors import RejectedError
from canonical_model.ledger import AccountKind, Command, Give, HoldCommand, Move, Short, Take
from canonical_model.ports import Receipt, Record
from canonical_model.store import ledger, ledger_holds
from flows.points import store
from flows.points.exchanging import ExchangeQuote, quote_exchange
from flows.points.expiry import expires_at
from flows.points.keys import ledger_key
from flows.points.programme import ExchangeRule, Programme
from flows.points.requests import EXCHANGE, open_account
from flows.points.rulebook import PointsRulebook
from flows.points.rules import asset_ids, rules_of
from flows.points.spend import check_hold, give_back, hold_key
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, OnReject, Run, outside, step

EXCHANGED: Final = "exchanged"
OUT: Final = "out"
IN: Final = "in"
KEEP_DAYS: Final = 7
"""For how long points may wait for a provider that does not answer."""


def undo_decide(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Undo of *decide*: points that were kept are free again."""
    return give_back(run, uow) if run.results["decide"]["direction"] == OUT else {}


@step(undo=undo_decide, on_reject=OnReject.UNDO)
def decide(run: Run, uow: UnitOfWork) -> Finish | dict[str, Any]:
    """The rate of the day; within the group that is all, else the points are kept or the provider asked for its own."""
    rules, assets = rules_of(uow.connection, run.owner), asset_ids(uow.connection, run.owner)
    rule = rules.exchange(run.input["from"], run.input["to"], _happened_at(run))
    quote = quote_exchange(rule, run.input["points"])
    _check_order(run, uow, [assets[rule.from_], assets[rule.to]])
    now = datetime.now(UTC)
    decided = {
        **{name: getattr(quote, name) for name in ("give", "spread", "cleared", "get")},
        "rate": f"{rule.give}:{rule.get}",
        "provider": rule.provider,
        "rules_version": rules.version,
        "from_id": assets[rule.from_],
        "to_id": assets[rule.to],
        "lot": _lot(rules, rule, _happened_at(run)),
    }
    if rule.provider is None:
        take = Take(assets[rule.from_], run.input["holder"], quote.give)
        command = _command(run, decided, takes=(take,))
        done = ledger.apply_one(uow.connection, run.owner, run.brand, command, now=now)
        return Finish(EXCHANGED, decided | {"direction": "", "transfer_id": done.id})
    if rule.to not in rules.outside:
        return decided | {"direction": IN}
    _keep(run, uow, assets[rule.from_], quote, now)
    return decided | {"direction": OUT}


def _check_order(run: Run, uow: UnitOfWork, sides: Sequence[int]) -> None:
    """RejectedError (``exchange.out_of_order``) if the wallet exchanged either side later than this."""
    holder = run.input["holder"]
    store.one_at_a_time(uow.connection, run.owner, [holder])
    last = store.last_exchange(uow.connection, run.owner, holder, sides)
    if last is not None and _happened_at(run) < last:
        raise RejectedError(
            f"exchange {run.input['exchange_no']}: the member exchanged {run.input['from']} or {run.input['to']} at"
            f" {last.astimezone(UTC).isoformat()}; date it {last.astimezone(UTC).isoformat()} or later",
            code="exchange.out_of_order",
        )


def _lot(rules: PointsRulebook, rule: ExchangeRule, at: datetime) -> dict[str, Any] | None:
    """What the points received are like; None of an outside unit. Units from outside are borne by who sent them."""
    if rule.to in rules.outside:
        return None
    programme: Programme = rules.programme(rule.to)
    ends = expires_at(programme, at)
    return {
        "issuer": rule.provider or programme.issuer,
        "cost_micro": programme.cost_micro,
        "expires_at": ends.isoformat() if ends else None,
    }


def _keep(run: Run, uow: UnitOfWork, asset_id: int, quote: ExchangeQuote, now: datetime) -> None:
    command = HoldCommand(
        key=hold_key(run),
        asset_id=asset_id,
        holder=run.input["holder"],
        amount=quote.give,
        happened_at=_happened_at(run),
        expires_at=now + timedelta(days=KEEP_DAYS),
        reference=run.input["exchange_no"],
    )
    ledger_holds.hold(uow.connection, run.owner, run.brand, command, now=now)


def _happened_at(run: Run) -> datetime:
    return datetime.fromisoformat(run.input["happened_at"])


def _writer(run: Run, uow: UnitOfWork) -> str:
    decided = run.results["decide"]
    return f"{decided['provider']}.{'credit' if decided['direction'] == OUT else 'debit'}"


def _data_key(run: Run, uow: UnitOfWork) -> int:
    return int(run.input["account"]["key_id"])


def _moved(run: Run, uow: UnitOfWork, receipt: Receipt) -> dict[str, Any]:
    return {"document": receipt.outside_id}


@outside(_writer, answered=_moved, on_reject=OnReject.UNDO, pivot=True, data_key=_data_key)
def move_outside(run: Run, uow: UnitOfWork) -> Record:
    """The provider moves its units, under our reference."""
    decided = run.results["decide"]
    is_out = decided["direction"] == OUT
    if is_out:
        check_hold(run, uow)
    return {
        "reference": run.business_key,
        "account": open_account(uow, run.input["account"]),
        "points": decided["get"] if is_out else decided["give"],
        "happened_at": run.input["happened_at"],
        "programme": run.input["to"] if is_out else run.input["from"],
    }


@step()
def settle(run: Run, uow: UnitOfWork) -> Finish:
    """What the provider moved is booked. What it credited stays credited: points that the member has no longer are
    owed."""
    decided, now = run.results["decide"], datetime.now(UTC)
    command = _command(run, decided)
    told = {"document": run.results["move_outside"]["document"]}
    if decided["direction"] == IN:
        done = ledger.apply_one(uow.connection, run.owner, run.brand, command, now=now)
        return Finish(EXCHANGED, told | {"transfer_id": done.id})
    try:
        done = ledger_holds.post_hold(uow.connection, run.owner, run.brand, hold_key(run), command, now=now)
    except RejectedError as error:
        if error.code != "points.hold_ended":
            raise
        take = Take(decided["from_id"], run.input["holder"], decided["give"], Short.ARREARS)
        anew = _command(run, decided, takes=(take,))
        done = ledger.apply_one(uow.connection, run.owner, run.brand, anew, now=now)
    return Finish(EXCHANGED, told | {"transfer_id": done.id})


def _command(run: Run, decided: Mapping[str, Any], takes: tuple[Take, ...] = ()) -> Command:
    """The transfer; without ``takes``, those of what is kept or of the provider's own units are left to the caller."""
    from_, to, lot = run.input["from"], run.input["to"], decided["lot"]
    moves = [
        Move(decided["from_id"], AccountKind.CLEARING, to, decided["cleared"]),
        Move(decided["to_id"], AccountKind.CLEARING, from_, -decided["get"]),
    ]
    if decided["spread"]:
        moves.append(Move(decided["from_id"], AccountKind.SPREAD, to, decided["spread"]))
    if decided.get("direction") == IN:
        moves.append(Move(decided["from_id"], AccountKind.OUTSIDE, decided["provider"], -decided["give"]))
    if lot is None:
        moves.append(Move(decided["to_id"], AccountKind.OUTSIDE, decided["provider"], decided["get"]))
    return Command(
        key=ledger_key("exchange", run.business_key),
        kind="exchange",
        happened_at=_happened_at(run),
        takes=takes,
        gives=(_give(run, decided, lot),) if lot else (),
        moves=tuple(moves),
        reference=run.input["exchange_no"],
        rules_version=decided["rules_version"],
        detail={
            **{name: decided[name] for name in ("give", "spread", "get", "rate", "provider")},
            "from": from_,
            "to": to,
            **run.results.get("move_outside", {}),
        },
    )


def _give(run: Run, decided: Mapping[str, Any], lot: Mapping[str, Any]) -> Give:
    ends = datetime.fromisoformat(lot["expires_at"]) if lot["expires_at"] else None
    return Give(decided["to_id"], run.input["holder"], decided["get"], lot["issuer"], lot["cost_micro"], ends)


EXCHANGE_POINTS: Final = Flow(EXCHANGE, version=1, steps=(decide, move_outside, settle))
