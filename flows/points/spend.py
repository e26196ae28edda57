"""``points.spend``: goods of a supplier for points and cash.

1. *hold*: the points are kept; too few, and nothing happens.
2. *reserve*: the supplier keeps the goods, for less long than we keep the points. A refusal gives the points back.
3. *confirm*: the supplier's yes is the pivot. If the goods lapsed meanwhile, or the points did, all is taken back.
4. *post*: what was kept is spent. Should the points have been given back in between, they are taken anew; a member who
   has them no longer loses the goods: *take_goods_back* asks the supplier, and a refusal of that asks a person.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from canonical_model.errors import RejectedError
from canonical_model.ledger import AccountKind, Command, HoldCommand, Move, Take
from canonical_model.ports import Receipt, Record
from canonical_model.store import ledger, ledger_holds
from flows.points.keys import ledger_key
from flows.points.requests import SPEND
from flows.points.rules import rules_of
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, OnReject, OutsideStep, Run, outside, step

SPENT: Final = "spent"
LOST: Final = "lost"
GOODS_SHARE: Final = 0.75
"""The share of the points' time for which the supplier keeps the goods."""
MAX_LINES_DETAIL: Final = 100


def hold_key(run: Run) -> str:
    """What names the points that a run keeps."""
    return ledger_key("hold", run.flow, run.business_key)


def give_back(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Undo of *hold*: the points are free again, if they are not already."""
    freed = ledger_holds.void_hold(uow.connection, run.owner, run.brand, hold_key(run), now=datetime.now(UTC))
    return {"freed": freed}


@step(undo=give_back, on_reject=OnReject.UNDO)
def hold(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Keep the points."""
    rules = rules_of(uow.connection, run.owner)
    programme = rules.programme(run.input["programme"])
    asset_id = ledger.get_asset(uow.connection, run.owner, programme.name)["id"]
    now = datetime.now(UTC)
    command = HoldCommand(
        key=hold_key(run),
        asset_id=asset_id,
        holder=run.input["holder"],
        amount=run.input["points"],
        happened_at=datetime.fromisoformat(run.input["happened_at"]),
        expires_at=now + timedelta(seconds=programme.hold_s),
        reference=run.input["order_no"],
    )
    ledger_holds.hold(uow.connection, run.owner, run.brand, command, now=now)
    goods_until = now + timedelta(seconds=programme.hold_s * GOODS_SHARE)
    return {"asset_id": asset_id, "goods_until": goods_until.isoformat(), "rules_version": rules.version}


def check_hold(run: Run, uow: UnitOfWork) -> None:
    """RejectedError unless the run's points are still kept."""
    kept = ledger_holds.find_hold(uow.connection, run.owner, run.brand, hold_key(run))
    if kept is None or kept["state"] != "active":
        raise RejectedError(
            f"{run.business_key}: the points are no longer kept; ask again under another number",
            code="points.hold_ended",
        )


def _writer(deed: str) -> Any:
    return lambda run, uow: f"{run.input['supplier']}.{deed}"


def _reserved(run: Run, uow: UnitOfWork, receipt: Receipt) -> dict[str, Any]:
    return {"document": receipt.outside_id, **receipt.detail}


def _document(run: Run) -> dict[str, str]:
    return {"order_no": run.business_key, "document": run.results["reserve"]["document"]}


def _release(run: Run, uow: UnitOfWork) -> Record:
    """The supplier keeps the goods no longer."""
    return _document(run)


_CANCEL: Final = OutsideStep(name="reserve", writer=_writer("cancel"), call=_release)


@outside(_writer("reserve"), answered=_reserved, on_reject=OnReject.UNDO, undo_outside=_CANCEL)
def reserve(run: Run, uow: UnitOfWork) -> Record:
    """The supplier is to keep the goods; it knows the order by our brand and number."""
    return {
        "order_no": run.business_key,
        "member_ref": run.input["holder"],
        "region_code": run.input["region_code"],
        "lines": run.input["lines"],
        "expires_at": run.results["hold"]["goods_until"],
    }


@outside(_writer("confirm"), on_reject=OnReject.UNDO, pivot=True)
def confirm(run: Run, uow: UnitOfWork) -> Record:
    """The goods are the member's."""
    check_hold(run, uow)
    return _document(run)


@step()
def post(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Spend what was kept, or as much anew."""
    now, command = datetime.now(UTC), _command(run)
    try:
        done = ledger_holds.post_hold(uow.connection, run.owner, run.brand, hold_key(run), command, now=now)
    except RejectedError as error:
        if error.code != "points.hold_ended":
            raise
        return _anew(run, uow, command, now)
    return {"transfer_id": done.id}


def _anew(run: Run, uow: UnitOfWork, command: Command, now: datetime) -> dict[str, Any]:
    take = Take(run.results["hold"]["asset_id"], run.input["holder"], run.input["points"])
    fresh = Command(
        key=command.key,
        kind=command.kind,
        happened_at=command.happened_at,
        takes=(take,),
        moves=command.moves,
        reference=command.reference,
        rules_version=command.rules_version,
        detail=command.detail,
    )
    try:
        return {"transfer_id": ledger.apply_one(uow.connection, run.owner, run.brand, fresh, now=now).id}
    except RejectedError as error:
        if error.code != "points.insufficient":
            raise
        return {"lost": error.detail}


def _command(run: Run) -> Command:
    body = run.input
    return Command(
        key=ledger_key("spend", run.business_key),
        kind="spend",
        happened_at=datetime.fromisoformat(body["happened_at"]),
        moves=(Move(run.results["hold"]["asset_id"], AccountKind.REDEEMED, body["supplier"], body["points"]),),
        reference=body["order_no"],
        rules_version=run.results["hold"]["rules_version"],
        detail={
            "programme": body["programme"],
            "channel": body["channel"],
            "supplier": body["supplier"],
            "document": run.results["reserve"]["document"],
            "points": body["points"],
            "cash_minor": sum(line["cash_minor"] for line in body["lines"]),
            "lines": [_told(line) for line in body["lines"][:MAX_LINES_DETAIL]],
        },
    )


def _told(line: Mapping[str, Any]) -> list[Any]:
    return [line["line_no"], line["sku"], line["quantity"], line["points"], line["cash_minor"]]


def _lost_writer(run: Run, uow: UnitOfWork) -> str | None:
    return f"{run.input['supplier']}.cancel" if "lost" in run.results["post"] else None


@outside(_lost_writer)
def take_goods_back(run: Run, uow: UnitOfWork) -> Record:
    """The member has not the points any more: the goods are not theirs."""
    return _document(run)


@step()
def close(run: Run, uow: UnitOfWork) -> Finish:
    """``spent``, or ``lost`` when the goods went back."""
    return Finish(LOST if "lost" in run.results["post"] else SPENT, dict(run.results["post"]))


SPEND_POINTS: Final = Flow(SPEND, version=1, steps=(hold, reserve, confirm, post, take_goods_back, close))
