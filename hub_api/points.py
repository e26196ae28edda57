"""What a caller may ask of points: sales, returns, spends, refunds, exchanges, each a run; and what people put right.

A brand's caller earns and spends in the brand's own programmes; an exchange has one of them on a side. Who speaks for a
channel does so for that channel alone, and names members as their systems do (``crm:C1``).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.errors import AccessError, ConflictError, NotFoundError, RejectedError
from canonical_model.ledger import AccountKind, Command, Give, Move, Take
from canonical_model.store import crosswalk, ledger, ledger_views, members, wallets
from flows.points import requests
from flows.points.expiry import expires_at
from flows.points.keys import ledger_key
from flows.points.rules import rules_of
from flows.points.spend import LOST
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from flows.runtime.flow import ERROR
from flows.runtime.revisions import check_reason
from flows.runtime.runs import ENDED, Started, find_run, get_run
from hub_api import audit
from hub_api.auth import Access
from hub_api.unmasking import refuse_numbers

MAX_BIGINT_DIGITS: Final = 18
ADJUST: Final = "adjust"

_Start = Callable[[UnitOfWork, str, str, Mapping[str, Any]], Started]
DEEDS: Final[Mapping[str, _Start]] = {
    "earn": requests.start_earn,
    "return": requests.start_claw_back,
    "spend": requests.start_spend,
    "refund": requests.start_refund,
    "exchange": requests.start_exchange,
}
FLOWS: Final = frozenset(
    {requests.EARN, requests.CLAW_BACK, requests.SPEND, requests.REFUND, requests.EXCHANGE, requests.EXPIRE}
)
OF_CHANNELS: Final = frozenset({"earn", "return", "spend"})
NOT_OF_CHANNELS: Final = frozenset({"exchange"})


def holder_of(uow: UnitOfWork, access: Access, name: str) -> str:
    """The holder that ``name`` means: a member's id, or ``system:code``. NotFoundError (``member.unknown``).

    AccessError (``points.by_name``): who speaks for a channel names members by their code.
    """
    scheme, colon, code = name.partition(":")
    if colon:
        named = (access.owner, access.brand)
        found = crosswalk.resolve(
            uow.connection, owner=named[0], brand=named[1], kind="member", scheme=scheme, outside_ids=[code]
        )
        if code not in found:
            raise NotFoundError(f"{scheme} has no member {code!r}; correct the code", code="member.unknown")
        return str(members.get_member(uow.connection, *named, found[code])["id"])
    if access.channel is not None:
        raise AccessError(
            f"who speaks for {access.channel} names members by their code, such as crm:C1", code="points.by_name"
        )
    if not (name.isascii() and name.isdecimal() and len(name) <= MAX_BIGINT_DIGITS):
        raise NotFoundError(
            f"there is no member {name!r}; give our id, or system:code such as crm:C1", code="member.unknown"
        )
    return str(members.get_member(uow.connection, access.owner, access.brand, int(name))["id"])


def ask(hub: Hub, access: Access, deed: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Start the run of a deed (a key of DEEDS); the same again finds the same run. What became of it so far.

    ``holder`` in the body may be ``system:code``. Raises what the deed's ``start_…`` raises, and AccessError
    (``points.brand``, ``access.channel``).
    """
    access.require("points", "write")
    with hub.database.unit() as uow:
        asked = _allowed(uow, access, deed, body)
        started = DEEDS[deed](uow, access.owner, access.brand, asked)
        uow.commit()
        return outcome(get_run(uow, started.run_id), repeated=not started.new)


def read_outcome(hub: Hub, access: Access, run_id: int) -> dict[str, Any]:
    """What became of a run of points so far. NotFoundError outside the caller's brand."""
    with hub.database.unit() as uow:
        row = get_run(uow, run_id)
    if (row["owner"], row["brand"]) != (access.owner, access.brand) or row["flow"] not in FLOWS:
        raise NotFoundError(f"there is no run {run_id} of points", code="run.unknown")
    return outcome(row, repeated=True)


