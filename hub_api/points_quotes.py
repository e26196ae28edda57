"""What points would come of a sale, pay of an amount, or become in another programme; nothing is changed.

A quote promises nothing: what counts is what the run finds. Needs ``points:read``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from canonical_model.store import ledger
from flows.points.earning import EarnLine, EarnOrder, Standing
from flows.points.earning import earn as earn_by_rules
from flows.points.exchanging import quote_exchange
from flows.points.rules import asset_ids, rules_of
from flows.points.spending import quote_spend
from flows.points.standings import Sale, Standings
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.points import holder_of


def earn(
    hub: Hub,
    access: Access,
    *,
    programme: str,
    lines: Sequence[EarnLine],
    holder: str | None = None,
    channel: str = "-",
    happened_at: datetime | None = None,
) -> dict[str, Any]:
    """What a sale would earn, by line and rule; for nobody in particular without ``holder``, so by no level or cap."""
    access.require("points", "read")
    at = happened_at or datetime.now(UTC)
    with hub.database.unit() as uow:
        rules, assets = rules_of(uow.connection, access.owner), asset_ids(uow.connection, access.owner)
        asked = rules.programme(programme)
        standing = Standing()
        if holder is not None:
            growth_id = assets.get(asked.growth) if asked.growth else None
            sale = Sale(asked, assets[programme], growth_id, holder_of(uow, access, holder), at)
            standing = Standings(uow.connection, access.owner, [sale]).of(0)
    earned = earn_by_rules(asked, EarnOrder("-", access.channel or channel, at, tuple(lines)), standing)
    return {
        "programme": programme,
        "points": earned.points,
        "growth": earned.growth,
        "level": standing.level,
        "expires_at": earned.expires_at,
        "rules_version": rules.version,
        "lines": [
            {
                "line_no": line.line_no,
                "points": line.points,
                "rules": [{"rule": part.rule, "points": part.points, "issuer": part.issuer} for part in line.parts],
            }
            for line in earned.lines
        ],
    }


def spend(
    hub: Hub,
    access: Access,
    *,
    programme: str,
    holder: str,
    amount_minor: int,
    points: int | None = None,
    happened_at: datetime | None = None,
) -> dict[str, Any]:
    """What ``points`` of a member pay of an amount, or the fewest that pay the most allowed. RejectedError names the
    limit (``spend.…``)."""
    access.require("points", "read")
    at = happened_at or datetime.now(UTC)
    with hub.database.unit() as uow:
        rules = rules_of(uow.connection, access.owner)
        asked = rules.programme(programme)
        asset_id = ledger.get_asset(uow.connection, access.owner, programme)["id"]
        balance = ledger.balance(uow.connection, asset_id, holder_of(uow, access, holder), at=at)
    quote = quote_spend(asked, amount_minor, points, max(balance.available, 0), at)
    return {
        "programme": programme,
        "points": quote.points,
        "worth_minor": quote.worth_minor,
        "cash_minor": quote.cash_minor,
        "available": balance.available,
        "rules_version": rules.version,
    }


def exchange(
    hub: Hub, access: Access, *, from_: str, to: str, points: int, happened_at: datetime | None = None
) -> dict[str, Any]:
    """What ``points`` become at the rate of the day. RejectedError names the limit (``exchange.…``)."""
    access.require("points", "read")
    with hub.database.unit() as uow:
        rules = rules_of(uow.connection, access.owner)
    rule = rules.exchange(from_, to, happened_at or datetime.now(UTC))
    quote = quote_exchange(rule, points)
    return {
        "from": from_,
        "to": to,
        "give": quote.give,
        "spread": quote.spread,
        "get": quote.get,
        "rate": f"{rule.give}:{rule.get}",
        "provider": rule.provider,
        "rules_version": rules.version,
    }
