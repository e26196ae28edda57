"""Which places an order may ask at all, and the one word for why not."""

from collections.abc import Collection, Iterable
from typing import Final

from flows.one_stock.routing.problem import NO_STOCK, Place, Problem
from flows.one_stock.routing.rulebook import Rules

KIND: Final = "kind"
PLACE: Final = "place"
BRAND: Final = "brand"
TOO_FAR: Final = "too_far"
RATING: Final = "rating"
ACCEPTANCE: Final = "acceptance"
SERVICE_AREA: Final = "service_area"
CLOSED: Final = "closed"
CAPACITY: Final = "capacity"


def removed_by(place: Place, problem: Problem, rules: Rules, wanted: Collection[int]) -> str | None:
    """The first filter that removes ``place``, by its word; None when it may be asked.

    A place that refused is removed by the reason it gave. A limit removes nobody whose figure is not known.
    ``wanted``: the SKUs of the order; a place with none of them is removed last, as ``no_stock``.
    """
    return words([place], problem, rules, wanted)[0]


def words(places: Iterable[Place], problem: Problem, rules: Rules, wanted: Collection[int]) -> list[str | None]:
    """What ``removed_by`` says of each place. Looks only at what the rules ask for: there may be hundreds of places."""
    filters = rules.filters
    named = bool(filters.kinds or filters.places or filters.not_places or filters.brands)
    figured = (filters.max_km, filters.min_rating, filters.min_acceptance) != (None, None, None)
    area, hours, capacity = filters.service_area, filters.hours, filters.capacity
    found = []
    for place in places:
        word = place.refused
        if word is None and named:
            word = _by_name(place, problem, rules)
        if word is None and figured:
            word = _by_figure(place, rules)
        if word is None:
            if area and not place.serves:
                word = SERVICE_AREA
            elif hours and not place.open:
                word = CLOSED
            elif capacity and place.capacity_left is not None and place.capacity_left <= 0:
                word = CAPACITY
            elif not _has_any(place, wanted):
                word = NO_STOCK
        found.append(word)
    return found


def _by_name(place: Place, problem: Problem, rules: Rules) -> str | None:
    filters = rules.filters
    if filters.kinds and place.kind not in filters.kinds:
        return KIND
    if place.code in filters.not_places or (filters.places and place.code not in filters.places):
        return PLACE
    if filters.brands and place.brand and place.brand != problem.brand and place.brand not in filters.brands:
        return BRAND
    return None


def _by_figure(place: Place, rules: Rules) -> str | None:
    filters = rules.filters
    if filters.max_km is not None and place.km is not None and place.km > filters.max_km:
        return TOO_FAR
    if filters.min_rating is not None and place.rating is not None and place.rating < filters.min_rating:
        return RATING
    if (
        filters.min_acceptance is not None
        and place.acceptance is not None
        and place.acceptance < filters.min_acceptance
    ):
        return ACCEPTANCE
    return None


def _has_any(place: Place, wanted: Collection[int]) -> bool:
    stock = place.stock
    return any(stock.get(sku_id, 0) > 0 for sku_id in wanted)
