"""What one parcel from a place adds to each tier; never below 0, lower is better."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from flows.one_stock.routing.listed import Listed
from flows.one_stock.routing.problem import Place, Problem
from flows.one_stock.routing.rulebook import Rules, TierName

NEUTRAL_RATING: Final = 2.5
NEUTRAL_ACCEPTANCE: Final = 0.5

Wanted = Mapping[int, int]
Score = Callable[[Place, Problem, Rules, Wanted], float]


def parcel_cost(place: Place, rules: Rules) -> float:
    """What a parcel from here costs, in money."""
    return rules.parcel_cost + rules.per_km * _km(place, rules)


def scores(place: Place, problem: Problem, rules: Rules, wanted: Wanted) -> tuple[float, ...]:
    """The score of ``place`` on each tier of the rules. ``wanted``: units of each SKU that the order asks for."""
    return tuple(_SCORES[tier.by](place, problem, rules, wanted) for tier in rules.tiers)


def points(places: Iterable[Place], problem: Problem, rules: Rules, wanted: Wanted) -> list[tuple[float, ...]]:
    """The ``scores`` of each place."""
    if len(rules.tiers) == 1 and rules.tiers[0].by is TierName.COST:
        own, per_km, unknown = rules.parcel_cost, rules.per_km, rules.unknown_km
        return [(own + per_km * (unknown if place.km is None else place.km),) for place in places]
    return [scores(place, problem, rules, wanted) for place in places]


def costs(places: Listed, rules: Rules) -> list[float]:
    """The ``parcel_cost`` of each place."""
    own, per_km, unknown = rules.parcel_cost, rules.per_km, rules.unknown_km
    column = places.column("km")
    if column is None:
        return [own + per_km * unknown] * len(places)
    return [own + per_km * (unknown if km is None else km) for km in column]


def _km(place: Place, rules: Rules) -> float:
    return rules.unknown_km if place.km is None else place.km


def _rating(place: Place) -> float:
    return max(0.0, 5.0 - (NEUTRAL_RATING if place.rating is None else place.rating))


def _acceptance(place: Place) -> float:
    return max(0.0, 1.0 - (NEUTRAL_ACCEPTANCE if place.acceptance is None else place.acceptance))


def _depth(place: Place, wanted: Wanted) -> float:
    """1 where nothing would remain, towards 0 the more of every wanted SKU would."""
    left = 0.0
    for sku_id, units in wanted.items():
        stock = place.stock.get(sku_id, 0)
        if stock > units:
            left += (stock - units) / stock
    return 1.0 - left / len(wanted)


def _velocity(place: Place, wanted: Wanted) -> float:
    """0 where the goods do not sell by themselves, towards 1 the faster they do; what is not listed does not sell."""
    sells = 0.0
    for sku_id, units in wanted.items():
        weekly = max(0.0, place.weekly.get(sku_id, 0.0))
        sells += weekly / (weekly + units)
    return sells / len(wanted)


def _days_late(place: Place, problem: Problem, rules: Rules) -> float:
    if problem.promised_days is None:
        return 0.0
    days = rules.handling_days + _km(place, rules) / rules.km_per_day if place.days is None else place.days
    return max(0.0, days - problem.promised_days)


_SCORES: Final[Mapping[TierName, Score]] = {
    TierName.COST: lambda place, problem, rules, wanted: parcel_cost(place, rules),
    TierName.DISTANCE: lambda place, problem, rules, wanted: _km(place, rules),
    TierName.PARCELS: lambda place, problem, rules, wanted: 1.0,
    TierName.DEPTH: lambda place, problem, rules, wanted: _depth(place, wanted),
    TierName.MEMBER: lambda place, problem, rules, wanted: 0.0 if place.is_members else 1.0,
    TierName.RATING: lambda place, problem, rules, wanted: _rating(place),
    TierName.ACCEPTANCE: lambda place, problem, rules, wanted: _acceptance(place),
    TierName.VELOCITY: lambda place, problem, rules, wanted: _velocity(place, wanted),
    TierName.PROMISE: lambda place, problem, rules, wanted: _days_late(place, problem, rules),
}
