"""Which places an order may ask at all, and the one word for why not."""

from collections.abc import Collection, Iterable, Iterator
from itertools import repeat
from typing import Final

from flows.one_stock.routing.listed import Listed
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
    (word,) = words(Listed.of([place]), problem, rules)
    return word if word is not None or any(place.stock.get(sku_id, 0) > 0 for sku_id in wanted) else NO_STOCK


def words(places: Listed, problem: Problem, rules: Rules) -> list[str | None]:
    """What ``removed_by`` says of each place but for its goods. Looks only at the columns that the rules ask for: there
    may be hundreds of places."""
    found = list(places.column("refused") or repeat(None, len(places)))
    for word, hits in _hits(places, problem, rules):
        found = [word if own is None and hit else own for own, hit in zip(found, hits, strict=True)]
    return found


def goods_missing(places: Listed, wanted: Iterable[int]) -> list[bool]:
    """Whether a place has none of the wanted SKUs, place by place."""
    columns = [places.units(sku_id) for sku_id in wanted]
    return [not any(units) for units in zip(*columns, strict=True)] if columns else [True] * len(places)


def _hits(places: Listed, problem: Problem, rules: Rules) -> Iterator[tuple[str, Iterable[bool]]]:
    """The words of the filters that are set, in their order, each with whom it would remove."""
    filters = rules.filters
    if filters.kinds:
        yield KIND, [kind not in filters.kinds for kind in _column(places, "kind", "store")]
    if filters.places or filters.not_places:
        codes = _column(places, "code", "")
        yield (
            PLACE,
            [code in filters.not_places or bool(filters.places and code not in filters.places) for code in codes],
        )
    if filters.brands:
        asked = {"", problem.brand, *filters.brands}
        yield BRAND, [brand not in asked for brand in _column(places, "brand", "")]
    for word, name, limit, sign in (
        (TOO_FAR, "km", filters.max_km, 1),
        (RATING, "rating", filters.min_rating, -1),
        (ACCEPTANCE, "acceptance", filters.min_acceptance, -1),
    ):
        if limit is not None and (column := places.column(name)) is not None:
            yield word, [figure is not None and sign * figure > sign * limit for figure in column]
    if filters.service_area and (serves := places.column("serves")) is not None:
        yield SERVICE_AREA, [not each for each in serves]
    if filters.hours and (opens := places.column("open")) is not None:
        yield CLOSED, [not each for each in opens]
    if filters.capacity and (left := places.column("capacity_left")) is not None:
        yield CAPACITY, [slots is not None and slots <= 0 for slots in left]


def _column(places: Listed, name: str, default: str) -> Iterable[str]:
    return places.column(name) or repeat(default, len(places))
