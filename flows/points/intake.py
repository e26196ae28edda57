"""Points entries as their sources told them go into the ledger, each once: what a source gave is an earn, what it took
a spend. A source has the last word on its own points: what a member did not have is owed.

A programme that the rulebook does not have gets an asset all the same, borne by its brand. An entry that the ledger
refuses, or that names a programme of another brand, becomes a run of ``points.take_in``, which asks a person; the
others are not held up.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import NotFoundError, RejectedError
from canonical_model.ledger import AccountKind, AssetKind, Command, Done, Give, Move, Short, Take
from canonical_model.store import ledger, points
from flows.points import store
from flows.points.keys import key_of, ledger_key
from flows.points.requests import TAKE_IN
from flows.points.rulebook import PointsRulebook
from flows.points.rules import asset_ids, rules_of
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.runs import start_runs

BATCH: Final = points.MAX_PAGE


def take_in(uow: UnitOfWork, owner: str, brand: str, *, now: datetime) -> int:
    """Put the next entries of a brand into the ledger; how many. Nothing while the group has published no rulebook."""
    rules = rules_of(uow.connection, owner)
    if not rules.version:
        return 0
    after = store.find_progress(uow.connection, owner, brand)
    entries = points.list_entries(uow.connection, owner=owner, brand=brand, after=after, limit=BATCH)
    if not entries:
        return 0
    answers = post(uow, owner, brand, rules, entries, now=now)
    refused = [entry for entry, answer in zip(entries, answers, strict=True) if isinstance(answer, RejectedError)]
    start_runs(uow, [_asked(owner, brand, entry) for entry in refused])
    store.set_progress(uow.connection, owner, brand, entries[-1]["id"])
    return len(entries)


def post(
    uow: UnitOfWork,
    owner: str,
    brand: str,
    rules: PointsRulebook,
    entries: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
) -> list[Done | RejectedError]:
    """Post entries of a brand, each all or not at all, in their order."""
    refused = {entry["id"]: error for entry in entries if (error := _refusal(brand, entry)) is not None}
    own = [entry for entry in entries if entry["id"] not in refused]
    assets = _assets(uow, owner, rules, {_programme(brand, entry) for entry in own})
    commands = [_command(rules, assets, brand, entry) for entry in own]
    done = iter(ledger.apply(uow.connection, owner, brand, commands, now=now) if commands else ())
    return [refused.get(entry["id"]) or next(done) for entry in entries]


def _asked(owner: str, brand: str, entry: Mapping[str, Any]) -> Start:
    key = key_of(entry["system"], entry["source_id"])
    return Start(TAKE_IN, owner, brand, key, {"entry_id": entry["id"]})


def _programme(brand: str, entry: Mapping[str, Any]) -> str:
    """The entry's programme; a source that names it without a brand means its own."""
    name: str = entry["programme"]
    return name if "/" in name else f"{brand}/{name}"


def _refusal(brand: str, entry: Mapping[str, Any]) -> RejectedError | None:
    """Why a source of the brand may not write the entry's programme; None if it may."""
    of_brand, _, code = _programme(brand, entry).partition("/")
    if of_brand == brand and code and "/" not in code and code.isprintable():
        return None
    return RejectedError(
        f"programme {entry['programme']!r} is none of {brand}; a source writes its own brand's alone, so correct the"
        " programme where the entry comes from",
        code="points.brand",
        field="programme",
    )


def _assets(
    uow: UnitOfWork, owner: str, rules: PointsRulebook, names: Iterable[str]
) -> dict[str, tuple[int, str, int]]:
    """Of each programme its asset, who bears new points, and what one costs them."""
    known = asset_ids(uow.connection, owner)
    found = {}
    for name in sorted(names):
        of_brand, _, code = name.partition("/")
        try:
            programme = rules.programme(name)
            issuer, cost_micro = programme.issuer, programme.cost_micro
        except NotFoundError:
            issuer, cost_micro = of_brand, 0
        if name not in known:
            known[name] = ledger.ensure_asset(uow.connection, owner, of_brand, code, AssetKind.POINTS, code)
        found[name] = (known[name], issuer, cost_micro)
    return found


def _command(
    rules: PointsRulebook, assets: Mapping[str, tuple[int, str, int]], brand: str, entry: Mapping[str, Any]
) -> Command:
    programme = _programme(brand, entry)
    asset_id, issuer, cost_micro = assets[programme]
    holder, amount = str(entry["member_id"]), abs(entry["points"])
    takes: Sequence[Take] = ()
    gives: Sequence[Give] = ()
    if entry["points"] > 0:
        gives = (Give(asset_id, holder, amount, issuer, cost_micro, entry["expires_at"]),)
        move = Move(asset_id, AccountKind.ISSUED, issuer, -amount)
    else:
        takes = (Take(asset_id, holder, amount, Short.ARREARS),)
        move = Move(asset_id, AccountKind.REDEEMED, entry["system"], amount)
    return Command(
        key=ledger_key("entry", entry["system"], entry["source_id"]),
        kind="earn" if gives else "spend",
        happened_at=entry["happened_at"],
        takes=tuple(takes),
        gives=tuple(gives),
        moves=(move,),
        reference=entry["order_no"] or "",
        rules_version=rules.version,
        detail={"programme": programme, "system": entry["system"], "source_id": entry["source_id"]},
    )
