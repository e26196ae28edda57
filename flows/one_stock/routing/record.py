"""A routing decision kept for good: the problem, the rules and the answer in a few kilobytes, and told to people.

A record holds everything that is needed to decide again. It names no buyer; how far every place is from them is all
that it knows. Scores are not kept: they follow from the problem and the rules.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from operator import sub
from typing import Any, Final

import orjson

from canonical_model.errors import Issue, RecordError
from flows.one_stock.routing.filters import words
from flows.one_stock.routing.listed import Listed
from flows.one_stock.routing.problem import (
    NO_STOCK,
    Action,
    Considered,
    Decision,
    Item,
    Part,
    Place,
    Plan,
    PlannedLine,
    PlannedParcel,
    Problem,
    Stopped,
)
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.routing.tiers import scores

FORMAT: Final = 2
READABLE: Final = (1, 2)
"""Format 1 also listed the places that had none of the goods, which follows from the stock."""
LEVEL: Final = 1
MAX_REMEMBERED: Final = 64

_SHARED: Final = ("code", "kind", "brand", "rating", "acceptance", "open", "days")
_OWN: Final = ("km", "capacity_left", "is_members", "serves", "refused")
_DEFAULTS: Final = {each.name: each.default for each in fields(Place) if each.name in (*_SHARED, *_OWN)}

_LETTERS: Final = bytes(each for each in range(32, 127) if each not in b'"\\')
_TO_LETTERS: Final = _LETTERS.ljust(256, b" ")

_rules_texts: dict[int, tuple[Rules, orjson.Fragment]] = {}


@dataclass(frozen=True, slots=True)
class Record:
    """What was decided, on what, and by which rules: those that version of the rulebook has for the channel."""

    problem: Problem
    rules: Rules
    rules_version: int
    channel: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Names:
    """How people call places (code and name, by id) and goods (code, by id)."""

    places: Mapping[int, tuple[str, str]]
    skus: Mapping[int, str]


def pack(problem: Problem, rules: Rules, rules_version: int, channel: str, decision: Decision) -> bytes:
    """The decision with all that led to it, to be kept; ``unpack`` reads it."""
    places = Listed.of(problem.places)
    skus = sorted(_wanted(problem))
    document = {
        "format": FORMAT,
        "rules": _rules_text(rules),
        "rules_version": rules_version,
        "channel": channel,
        "of": [problem.channel, problem.brand, problem.promised_days],
        "items": [
            [item.quantity, item.value_minor, [[part.line_no, part.sku_id, part.per_set] for part in item.parts]]
            for item in problem.items
        ],
        "facts": places.facts or packed_facts(places),
        "own": _sparse({name: column for name in _OWN if (column := places.column(name)) is not None}),
        "skus": skus,
        "stock": [_few(places.units(sku_id)) for sku_id in skus],
        "weekly": [[sold.get(sku_id, 0.0) for sold in places.weekly] for sku_id in skus] if places.weekly else None,
        "removed": _removed(words(places, problem, rules)),
        "action": decision.action,
        "plan": _plan(decision.plan),
        "partial": _plan(decision.best_partial) if decision.best_partial else None,
    }
    return zlib.compress(orjson.dumps(document), LEVEL)


def packed_facts(places: Sequence[Any]) -> orjson.Fragment:
    """The columns that are the same for every order, of anything that has a Place's id, code, kind and so on."""
    ids = [place.id for place in places]
    columns = {name: [getattr(place, name) for place in places] for name in _SHARED}
    return orjson.Fragment(orjson.dumps({"id": [*ids[:1], *map(sub, ids[1:], ids)], **_sparse(columns)}))


def unpack(packed: bytes) -> Record:
    """What ``pack`` was given; of each place's stock only the SKUs that the order wanted. RecordError: no record."""
    try:
        document = orjson.loads(zlib.decompress(packed))
        return _read(document)
    except (zlib.error, orjson.JSONDecodeError, LookupError, TypeError, ValueError) as error:
        raise RecordError(
            [Issue("record", "decision.unreadable", f"this is no record of a decision: {error}")]
        ) from error


