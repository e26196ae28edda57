"""Points as people and channels read them: programmes, a member's balances, lots and journal, and why a balance is so.

Needs ``points:read``. Who speaks for a channel sees the members that they name, and nothing of the whole.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pydantic import BaseModel

from canonical_model.errors import AccessError, NotFoundError
from canonical_model.ledger import AccountKind, AssetKind
from canonical_model.store import ledger, ledger_journal, ledger_proofs, ledger_views, wallets
from flows.points import store
from flows.points.levels import growth_since, level_of, next_level
from flows.points.programme import Programme
from flows.points.rulebook import PointsRulebook
from flows.points.rules import asset_ids, asset_name, rules_of
from flows.points.store import Window
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import audit, members
from hub_api.audit import AuditFilter
from hub_api.auth import Access
from hub_api.points import holder_of

MAX_LOTS: Final = 500
MAX_CHANGES: Final = 200
MAX_DUE: Final = 12
MAX_MERGES: Final = 20
A_DAY: Final = timedelta(days=1)
VERIFY: Final = "points.verify"
SHOWN_OF_MEMBER: Final = ("system", "code", "name", "mobile", "level", "erased")


def refuse_channels(access: Access) -> None:
    """AccessError for a caller that speaks for a channel: this tells of every member."""
    if access.channel is not None:
        raise AccessError(
            f"this shows more than {access.channel}'s own; ask about a member, or with a key without a channel: scope",
            code="access.channel",
        )


def list_programmes(hub: Hub, access: Access, *, at: datetime | None = None) -> list[dict[str, Any]]:
    """Each programme of the group with what it earns, is worth and exchanges into on the day of ``at``, or today."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        rules = rules_of(uow.connection, access.owner)
    when = at or datetime.now(UTC)
    return [_programme(rules, rules.programme(name), when) for name in rules.programmes]


def read_member(hub: Hub, access: Access, name: str, *, at: datetime | None = None) -> dict[str, Any]:
    """What a member has of each programme: balances, level, and when points go. ``name``: an id or ``system:code``."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        holder, when = holder_of(uow, access, name), at or datetime.now(UTC)
        rules, assets = rules_of(uow.connection, access.owner), asset_ids(uow.connection, access.owner)
        wallet = wallets.wallet_of(uow.connection, access.owner, holder)
        return {
            "holder": holder,
            "wallet": wallets.holders_of(uow.connection, access.owner, wallet),
            "member": _member(uow, access, int(holder)),
            "programmes": [
                _balance(uow, access, rules, assets, holder, asset, balance, when)
                for asset, balance in ledger.balances_of(uow.connection, access.owner, holder, at=when)
            ],
            "merges": [
                {name: row[name] for name in ("id", "kept", "merged", "merged_at", "undone_at")}
                for row in wallets.list_merges(uow.connection, access.owner, holder, limit=MAX_MERGES)
            ],
        }


def read_lots(
    hub: Hub, access: Access, name: str, programme: str, *, open_only: bool = True, limit: int = MAX_LOTS
) -> dict[str, Any]:
    """The lots of a member's wallet in the order in which they are spent; ``cut``: there are more."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        holder, asset = _named(uow, access, name, programme)
        rows = ledger_views.list_lots(uow.connection, asset["id"], holder, open_only=open_only, limit=limit + 1)
    return {"programme": programme, "holder": holder, "items": rows[:limit], "cut": len(rows) > limit}


def read_journal(
    hub: Hub, access: Access, name: str, *, kind: str | None = None, after: int | None = None, limit: int = 50
) -> dict[str, Any]:
    """What moved a member's points, newest first, each with the lots that it filled or emptied."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        holder = holder_of(uow, access, name)
        rows = ledger_views.list_transfers(
            uow.connection, access.owner, holder=holder, kind=kind, after=after, limit=limit + 1
        )
        shown = rows[:limit]
        postings = ledger_proofs.postings_of(uow.connection, access.owner, holder, [row["id"] for row in shown])
    return {
        "items": [_entry(row, postings.get(row["id"], [])) for row in shown],
        "next": shown[-1]["id"] if len(rows) > limit else None,
    }


def read_as_of(
    hub: Hub,
    access: Access,
    name: str,
    programme: str,
    *,
    happened: datetime | None = None,
    recorded: datetime | None = None,
) -> dict[str, Any]:
    """What the members of the present wallet had by a time, as far as it was known by another."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        holder, asset = _named(uow, access, name, programme)
        holders = _holders(uow, access, holder)
        points = {each: _as_of(uow, asset, each, AccountKind.MEMBER, happened, recorded) for each in holders}
        owed = sum(_as_of(uow, asset, each, AccountKind.ARREARS, happened, recorded) for each in holders)
    return {
        "programme": programme,
        "holder": holder,
        "happened": happened,
        "recorded": recorded,
        "points": sum(points.values()),
        "arrears": -owed,
        "holders": [{"holder": each, "points": found} for each, found in points.items()],
    }


