"""What points pay for."""

from dataclasses import dataclass
from datetime import datetime

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
    """What ``wanted_points`` pay of an amount; without them, the fewest points that pay the most allowed.

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
    offer = _Offer(programme.name, rule, int(amount_minor * rule.max_share), available)
    if wanted_points is None:
        points = offer.most()
    else:
        check_whole("wanted_points", wanted_points, MAX_QUANTITY)
        points = wanted_points
        offer.check(points)
    worth = offer.worth(points)
    return SpendQuote(points, worth, amount_minor - worth)


@dataclass(frozen=True, slots=True)
class _Offer:
    """Of ``payable_minor`` of an amount, a member with ``available`` points may pay with them."""

    programme: str
    rule: SpendRule
    payable_minor: int
    available: int

    def worth(self, points: int) -> int:
        return points * 100 // self.rule.points_per_100_minor

    @property
    def least(self) -> int:
        """The fewest points that may be spent at once and pay something."""
        return self._up(max(self.rule.min_points, self._cost(1)))

    @property
    def allowed(self) -> int:
        """The most points that pay no more than may be paid: one more would pay ``payable_minor + 1``."""
        return (
            min(self._cost(self.payable_minor + 1) - 1, MAX_QUANTITY) // self.rule.multiple_of * self.rule.multiple_of
        )

    def most(self) -> int:
        """The fewest points that pay as much as can be."""
        if self.allowed < self.least:
            raise self._refusal(
                "max_share", f"the least is {self.least:,} points, and that is more of this amount than points may pay"
            )
        points = min(self.allowed, self.available // self.rule.multiple_of * self.rule.multiple_of)
        if points < self.least:
            raise self._refusal(
                "min_points", f"spend at least {self.least:,} points at once; {self.available:,} can be spent"
            )
        return max(self.least, self._up(self._cost(self.worth(points))))

    def check(self, points: int) -> None:
        if points > self.available:
            raise self._refusal(
                "insufficient", f"{points:,} points are wanted and {self.available:,} can be spent; spend fewer"
            )
        if points < self.least:
            raise self._refusal("min_points", f"spend at least {self.least:,} points at once, not {points:,}")
        if points % self.rule.multiple_of:
            raise self._refusal(
                "multiple_of", f"spend points in multiples of {self.rule.multiple_of:,}; {points:,} is none"
            )
        if self.worth(points) > self.payable_minor:
            most = self.allowed if self.allowed >= self.least else 0
            raise self._refusal(
                "max_share", f"{points:,} points pay more of this amount than points may; spend at most {most:,}"
            )

    def _cost(self, minor: int) -> int:
        return -(-minor * self.rule.points_per_100_minor // 100)

    def _up(self, points: int) -> int:
        return -(-points // self.rule.multiple_of) * self.rule.multiple_of

    def _refusal(self, limit: str, detail: str) -> RejectedError:
        return RejectedError(f"{self.programme}: {detail}", code=f"spend.{limit}")