def explain(record: Record, names: Names) -> dict[str, Any]:
    """The decision for people: for every line each place considered, what removed it or how it scored, the choice."""
    plan, rules = record.decision.plan, record.rules
    tiers = [str(tier.by) for tier in rules.tiers]
    costs = {entry.place_id: entry for entry in record.decision.considered}
    return {
        "rules": {"version": record.rules_version, "channel": record.channel},
        "action": str(record.decision.action),
        "cost": plan.cost,
        "bound": plan.bound,
        "gap": plan.gap,
        "stopped": str(plan.stopped),
        "nodes": plan.nodes,
        "tiers": tiers,
        "parcels": [_told_parcel(parcel, record, names) for parcel in plan.parcels],
        "lines": [
            _told_line(line_no, sku_id, units, record, names, costs) for line_no, sku_id, units in _lines(record)
        ],
    }


def _told_parcel(parcel: PlannedParcel, record: Record, names: Names) -> dict[str, Any]:
    km = record.rules.unknown_km if parcel.km is None else parcel.km
    return {
        **_told_place(parcel.place_id, names),
        "km": parcel.km,
        "cost": record.rules.parcel_cost + record.rules.per_km * km,
        "lines": [
            {"line_no": line.line_no, "sku": names.skus.get(line.sku_id, ""), "quantity": line.quantity}
            for line in parcel.lines
        ],
    }


def _told_place(place_id: int, names: Names) -> dict[str, str]:
    code, name = names.places.get(place_id, (str(place_id), ""))
    return {"place": code, "place_name": name}


def _told_line(
    line_no: int, sku_id: int, units: int, record: Record, names: Names, considered: Mapping[int, Considered]
) -> dict[str, Any]:
    plan = record.decision.plan
    chosen: dict[int, int] = {}
    for parcel in plan.parcels:
        for line in parcel.lines:
            if line.line_no == line_no:
                chosen[parcel.place_id] = chosen.get(parcel.place_id, 0) + line.quantity
    places = []
    for place in record.problem.places:
        entry, stock = considered[place.id], place.stock.get(sku_id, 0)
        removed = entry.removed_by or (None if stock else NO_STOCK)
        tiers = (tier.by for tier in record.rules.tiers)
        places.append(
            {
                **_told_place(place.id, names),
                "km": place.km,
                "stock": stock,
                "removed_by": removed,
                "scores": {} if removed else dict(zip(map(str, tiers), entry.scores, strict=True)),
                "chosen": chosen.get(place.id, 0),
            }
        )
    return {
        "line_no": line_no,
        "sku": names.skus.get(sku_id, ""),
        "quantity": units,
        "unfilled": sum(line.quantity for line in plan.unfilled if line.line_no == line_no),
        "places": places,
    }


def _lines(record: Record) -> Iterable[tuple[int, int, int]]:
    wanted: dict[tuple[int, int], int] = {}
    for item in record.problem.items:
        for part in item.parts:
            key = part.line_no, part.sku_id
            wanted[key] = wanted.get(key, 0) + item.quantity * part.per_set
    return ((line_no, sku_id, units) for (line_no, sku_id), units in sorted(wanted.items()))


def _wanted(problem: Problem) -> dict[int, int]:
    wanted: dict[int, int] = {}
    for item in problem.items:
        for part in item.parts:
            wanted[part.sku_id] = wanted.get(part.sku_id, 0) + item.quantity * part.per_set
    return wanted


def _rules_text(rules: Rules) -> orjson.Fragment:
    """The rules as JSON; those of a rulebook are the same object for every order."""
    known = _rules_texts.get(id(rules))
    if known is not None and known[0] is rules:
        return known[1]
    if len(_rules_texts) >= MAX_REMEMBERED:
        _rules_texts.clear()
    text = orjson.Fragment(rules.model_dump_json())
    _rules_texts[id(rules)] = rules, text
    return text