def outcome(row: Row, *, repeated: bool = False) -> dict[str, Any]:
    """A run of points as a caller reads it: its state, and the points and transfers that came of it."""
    told: dict[str, Any] = {}
    for result in row["results"].values():
        if isinstance(result, dict):
            told |= {name: value for name, value in result.items() if name in _TOLD}
    ids = told.pop("transfers", None) or ([told["transfer_id"]] if told.get("transfer_id") else [])
    error = row["error"] if row["state"] == "parked" else row["results"].get(ERROR)
    if "lost" in told:
        error = {"code": "points.insufficient", "detail": told["lost"]}
    return {
        "run_id": row["id"],
        "state": row["state"],
        "outcome": row["outcome"] or None,
        "repeated": repeated,
        "points": told.get("points"),
        "give": told.get("give"),
        "get": told.get("get"),
        "lots": told.get("lots"),
        "transfers": ids,
        "error": {"code": str(error.get("code", "")), "detail": str(error.get("detail", ""))} if error else None,
    }


def is_over(told: Mapping[str, Any]) -> bool:
    """Whether a run goes on by itself no more."""
    return told["state"] in (*ENDED, "parked")


def refusal(told: Mapping[str, Any]) -> ConflictError | None:
    """What to answer for a run that was refused and took everything back; None for any other."""
    if told["state"] != "undone" and told["outcome"] != LOST:
        return None
    error = told["error"] or {"code": "points.refused", "detail": "it was refused, and nothing is changed"}
    return ConflictError(error["detail"], code=error["code"] or "points.refused")


def require_whole_brand(access: Access, target: str) -> None:
    """AccessError unless the caller has ``points:{target}`` and speaks for no one channel (``access.channel``)."""
    access.require("points", target)
    _refuse_channel(access)


def own_programme(access: Access, name: str) -> None:
    """AccessError (``points.brand``) unless the programme is one of the caller's brand."""
    if name.partition("/")[0] != access.brand or "/" not in name:
        raise AccessError(f"{name} is no programme of {access.brand}; ask with a key of its brand", code="points.brand")


def adjust(
    hub: Hub, access: Access, *, number: str, programme: str, holder: str, points: int, reason: str
) -> dict[str, Any]:
    """Give ``points`` to a member, or take them if negative, once for each ``number``; audited with its reason.

    RejectedError (``points.insufficient``, ``points.amount``, ``reason.short``, ``reason.personal``), ConflictError.
    """
    require_whole_brand(access, "adjust")
    own_programme(access, programme)
    check_reason(reason)
    refuse_numbers(reason)
    with hub.database.unit() as uow:
        whose = holder_of(uow, access, holder)
        told = {"programme": programme, "holder": whose, "points": points}
        key = ledger_key(ADJUST, number)
        known = ledger_views.find_transfer(uow.connection, access.owner, access.brand, key)
        if known is not None:
            if known["detail"] != told:
                raise ConflictError(f"{number} adjusted something else; take a new number", code="points.key_conflict")
            return {"transfer_id": known["id"], "repeated": True}
        command = _adjustment(uow, access, key, number, told)
        done = ledger.apply_one(uow.connection, access.owner, access.brand, command, now=datetime.now(UTC))
        detail = {"points": points, "programme": programme, "holder": whose, "reason": reason.strip()}
        audit.record(uow, access, "points.adjust", f"transfer:{done.id}", detail)
        uow.commit()
    return {"transfer_id": done.id, "repeated": done.repeated}


def merge(hub: Hub, access: Access, *, number: str, kept: str, merged: str, reason: str) -> dict[str, Any]:
    """Let two members spend from one wallet, once for each ``number``; audited. The lots stay whose they are."""
    require_whole_brand(access, "adjust")
    check_reason(reason)
    refuse_numbers(reason)
    with hub.database.unit() as uow:
        into, out_of = (holder_of(uow, access, name) for name in (kept, merged))
        known, now = wallets.find_merge(uow.connection, access.owner, access.brand, number), datetime.now(UTC)
        merge_id = wallets.merge(uow.connection, access.owner, access.brand, number, into, out_of, now=now)
        if known is None:
            detail = {"kept": into, "merged": out_of, "reason": reason.strip()}
            audit.record(uow, access, "points.merge", f"merge:{merge_id}", detail)
        uow.commit()
    return {"merge_id": merge_id, "kept": into, "merged": out_of}


