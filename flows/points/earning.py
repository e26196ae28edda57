"""What an order earns, and what its returns take back. Each whole point says which rule gave it and who bears it.

rules that match ──exact──> rounded a line or an order ──campaign caps──> the best campaign ──caps──> points
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from math import lcm
from typing import Final, NamedTuple

from canonical_model.common import MAX_MINOR, MAX_QUANTITY
from canonical_model.errors import LimitError, RejectedError
from flows.points.dates import local_date
from flows.points.expiry import expires_at
from flows.points.programme import EarnRule, Programme, Rounding
from flows.points.splitting import apportion, split
from flows.points.whole import check_whole

MAX_LINES: Final = 10_000


@dataclass(frozen=True, slots=True)
class EarnLine:
    """``amount_minor`` was paid for ``quantity`` of ``sku``."""

    line_no: int
    sku: str
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class EarnOrder:
    """An order as far as it earns."""

    order_no: str
    channel: str
    happened_at: datetime
    lines: tuple[EarnLine, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """A member before the order: the level, and what was earned on the order's day and in its month, all of it under
    "" and of each campaign under its name."""

    level: str | None = None
    earned_today: Mapping[str, int] = field(default_factory=dict)
    earned_this_month: Mapping[str, int] = field(default_factory=dict)


class EarnedPart(NamedTuple):
    """Points of one line by one rule, who bears them, and the campaign of the rule ("" for none)."""

    rule: str
    points: int
    issuer: str
    campaign: str


@dataclass(frozen=True, slots=True)
class EarnedLine:
    """The points of one line; the parts sum to them."""

    line_no: int
    quantity: int
    points: int
    parts: tuple[EarnedPart, ...]


@dataclass(frozen=True, slots=True)
class Earned:
    """What an order earned: all of it, by line, and by who bears it. ``growth`` is earned beside, in the growth
    programme."""

    points: int
    growth: int
    lines: tuple[EarnedLine, ...]
    issuers: tuple[tuple[str, int], ...]
    campaigns: tuple[tuple[str, int], ...]
    expires_at: datetime | None


class Returned(NamedTuple):
    """Units of a line that came back earlier, and that come back now."""

    before: int
    now: int


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Points of one line that a return takes back; the parts sum to them."""

    line_no: int
    points: int
    parts: tuple[EarnedPart, ...]


@dataclass(frozen=True, slots=True)
class _Grant:
    """What one rule gives to each line, in the order's own sequence."""

    rule: EarnRule
    points: tuple[int, ...]

    @property
    def campaign(self) -> str:
        return self.rule.campaign or ""

    @property
    def total(self) -> int:
        return sum(self.points)


def earn(programme: Programme, order: EarnOrder, standing: Standing) -> Earned:
    """What an order earns for a member of this standing, under the rules of its day.

    RejectedError: a negative or fractional number, a line named twice, no offset. LimitError: over 10**12 points.
    """
    _check(order)
    grants = _best(_by_campaign(programme, _grants(programme, order, standing), standing))
    grants = _within(grants, _room(programme, "", standing))
    total = sum(grant.total for grant in grants)
    lines = tuple(
        _earned_line(line, [_part(programme, grant, index) for grant in grants if grant.points[index]])
        for index, line in enumerate(order.lines)
    )
    parts = [part for line in lines for part in line.parts]
    return Earned(
        points=total,
        growth=total if programme.growth else 0,
        lines=lines,
        issuers=_sums((part.issuer, part.points) for part in parts),
        campaigns=_sums((part.campaign, part.points) for part in parts if part.campaign),
        expires_at=expires_at(programme, order.happened_at),
    )


def take_back(lines: Sequence[EarnedLine], returned: Mapping[int, Returned]) -> tuple[TakenBack, ...]:
    """What the returned units of each line earned, by line number; for lines of which something comes back now.

    After k of n units, ⌈points × k ÷ n⌉ were taken back in all: 99 points over five units are 20, 20, 20, 20, 19,
    and all units returned in any order and split take back all, part by part.
    RejectedError: a line that did not earn, or more units than were bought.
    """
    known = {line.line_no: line for line in lines}
    taken = []
    for line_no, (before, now) in sorted(returned.items()):
        line = known.get(line_no)
        if line is None:
            raise RejectedError(f"line {line_no} earned nothing in this order; correct the line", code="points.no_line")
        check_whole(f"what came back of line {line_no} before", before, line.quantity)
        check_whole(f"what comes back of line {line_no} now", now, line.quantity - before)
        if now:
            taken.append(_taken(line, before, before + now))
    return tuple(taken)