def read_why(hub: Hub, access: Access, name: str, programme: str, *, since: datetime | None = None) -> dict[str, Any]:
    """A proof of a balance: each lot that makes it up with where its points went, sums by what they were for, and what
    was recorded since ``since`` (a day ago)."""
    access.require("points", "read")
    now = datetime.now(UTC)
    from_ = since or now - A_DAY
    with hub.database.unit() as uow:
        holder, asset = _named(uow, access, name, programme)
        balance = ledger.balance(uow.connection, asset["id"], holder, at=now)
        lots = ledger_views.list_lots(uow.connection, asset["id"], holder, limit=MAX_LOTS + 1)
        went = ledger_proofs.went_for(uow.connection, [lot["id"] for lot in lots[:MAX_LOTS]])
        sums = ledger_proofs.sums_by_kind(uow.connection, access.owner, asset["id"], holder)
        changes = ledger_proofs.recorded_since(
            uow.connection, access.owner, asset["id"], holder, from_, limit=MAX_CHANGES + 1
        )
        holders = _holders(uow, access, holder)
        was = sum(_as_of(uow, asset, each, AccountKind.MEMBER, None, from_) for each in holders)
    return {
        "programme": programme,
        "holder": holder,
        "at": now,
        "posted": balance.posted,
        "held": balance.held,
        "available": balance.available,
        "due": balance.posted - balance.held - balance.available,
        "arrears": balance.arrears,
        "lots": [{**_lot(lot), "went": went.get(lot["id"], [])} for lot in lots[:MAX_LOTS]],
        "by_kind": sums,
        "adds_up": balance.posted == sum(row["points"] for row in sums)
        and (len(lots) > MAX_LOTS or balance.posted == sum(lot["remaining"] for lot in lots)),
        "since": {"at": from_, "was": was, "is": balance.posted, "changes": changes[:MAX_CHANGES]},
        "cut": len(lots) > MAX_LOTS or len(changes) > MAX_CHANGES,
    }


def read_transfer(hub: Hub, access: Access, transfer_id: int) -> dict[str, Any]:
    """A transfer with its postings, lots, rule and reversals. NotFoundError unless it is the caller's brand's, or
    touches one of its programmes or members."""
    access.require("points", "read")
    refuse_channels(access)
    with hub.database.unit() as uow:
        found = ledger_views.get_transfer(uow.connection, access.owner, transfer_id)
        if found["brand"] != access.brand and not _touches(uow, access, found["postings"]):
            raise NotFoundError(
                f"there is no transfer {transfer_id}; look for it by its reference", code="points.transfer_unknown"
            )
    return found


