"""Which places an order may ask at all, and the one word for why not."""

from collections.abc import Collection
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
    if place.refused is not None:
        return place.refused
    return _by_name(place, problem, rules) or _by_figure(place, rules) or _by_state(place, rules, wanted)


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


def _by_state(place: Place, rules: Rules, wanted: Collection[int]) -> str | None:
    filters = rules.filters
    if filters.service_area and not place.serves:
        return SERVICE_AREA
    if filters.hours and not place.open:
        return CLOSED
    if filters.capacity and place.capacity_left is not None and place.capacity_left <= 0:
        return CAPACITY
    for sku_id in wanted:
        if place.stock.get(sku_id, 0) > 0:
            return None
    return NO_STOCK