def _taken(line: EarnedLine, before: int, after: int) -> TakenBack:
    if not line.points:
        return TakenBack(line.line_no, 0, ())
    weights = [part.points for part in line.parts]
    earlier, later = (apportion(-(-line.points * units // line.quantity), weights) for units in (before, after))
    parts = tuple(
        part._replace(points=more - less)
        for part, less, more in zip(line.parts, earlier, later, strict=True)
        if more > less
    )
    return TakenBack(line.line_no, sum(part.points for part in parts), parts)


def _check(order: EarnOrder) -> None:
    if len(order.lines) > MAX_LINES:
        raise LimitError(f"order {order.order_no} has over {MAX_LINES:,} lines; split it", code="points.too_many")
    seen: set[int] = set()
    for line in order.lines:
        if line.line_no in seen:
            raise RejectedError(
                f"order {order.order_no} has line {line.line_no} twice; number each once", code="points.line_twice"
            )
        seen.add(line.line_no)
        check_whole(f"quantity of line {line.line_no}", line.quantity, MAX_QUANTITY, least=1)
        check_whole(f"amount_minor of line {line.line_no}", line.amount_minor, MAX_MINOR)


def _grants(programme: Programme, order: EarnOrder, standing: Standing) -> list[_Grant]:
    """What each rule that matches gives, before caps, in the order of the rules."""
    day = local_date(programme.zone, order.happened_at)
    rules = [
        rule
        for rule in programme.earn
        if rule.covers(day)
        and (not rule.channels or order.channel in rule.channels)
        and (not rule.levels or standing.level in rule.levels)
    ]
    if not order.lines:
        return []
    base = _Exact([0] * len(order.lines), 1)
    for rule in rules:
        if rule.campaign is None and rule.points is not None:
            base = base.plus(_rate(rule, order.lines))
    return [_Grant(rule, _points(rule, order.lines, base)) for rule in rules]


class _Exact(NamedTuple):
    """Points of each line before rounding: numerators over one denominator."""

    tops: list[int]
    bottom: int

    def plus(self, other: "_Exact") -> "_Exact":
        bottom = lcm(self.bottom, other.bottom)
        mine, theirs = bottom // self.bottom, bottom // other.bottom
        return _Exact([a * mine + b * theirs for a, b in zip(self.tops, other.tops, strict=True)], bottom)


def _rate(rule: EarnRule, lines: Sequence[EarnLine]) -> _Exact:
    points = rule.points or 0
    return _Exact([line.amount_minor * points * _matches(rule, line) for line in lines], rule.per_minor or 1)


def _matches(rule: EarnRule, line: EarnLine) -> bool:
    return not rule.skus or line.sku in rule.skus


def _points(rule: EarnRule, lines: Sequence[EarnLine], base: _Exact) -> tuple[int, ...]:
    if rule.add is not None:
        return _once(rule, lines, rule.add)
    if rule.multiply is None:
        exact = _rate(rule, lines)
    else:
        extra = rule.multiply - 1
        tops = [top * extra.numerator * _matches(rule, line) for top, line in zip(base.tops, lines, strict=True)]
        exact = _Exact(tops, base.bottom * extra.denominator)
    if rule.by == "line":
        return tuple(_rounded(top, exact.bottom, rule.rounding) for top in exact.tops)
    total = _rounded(sum(exact.tops), exact.bottom, rule.rounding)
    return split(total, exact.tops) if total else (0,) * len(lines)


def _once(rule: EarnRule, lines: Sequence[EarnLine], points: int) -> tuple[int, ...]:
    """``points`` over the lines that match, by what was paid for them; evenly if nothing was."""
    matching = [_matches(rule, line) for line in lines]
    weights = [line.amount_minor * match for line, match in zip(lines, matching, strict=True)]
    weights = weights if any(weights) else [int(match) for match in matching]
    return split(points, weights) if any(weights) else (0,) * len(lines)


def _rounded(top: int, bottom: int, rounding: Rounding) -> int:
    whole, rest = divmod(top, bottom)
    up = {
        "down": False,
        "up": rest > 0,
        "half_up": 2 * rest >= bottom,
        "half_even": 2 * rest > bottom or (2 * rest == bottom and whole % 2 == 1),
    }
    return whole + up[rounding]


def _by_campaign(programme: Programme, grants: Sequence[_Grant], standing: Standing) -> dict[str, list[_Grant]]:
    """The grants of each campaign within its own caps; under "" those of none."""
    ordered = sorted(grants, key=lambda grant: grant.campaign)
    by_campaign = {name: list(group) for name, group in groupby(ordered, key=lambda grant: grant.campaign)}
    return {
        name: _within(group, _room(programme, name, standing)) if name else group for name, group in by_campaign.items()
    }


def _best(by_campaign: Mapping[str, Sequence[_Grant]]) -> list[_Grant]:
    """All that add up, and of the campaigns that compete the one that gives most; of equals the first by name."""
    competing = [name for name, group in by_campaign.items() if group[0].rule.stack == "best"]
    best = max(competing, key=lambda name: sum(grant.total for grant in by_campaign[name]), default=None)
    return [grant for name, group in by_campaign.items() if name == best or name not in competing for grant in group]


def _room(programme: Programme, campaign: str, standing: Standing) -> int:
    """How many points the caps of a campaign, or those of the whole programme (""), still allow."""
    earned = {"day": standing.earned_today.get(campaign, 0), "month": standing.earned_this_month.get(campaign, 0)}
    rooms = [cap.points - earned.get(cap.per, 0) for cap in programme.caps if (cap.campaign or "") == campaign]
    return max(0, min(rooms, default=MAX_QUANTITY + 1))


def _within(grants: Sequence[_Grant], room: int) -> list[_Grant]:
    """The grants cut down to ``room`` points in all, each by its share. LimitError: more than a ledger holds."""
    every = [points for grant in grants for points in grant.points]
    kept = every if sum(every) <= room else list(split(room, every))
    if sum(kept) > MAX_QUANTITY:
        raise LimitError(
            f"an order earns at most {MAX_QUANTITY:,} points; correct the amounts, or set a cap", code="points.too_many"
        )
    lines = len(grants[0].points) if grants else 0
    return [replace(grant, points=tuple(kept[i * lines : (i + 1) * lines])) for i, grant in enumerate(grants)]


def _part(programme: Programme, grant: _Grant, index: int) -> EarnedPart:
    return EarnedPart(grant.rule.name, grant.points[index], grant.rule.issuer or programme.issuer, grant.campaign)


def _earned_line(line: EarnLine, parts: Sequence[EarnedPart]) -> EarnedLine:
    return EarnedLine(line.line_no, line.quantity, sum(part.points for part in parts), tuple(parts))


def _sums(amounts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    totals: dict[str, int] = {}
    for name, points in amounts:
        totals[name] = totals.get(name, 0) + points
    return tuple(sorted(totals.items()))