def list_transfers(
    hub: Hub,
    access: Access,
    *,
    reference: str | None = None,
    kind: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> dict[str, Any]:
    """The brand's transfers without postings, newest first."""
    access.require("points", "read")
    refuse_channels(access)
    with hub.database.unit() as uow:
        rows = ledger_views.list_transfers(
            uow.connection,
            access.owner,
            brand=access.brand,
            reference=reference,
            kind=kind,
            after=after,
            limit=limit,
        )
    return {"items": rows, "next": rows[-1]["id"] if len(rows) == limit else None}


def list_issuers(hub: Hub, access: Access) -> list[dict[str, Any]]:
    """Of each of the brand's programmes, who bears its points: issued, what became of them, and what is outstanding."""
    access.require("points", "read")
    refuse_channels(access)
    with hub.database.unit() as uow:
        own = [asset for asset in ledger.assets(uow.connection, access.owner) if _is_own(access, asset)]
        return [
            {
                "programme": asset_name(asset["brand"], asset["code"]),
                **row,
                "liability_minor": int(row.pop("liability_micro")) // 1_000_000,
            }
            for asset in own
            for row in ledger_views.issuer_statement(uow.connection, asset["id"])
        ]


def list_due(hub: Hub, access: Access, *, months: int = MAX_DUE) -> list[Row]:
    """Points of the brand's programmes by the month in which they go: ``programme``, ``month`` (None: never),
    ``points``; what is later than so many months is in the last."""
    access.require("points", "read")
    refuse_channels(access)
    with hub.database.unit() as uow:
        zone = rules_of(uow.connection, access.owner).zone.key
        return ledger_proofs.due_by_month(uow.connection, access.owner, access.brand, zone=zone, months=months)


def read_proofs(hub: Hub, access: Access) -> dict[str, Any]:
    """How far the journal is sealed, and when the books were last verified: ``seal``, ``verified`` (None: never)."""
    access.require("points", "read")
    refuse_channels(access)
    with hub.database.unit() as uow:
        seals = ledger_journal.list_seals(uow.connection, access.owner, limit=1)
        wanted = AuditFilter(access.owner, access.brand, action=VERIFY)
        entries = audit.list_entries(uow, wanted, limit=1)
    seal = {name: seals[0][name] for name in ("seq", "entries", "hash", "sealed_at")} if seals else None
    verified = {"at": entries[0]["at"], "by": entries[0]["actor"], **entries[0]["detail"]} if entries else None
    return {"seal": seal, "verified": verified}


def _programme(rules: PointsRulebook, programme: Programme, at: datetime) -> dict[str, Any]:
    day = at.astimezone(programme.zone).date()
    rates = [rule for rule in rules.exchanges if rule.from_ == programme.name and rule.covers(day)]
    hidden = {"name", "zone", "earn", "spend"}
    return {
        "name": programme.name,
        "rules_version": rules.version,
        **programme.model_dump(mode="json", by_alias=True, exclude=hidden),
        "earn": [_table(rule) for rule in programme.earn if rule.covers(day)],
        "spend": [_table(rule) for rule in programme.spend if rule.covers(day)],
        "exchange": [_table(rule) for rule in rates],
    }


def _table(rule: BaseModel) -> dict[str, Any]:
    """A rule as the document says it: what it does not say is left out."""
    fields = type(rule).model_fields
    said = [name for name in fields if name in rule.model_fields_set]
    return {fields[name].alias or name: _plain(getattr(rule, name)) for name in said}


def _plain(value: Any) -> Any:
    match value:
        case frozenset():
            return sorted(value)
        case Fraction():
            return str(Decimal(value.numerator) / Decimal(value.denominator))
        case date():
            return value.isoformat()
    return value


def _member(uow: UnitOfWork, access: Access, member_id: int) -> dict[str, Any] | None:
    """The member masked, for those who may see members."""
    if access.channel is not None or not access.covers("members:read"):
        return None
    found = members.read_member(uow, access, member_id)
    return {name: found[name] for name in SHOWN_OF_MEMBER if name in found}


def _balance(
    uow: UnitOfWork,
    access: Access,
    rules: PointsRulebook,
    assets: Mapping[str, int],
    holder: str,
    asset: Row,
    balance: Any,
    at: datetime,
) -> dict[str, Any]:
    name = asset_name(asset["brand"], asset["code"])
    return {
        "programme": name,
        "title": asset["title"] or name,
        "posted": balance.posted,
        "held": balance.held,
        "available": balance.available,
        "arrears": balance.arrears,
        "next_expiry": ledger_proofs.next_due(uow.connection, access.owner, asset["id"], holder, at=at),
        **_level(uow, access, rules, assets, holder, name, at),
    }


def _level(
    uow: UnitOfWork,
    access: Access,
    rules: PointsRulebook,
    assets: Mapping[str, int],
    holder: str,
    name: str,
    at: datetime,
) -> dict[str, Any]:
    if name not in rules.programmes or not rules.programme(name).levels or rules.programme(name).growth not in assets:
        return {"level": None, "growth": None, "next_level": None}
    programme = rules.programme(name)
    window = Window(holder, assets[str(programme.growth)], growth_since(programme, at), at)
    (growth,) = store.growth_of(uow.connection, access.owner, [window])
    above = next_level(programme, growth)
    return {
        "level": level_of(programme, growth),
        "growth": growth,
        "next_level": {"name": above.name, "missing": above.missing} if above else None,
    }


def _named(uow: UnitOfWork, access: Access, name: str, programme: str) -> tuple[str, Row]:
    return holder_of(uow, access, name), ledger.get_asset(uow.connection, access.owner, programme)


def _holders(uow: UnitOfWork, access: Access, holder: str) -> list[str]:
    wallet = wallets.wallet_of(uow.connection, access.owner, holder)
    return wallets.holders_of(uow.connection, access.owner, wallet)


def _as_of(
    uow: UnitOfWork,
    asset: Row,
    holder: str,
    kind: AccountKind,
    happened: datetime | None,
    recorded: datetime | None,
) -> int:
    return ledger_views.as_of(
        uow.connection, asset["id"], holder, kind=kind, happened_to=happened, recorded_to=recorded
    )


def _is_own(access: Access, asset: Row) -> bool:
    return bool(asset["brand"] == access.brand and asset["kind"] == AssetKind.POINTS)


def _touches(uow: UnitOfWork, access: Access, postings: Sequence[Mapping[str, Any]]) -> bool:
    if any(posting["asset"].partition("/")[0] == access.brand for posting in postings):
        return True
    kinds = (AccountKind.MEMBER, AccountKind.ARREARS)
    holders = [posting["holder"] for posting in postings if posting["account_kind"] in kinds]
    return ledger_proofs.is_of_brand(uow.connection, access.owner, access.brand, holders)


def _entry(row: Row, postings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A transfer with what the wallet got and gave of each programme."""
    sums: defaultdict[str, int] = defaultdict(int)
    for posting in postings:
        sums[posting["programme"]] += posting["points"]
    changed = [{"programme": name, "points": points} for name, points in sums.items()]
    return {**row, "changes": changed, "postings": list(postings)}


def _lot(lot: Row) -> dict[str, Any]:
    return {**lot, "lot_id": lot["id"]}