def unmerge(hub: Hub, access: Access, merge_id: int, *, reason: str = "") -> dict[str, Any]:
    """Give each member of a merge a wallet of their own again; audited. Twice is once. NotFoundError."""
    require_whole_brand(access, "adjust")
    refuse_numbers(reason)
    with hub.database.unit() as uow:
        now = datetime.now(UTC)
        holders = wallets.unmerge(uow.connection, access.owner, access.brand, merge_id, now=now)
        if holders:
            detail = {"holders": holders, "reason": reason.strip()}
            audit.record(uow, access, "points.unmerge", f"merge:{merge_id}", detail)
        uow.commit()
    return {"merge_id": merge_id, "holders": holders}


def expire(hub: Hub, access: Access, as_of: str) -> int:
    """Start the expiry of what is due by a business day; its run's id. Needs ``points:adjust``; audited."""
    require_whole_brand(access, "adjust")
    with hub.database.unit() as uow:
        started = requests.start_expire(uow, access.owner, access.brand, {"as_of": as_of})
        if started.new:
            audit.record(uow, access, "points.expire", f"run:{started.run_id}", {"as_of": as_of})
        uow.commit()
    return started.run_id


def _allowed(uow: UnitOfWork, access: Access, deed: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the flow takes it, if the caller may ask for it."""
    asked = dict(body)
    if "programme" in asked:
        own_programme(access, asked["programme"])
    if deed == "exchange" and access.brand not in (asked[side].rpartition("/")[0] for side in ("from", "to")):
        raise AccessError(
            f"neither side is a programme of {access.brand}; ask with a key of one's brand", code="points.brand"
        )
    if "holder" in asked:
        asked["holder"] = holder_of(uow, access, asked["holder"])
    if access.channel is not None:
        _check_channel(uow, access, deed, asked)
    return asked


def _refuse_channel(access: Access) -> None:
    if access.channel is not None:
        raise AccessError(
            f"this key speaks for {access.channel} alone; take one without a channel, which speaks for the brand",
            code="access.channel",
        )


def _check_channel(uow: UnitOfWork, access: Access, deed: str, asked: dict[str, Any]) -> None:
    """A channel asks for its own sales alone, whether it names itself or not."""
    if deed in NOT_OF_CHANNELS:
        _refuse_channel(access)
    if deed in OF_CHANNELS:
        if asked.get("channel", "-") not in ("-", access.channel):
            raise AccessError(f"this key speaks for {access.channel}; leave the channel out", code="access.channel")
        asked["channel"] = access.channel
    if deed == "refund":
        key = requests.spend_key(access.brand, asked["order_no"])
        spend = find_run(uow, access.owner, access.brand, requests.SPEND, key)
        if spend is None or spend["input"].get("channel") != access.channel:
            raise NotFoundError(
                f"order_no: {access.channel} spent nothing under {asked['order_no']!r}; correct the number",
                code="points.spend_unknown",
            )


def _adjustment(uow: UnitOfWork, access: Access, key: str, number: str, told: Mapping[str, Any]) -> Command:
    rules, now, points = rules_of(uow.connection, access.owner), datetime.now(UTC), told["points"]
    programme = rules.programme(told["programme"])
    asset_id = ledger.get_asset(uow.connection, access.owner, programme.name)["id"]
    if not points:
        raise RejectedError("points: an adjustment gives or takes at least 1", code="points.amount")
    give = Give(asset_id, told["holder"], points, programme.issuer, programme.cost_micro, expires_at(programme, now))
    return Command(
        key=key,
        kind=ADJUST,
        happened_at=now,
        takes=(Take(asset_id, told["holder"], -points),) if points < 0 else (),
        gives=(give,) if points > 0 else (),
        moves=(Move(asset_id, AccountKind.ISSUED, programme.issuer, -points),),
        reference=number,
        rules_version=rules.version,
        detail=dict(told),
    )


_TOLD: Final = frozenset({"points", "give", "get", "lots", "lost", "transfer_id", "transfers"})
