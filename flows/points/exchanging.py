"""What an exchange gives. Every rounding favours the clearing house, so nobody gains by going there and back."""

from dataclasses import dataclass
from math import ceil

from canonical_model.common import MAX_QUANTITY
from canonical_model.errors import RejectedError
from flows.points.programme import ExchangeRule
from flows.points.whole import check_whole


@dataclass(frozen=True, slots=True)
class ExchangeQuote:
    """The member gives ``give`` points; ``spread`` of them are kept, ``cleared`` are turned into ``get`` others."""

    give: int
    spread: int
    cleared: int
    get: int


def quote_exchange(rule: ExchangeRule, points: int) -> ExchangeQuote:
    """What ``points`` become: ``spread = ⌈points × spread⌉``, ``get = ⌊(points − spread) × get ÷ give⌋``.

    RejectedError names the limit: ``exchange.min_points``, ``exchange.max_points``, ``exchange.multiple_of``,
    ``exchange.nothing`` when not one point would be received; ``points.number`` for what is no whole number.
    """
    check_whole("points", points, MAX_QUANTITY)
    pair = f"{rule.from_} into {rule.to}"
    if points < rule.min_points:
        raise _refusal(pair, f"at least {rule.min_points:,} points at once, not {points:,}", "min_points")
    if points > rule.max_points:
        raise _refusal(pair, f"at most {rule.max_points:,} points at once, not {points:,}", "max_points")
    if points % rule.multiple_of:
        raise _refusal(pair, f"multiples of {rule.multiple_of:,} points; {points:,} is none", "multiple_of")
    spread = ceil(points * rule.spread)
    cleared = points - spread
    get = cleared * rule.get // rule.give
    if not get:
        raise _refusal(pair, f"more than {points:,} points; so few become nothing", "nothing")
    check_whole("points received", get, MAX_QUANTITY)
    return ExchangeQuote(points, spread, cleared, get)


def _refusal(pair: str, limit: str, code: str) -> RejectedError:
    return RejectedError(f"{pair}: exchange {limit}", code=f"exchange.{code}")
