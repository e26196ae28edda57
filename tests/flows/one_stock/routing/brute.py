"""The same aims by trying everything: what a decision about a few places must agree with."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from flows.one_stock.routing.problem import Item, Place, Plan, Problem
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.routing.tiers import parcel_cost, scores

Sent = tuple[tuple[int, ...], ...]


def wanted_of(items: Sequence[Item]) -> dict[int, int]:
    """Units of each SKU wanted."""
    wanted: dict[int, int] = {}
    for item in items:
        for part in item.parts:
            wanted[part.sku_id] = wanted.get(part.sku_id, 0) + part.per_set * item.quantity
    return wanted


def units_in(plan: Plan) -> int:
    """Units in all parcels."""
    return sum(line.quantity for parcel in plan.parcels for line in parcel.lines)


def best_values(problem: Problem, rules: Rules) -> tuple[int, list[float], list[float]]:
    """The most units; the least of each tier, and last of the cost, within the limits of the earlier; those limits."""
    rows = list(_everything(problem, rules))
    most = max(units for units, _ in rows)
    rows = [row for row in rows if row[0] == most]
    least, limits = [], []
    for index, (tolerance, slack) in enumerate([(tier.tolerance, tier.slack) for tier in rules.tiers] + [(0.0, 0.0)]):
        least.append(min(values[index] for _, values in rows))
        limits.append(least[-1] * (1 + tolerance) + slack)
        rows = [row for row in rows if row[1][index] <= limits[-1] + 1e-7]
    return most, least, limits


def _everything(problem: Problem, rules: Rules) -> Iterator[tuple[int, list[float]]]:
    items = problem.items
    wanted = wanted_of(items)
    yield 0, [0.0] * (len(rules.tiers) + 1)
    for size in range(1, min(rules.max_parcels, len(problem.places)) + 1):
        for places in combinations(problem.places, size):
            most = _most_units(items, places, rules)
            if most:
                points = [[*scores(place, problem, rules, wanted), parcel_cost(place, rules)] for place in places]
                yield most, [sum(column) for column in zip(*points, strict=True)]


def _most_units(items: Sequence[Item], places: Sequence[Place], rules: Rules) -> int:
    stock = [dict(place.stock) for place in places]
    return max((_units(items, sent) for sent in _ways(items, stock, rules) if _holds(items, sent, rules)), default=0)


def _ways(items: Sequence[Item], stock: list[dict[int, int]], rules: Rules) -> Iterator[Sent]:
    if not items:
        yield ()
        return
    item = items[0]
    for shares in _shares(item.quantity, len(stock)):
        if not rules.split_lines and sum(1 for sets in shares if sets) > 1:
            continue
        for held, sets in zip(stock, shares, strict=True):
            for part in item.parts:
                held[part.sku_id] = held.get(part.sku_id, 0) - part.per_set * sets
        if all(units >= 0 for held in stock for units in held.values()):
            for rest in _ways(items[1:], stock, rules):
                yield (shares, *rest)
        for held, sets in zip(stock, shares, strict=True):
            for part in item.parts:
                held[part.sku_id] += part.per_set * sets


def _shares(quantity: int, places: int) -> Iterator[tuple[int, ...]]:
    if places == 0:
        yield ()
        return
    for sets in range(quantity + 1):
        for rest in _shares(quantity - sets, places - 1):
            yield (sets, *rest)


def _holds(items: Sequence[Item], sent: Sent, rules: Rules) -> bool:
    by_place = list(zip(*sent, strict=True))
    if not all(any(sets) for sets in by_place):
        return False
    worth = [
        sum(item.value_minor * sets / item.quantity for item, sets in zip(items, row, strict=True)) for row in by_place
    ]
    return len(by_place) == 1 or all(value >= rules.min_parcel_value_minor for value in worth)


def _units(items: Sequence[Item], sent: Sent) -> int:
    return sum(sum(part.per_set for part in item.parts) * sum(shares) for item, shares in zip(items, sent, strict=True))
