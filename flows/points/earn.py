"""``points.earn``: a sale, or what was delivered of it, earns points by the rules of its day.

*earn*: many sales in one go, each in whole or not at all, once for its key. What each line earned, by which rule, is
kept with the transfer and with the run, where a return finds it; growth is earned beside. A sale that earns nothing
ends as ``nothing``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from canonical_model.errors import HubError, RejectedError
from canonical_model.ledger import AccountKind, Command, Give, Move
from canonical_model.store import ledger
from flows.points.earning import Earned, EarnLine, EarnOrder
from flows.points.earning import earn as earn_by_rules
from flows.points.expiry import expires_at
from flows.points.keys import ledger_key
from flows.points.programme import Programme
from flows.points.requests import EARN
from flows.points.rulebook import PointsRulebook
from flows.points.rules import asset_ids, rules_of
from flows.points.standings import Sale, Standings
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Park, Run, batch_step

BATCH: Final = 500
EARNED: Final = "earned"
NOTHING: Final = "nothing"
MAX_LINES_DETAIL: Final = 12_000


@dataclass(frozen=True, slots=True)
class _Draft:
    run: Run
    order: EarnOrder
    sale: Sale
    growth: Programme | None


@batch_step(size=BATCH)
def earn(runs: Sequence[Run], uow: UnitOfWork) -> list[Any]:
    """Reckon and post; a sale that the rules or the ledger refuse asks a person, the others are not held up."""
    companies: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        companies[run.owner, run.brand].append(index)
    answers: dict[int, Any] = {}
    # In one order in every batch: accounts are locked brand by brand.
    for (owner, brand), indexes in sorted(companies.items()):
        found = _earn_all(uow, owner, brand, [runs[index] for index in indexes])
        answers |= dict(zip(indexes, found, strict=True))
    return [answers[index] for index in range(len(runs))]


def _earn_all(uow: UnitOfWork, owner: str, brand: str, runs: Sequence[Run]) -> list[Any]:
    rules, assets = rules_of(uow.connection, owner), asset_ids(uow.connection, owner)
    answers: list[Any] = [None] * len(runs)
    drafts: dict[int, _Draft] = {}
    for index, run in enumerate(runs):
        try:
            drafts[index] = _draft(run, rules, assets)
        except RejectedError as error:
            answers[index] = _parked(error)
    standings = Standings(uow.connection, owner, [draft.sale for draft in drafts.values()])
    posted: list[tuple[int, Command, dict[str, Any]]] = []
    for position, (index, draft) in enumerate(drafts.items()):
        try:
            standing = standings.of(position)
            earned = earn_by_rules(draft.sale.programme, draft.order, standing)
        except RejectedError as error:
            answers[index] = _parked(error)
            continue
        standings.add(position, earned)
        told = _told(draft, earned, rules.version, standing.level)
        if earned.points:
            posted.append((index, _command(draft, earned, told), told))
        else:
            answers[index] = Finish(NOTHING, told)
    commands = [command for _, command, _ in posted]
    done = ledger.apply(uow.connection, owner, brand, commands, now=datetime.now(UTC)) if commands else []
    for (index, _, told), answer in zip(posted, done, strict=True):
        if isinstance(answer, RejectedError):
            answers[index] = _parked(answer)
        else:
            answers[index] = Finish(EARNED, told | {"transfer_id": answer.id})
    return answers


def _parked(error: HubError) -> Park:
    return Park(error.code, error.detail)


def _draft(run: Run, rules: PointsRulebook, assets: Mapping[str, int]) -> _Draft:
    body = run.input
    programme = rules.programme(body["programme"])
    growth = rules.programme(programme.growth) if programme.growth else None
    lines = tuple(
        EarnLine(line["line_no"], line["sku"], line["quantity"], line["amount_minor"]) for line in body["lines"]
    )
    happened_at = datetime.fromisoformat(body["happened_at"])
    order = EarnOrder(body["order_no"], body["channel"], happened_at, lines)
    growth_id = assets[growth.name] if growth else None
    sale = Sale(programme, assets[programme.name], growth_id, body["holder"], happened_at)
    return _Draft(run, order, sale, growth)


def _told(draft: _Draft, earned: Earned, version: int, level: str | None) -> dict[str, Any]:
    """What a run remembers of its earn; a return reads it."""
    return {
        "points": earned.points,
        "growth": [draft.growth.name, draft.growth.issuer, earned.growth] if draft.growth else None,
        "rules_version": version,
        "level": level,
        "campaigns": dict(earned.campaigns),
        "lines": [
            {
                "line_no": line.line_no,
                "quantity": line.quantity,
                "points": line.points,
                "parts": [list(part) for part in line.parts],
            }
            for line in earned.lines
        ],
    }


def _command(draft: _Draft, earned: Earned, told: Mapping[str, Any]) -> Command:
    sale, programme, growth = draft.sale, draft.sale.programme, draft.growth
    gives = [
        Give(sale.asset_id, sale.holder, points, issuer, programme.cost_micro, earned.expires_at)
        for issuer, points in earned.issuers
    ]
    moves = [Move(sale.asset_id, AccountKind.ISSUED, issuer, -points) for issuer, points in earned.issuers]
    if growth and sale.growth_id is not None and earned.growth:
        ends = expires_at(growth, sale.happened_at)
        gives.append(Give(sale.growth_id, sale.holder, earned.growth, growth.issuer, growth.cost_micro, ends))
        moves.append(Move(sale.growth_id, AccountKind.ISSUED, growth.issuer, -earned.growth))
    return Command(
        key=ledger_key("earn", draft.run.business_key),
        kind="earn",
        happened_at=sale.happened_at,
        gives=tuple(gives),
        moves=tuple(moves),
        reference=draft.order.order_no,
        rules_version=told["rules_version"],
        detail=_detail(draft, told),
    )


def _detail(draft: _Draft, told: Mapping[str, Any]) -> dict[str, Any]:
    """Why so many points: by line and rule; of a very long order by rule alone, the run has its lines."""
    body = draft.run.input
    detail = {
        "programme": body["programme"],
        "channel": body["channel"],
        "points": told["points"],
        "level": told["level"],
        "campaigns": told["campaigns"],
        "lines": [
            [line["line_no"], line["quantity"], line["points"], {part[0]: part[1] for part in line["parts"]}]
            for line in told["lines"]
            if line["points"]
        ],
    }
    if len(orjson.dumps(detail["lines"])) > MAX_LINES_DETAIL:
        rules: dict[str, int] = defaultdict(int)
        for line in told["lines"]:
            for part in line["parts"]:
                rules[part[0]] += part[1]
        detail |= {"lines": None, "rules": dict(rules)}
    return detail


EARN_POINTS: Final = Flow(EARN, version=1, steps=(earn,))