def _sparse(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The columns that say more than the default; one value where it is the same for all places."""
    return {
        name: column[0] if column.count(column[0]) == len(column) else column
        for name, column in columns.items()
        if column and column.count(_DEFAULTS[name]) != len(column)
    }


def _few(column: Sequence[int]) -> str | Sequence[int]:
    """Units, place by place; as one letter a place where all are few, which is smaller and faster."""
    try:
        units = bytes(column)
    except ValueError:
        return column
    return units.translate(_TO_LETTERS).decode() if units and max(units) < len(_LETTERS) else column


def _removed(words: Sequence[str | None]) -> dict[str, list[int]]:
    """Positions by word."""
    removed: dict[str, list[int]] = {}
    if words.count(None) < len(words):
        for n, word in enumerate(words):
            if word is not None:
                removed.setdefault(word, []).append(n)
    return removed


def _plan(plan: Plan) -> list[Any]:
    return [
        [
            [parcel.place_id, parcel.km, [[line.line_no, line.sku_id, line.quantity] for line in parcel.lines]]
            for parcel in plan.parcels
        ],
        [[line.line_no, line.sku_id, line.quantity] for line in plan.unfilled],
        plan.cost,
        plan.bound,
        plan.stopped,
        plan.nodes,
        plan.iterations,
    ]


def _read(document: Mapping[str, Any]) -> Record:
    if document["format"] not in READABLE:
        raise ValueError(f"its format is {document['format']}, none of {READABLE}")
    rules = Rules.model_validate_json(orjson.dumps(document["rules"]))
    channel, brand, promised_days = document["of"]
    items = tuple(
        Item(tuple(Part(*part) for part in parts), quantity, value) for quantity, value, parts in document["items"]
    )
    problem = Problem(items, tuple(_read_places(document)), channel, brand, promised_days)
    wanted = _wanted(problem)
    removed = {n: word for word, positions in document["removed"].items() for n in positions}
    considered = tuple(
        _considered(place, removed.get(n), problem, rules, wanted) for n, place in enumerate(problem.places)
    )
    partial = document["partial"]
    decision = Decision(
        Action(document["action"]),
        _read_plan(document["plan"]),
        considered,
        _read_plan(partial) if partial else None,
    )
    return Record(problem, rules, document["rules_version"], document["channel"], decision)


def _considered(
    place: Place, word: str | None, problem: Problem, rules: Rules, wanted: Mapping[int, int]
) -> Considered:
    if word is None and not any(place.stock.get(sku_id, 0) > 0 for sku_id, units in wanted.items() if units):
        word = NO_STOCK
    return Considered(place.id, word, () if word else scores(place, problem, rules, wanted))


def _read_places(document: Mapping[str, Any]) -> Iterable[Place]:
    skus, weekly = document["skus"], document["weekly"] or []
    stock = [
        [_LETTERS.index(letter) for letter in column.encode()] if isinstance(column, str) else column
        for column in document["stock"]
    ]
    columns = {**document["facts"], **document["own"]}
    for n, place_id in enumerate(accumulate(columns.pop("id"))):
        own = {name: value[n] if isinstance(value, list) else value for name, value in columns.items()}
        yield Place(
            place_id,
            {sku_id: units[n] for sku_id, units in zip(skus, stock, strict=True) if units[n]},
            weekly={sku_id: sold[n] for sku_id, sold in zip(skus, weekly, strict=False) if sold[n]},
            **own,
        )


def _read_plan(plan: Sequence[Any]) -> Plan:
    parcels, unfilled, cost, bound, stopped, nodes, iterations = plan
    return Plan(
        tuple(
            PlannedParcel(place_id, tuple(PlannedLine(*line) for line in lines), km) for place_id, km, lines in parcels
        ),
        tuple(PlannedLine(*line) for line in unfilled),
        cost,
        bound,
        Stopped(stopped),
        nodes,
        iterations,
    )
