"""What must hold between the tables of a rulebook: names that exist, one rule a day, no ring of rates that gains."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise

from canonical_model.errors import Issue
from flows.points.programme import Dated, ExchangeRule, Programme


def wrong_with(programmes: Mapping[str, Programme], exchanges: Sequence[ExchangeRule]) -> list[Issue]:
    """Everything that is wrong between tables which are right in themselves."""
    issues = [issue for name, programme in programmes.items() for issue in _wrong_programme(name, programme)]
    issues += _wrong_growth(programmes)
    issues += _wrong_sides(exchanges, programmes)
    issues += _two_rates(exchanges)
    return issues or _rings(exchanges)


def _wrong_programme(name: str, programme: Programme) -> Iterator[Issue]:
    where = f"programmes.{name}"
    if programme.levels and programme.growth is None:
        yield Issue(f"{where}.growth", "rules.growth", "levels need a growth programme; name it here")
    for index, (lower, higher) in enumerate(pairwise(programme.levels), 1):
        if lower.at_least >= higher.at_least:
            detail = f"this is not above {lower.name!r}; order levels by `at_least`, each higher than the one before"
            yield Issue(f"{where}.levels.{index}.at_least", "rules.levels", detail)
    for twice in _twice(level.name for level in programme.levels):
        yield Issue(f"{where}.levels", "rules.levels", f"the level {twice!r} is there twice; name each once")
    yield from _wrong_names(where, programme)
    for rule in sorted({rule.name for rule in programme.earn}):
        if when := _overlap([each for each in programme.earn if each.name == rule]):
            detail = f"{rule!r} is there twice on {when}; end one before the other begins, or rename it"
            yield Issue(f"{where}.earn", "rules.overlap", detail)
    if when := _overlap(programme.spend):
        detail = f"there are two spend rules on {when}; end one before the other begins"
        yield Issue(f"{where}.spend", "rules.overlap", detail)


def _wrong_names(where: str, programme: Programme) -> Iterator[Issue]:
    levels = {level.name for level in programme.levels}
    for index, rule in enumerate(programme.earn):
        if unknown := sorted(rule.levels - levels):
            detail = f"there is no level {unknown[0]!r}; add it to `levels`, or correct it"
            yield Issue(f"{where}.earn.{index}.levels", "rules.levels", detail)
    stacks = {(rule.campaign, rule.stack) for rule in programme.earn if rule.campaign}
    for twice in _twice(campaign for campaign, _ in stacks if campaign):
        detail = f"the campaign {twice!r} both adds and competes; give all its rules the same `stack`"
        yield Issue(f"{where}.earn", "rules.campaign", detail)
    for index, cap in enumerate(programme.caps):
        if cap.campaign and cap.campaign not in {campaign for campaign, _ in stacks}:
            detail = f"no earn rule belongs to the campaign {cap.campaign!r}; correct it, or remove the cap"
            yield Issue(f"{where}.caps.{index}.campaign", "rules.campaign", detail)


def _wrong_growth(programmes: Mapping[str, Programme]) -> Iterator[Issue]:
    for name, programme in programmes.items():
        if programme.growth is None:
            continue
        growth = programmes.get(programme.growth)
        if growth is None or growth.growth is not None:
            what = "is no programme here" if growth is None else "has growth of its own"
            detail = f"{programme.growth!r} {what}; name a programme that has none"
            yield Issue(f"programmes.{name}.growth", "rules.growth", detail)


def _wrong_sides(rules: Sequence[ExchangeRule], programmes: Mapping[str, Programme]) -> Iterator[Issue]:
    keepers: dict[str, str] = {}
    for index, rule in enumerate(rules):
        outside = [side for side in (rule.from_, rule.to) if side not in programmes]
        if unknown := [side for side in outside if "/" in side]:
            detail = f"{unknown[0]!r} is no programme here; add it, or name an outside unit without a brand"
        elif len(outside) == 2:
            detail = "both sides are outside units; one must be a programme of the group"
        elif bool(outside) != bool(rule.provider):
            detail = "an outside unit has a `provider`, and only it; name the system that keeps it, or remove it"
        elif outside and keepers.setdefault(outside[0], rule.provider or "") != rule.provider:
            detail = f"{outside[0]!r} is kept by {keepers[outside[0]]!r} in another rule; name the same `provider`"
        else:
            continue
        yield Issue(f"exchange.{index}", "rules.exchange", detail)


def _two_rates(rules: Sequence[ExchangeRule]) -> Iterator[Issue]:
    for from_, to in sorted({(rule.from_, rule.to) for rule in rules}):
        if when := _overlap([rule for rule in rules if (rule.from_, rule.to) == (from_, to)]):
            detail = f"{from_} has two rates into {to} on {when}; end one before the other begins"
            yield Issue("exchange", "rules.overlap", detail)


def _rings(rules: Sequence[ExchangeRule]) -> list[Issue]:
    """The first day on which points can be exchanged around until there are more of them than before."""
    for day in sorted({rule.starts for rule in rules}):
        if ring := _gaining([rule for rule in rules if rule.covers(day)]):
            when = "always" if day == date.min else f"from {day}"
            detail = f"{' into '.join(ring)} gains ({when}); lower a rate, or raise a spread"
            return [Issue("exchange", "rules.gain", detail)]
    return []


def _gaining(rules: Sequence[ExchangeRule]) -> list[str]:
    """The assets of a ring whose rates multiply to more than 1; empty when there is none (Bellman and Ford).

    Products are kept as (top, bottom), unreduced: reducing them costs more than their length does.
    """
    best = {side: (1, 1) for rule in rules for side in (rule.from_, rule.to)}
    came_from: dict[str, str] = {}
    rates = [(rule.from_, rule.to, (1 - rule.spread) * Fraction(rule.get, rule.give)) for rule in rules]
    for _ in best:
        better = False
        for from_, to, rate in rates:
            top, bottom = best[from_][0] * rate.numerator, best[from_][1] * rate.denominator
            if top * best[to][1] > best[to][0] * bottom:
                best[to], came_from[to], better = (top, bottom), from_, True
        if not better:
            return []
        if ring := _ring(came_from):
            return ring
        rates.reverse()
    return _ring(came_from)


def _ring(came_from: Mapping[str, str]) -> list[str]:
    """A ring in which each asset's best rate comes from the one before; its rates multiply to more than 1."""
    done: set[str] = set()
    for start in came_from:
        asset, path = start, list[str]()
        while asset in came_from and asset not in done and asset not in path:
            path.append(asset)
            asset = came_from[asset]
        if asset in path:
            return [asset, *reversed(path[path.index(asset) :])]
        done.update(path)
    return []


def _overlap(rules: Sequence[Dated]) -> date | None:
    ordered = sorted(rules, key=lambda rule: rule.starts)
    return next((later.starts for earlier, later in pairwise(ordered) if later.starts < earlier.ends), None)


def _twice(values: Iterable[str]) -> list[str]:
    return sorted(value for value, times in Counter(values).items() if times > 1)
