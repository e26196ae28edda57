"""What points pay for."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from canonical_model.common import MAX_MINOR, MAX_QUANTITY
from canonical_model.errors import RejectedError
from flows.points.dates import local_date
from flows.points.programme import Programme, SpendRule
from flows.points.whole import check_whole


@dataclass(frozen=True, slots=True)
class SpendQuote:
    """``points`` pay ``worth_minor`` of the amount; ``cash_minor`` is left to pay."""

    points: int
    worth_minor: int
    cash_minor: int


def quote_spend(
    programme: Programme, amount_minor: int, wanted_points: int | None, available: int, happened_at: datetime
) -> SpendQuote:
    """What ``wanted_points`` pay of an amount; without them, the most that may be spent, and none that pays nothing.

    RejectedError names the limit: ``spend.no_rule``, ``spend.insufficient``, ``spend.min_points``,
    ``spend.multiple_of``, ``spend.max_share``; ``points.number`` for what is no whole number.
    """
    check_whole("amount_minor", amount_minor, MAX_MINOR)
    check_whole("available", available, MAX_QUANTITY)
    day = local_date(programme.zone, happened_at)
    rule = next((rule for rule in programme.spend if rule.covers(day)), None)
    if rule is None:
        raise RejectedError(
            f"{programme.name} cannot be spent on {day}; add a spend rule for that day", code="spend.no_rule"
        )
    if wanted_points is None:
        points = _most(rule, amount_minor, available)
        _check_least(programme, rule, points)
    else:
        check_whole("wanted_points", wanted_points, MAX_QUANTITY)
        points = wanted_points
        _check_wanted(programme, rule, points, amount_minor, available)
    worth = _worth(rule, points)
    return SpendQuote(points, worth, amount_minor - worth)


def _worth(rule: SpendRule, points: int) -> int:
    return points * 100 // rule.points_per_100_minor


def _most(rule: SpendRule, amount_minor: int, available: int) -> int:
    """The fewest points that pay the most allowed, in whole multiples."""
    step = rule.multiple_of
    payable = int(amount_minor * rule.max_share)
    # worth(p) <= payable  <=>  p * 100 < (payable + 1) * points_per_100_minor
    allowed = ((payable + 1) * rule.points_per_100_minor - 1) // 100
    points = min(allowed, available) // step * step
    needed = -(-_worth(rule, points) * rule.points_per_100_minor // 100)
    fewest = -(-needed // step) * step
    least = ceil(rule.min_points / step) * step
    return points if points < least else max(fewest, least)


def _check_wanted(programme: Programme, rule: SpendRule, points: int, amount_minor: int, available: int) -> None:
    if points > available:
        raise RejectedError(
            f"{points:,} points of {programme.name} are wanted and {available:,} can be spent; spend fewer",
            code="spend.insufficient",
            available=available,
        )
    if points % rule.multiple_of:
        raise RejectedError(
            f"points of {programme.name} are spent in multiples of {rule.multiple_of:,}; {points:,} is none",
            code="spend.multiple_of",
            multiple_of=rule.multiple_of,
        )
    _check_least(programme, rule, points)
    if _worth(rule, points) > int(amount_minor * rule.max_share):
        most = _most(rule, amount_minor, available)
        raise RejectedError(
            f"{points:,} points of {programme.name} pay more of the amount than points may; "
            f"spend at most {most:,} here",
            code="spend.max_share",
            most=most,
        )


def _check_least(programme: Programme, rule: SpendRule, points: int) -> None:
    if points < rule.min_points or not _worth(rule, points):
        least = max(rule.min_points, -(-rule.points_per_100_minor // 100))
        raise RejectedError(
            f"at least {least:,} points of {programme.name} are spent at once; {points:,} are not enough",
            code="spend.min_points",
            least=least,
        )
