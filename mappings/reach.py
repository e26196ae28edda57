"""What a table reads and how much it can make of a record, told from the table alone.

Used on tables that a person wrote while the hub runs: personal fields must not end up where nothing is sealed, and no
expression may blow a small record up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mappings.paths import Base, Path, parts
from mappings.table import EachRule, FieldRule, Rule, Table, Tree

MAX_GROWTH: Final = 200
MAX_TOTAL_GROWTH: Final = 4_000

Keys = tuple[str, ...]
Node = Mapping[str, Any]

_EVALUATED_ON_FIRST: Final = frozenset(
    {"subexpression", "index_expression", "projection", "filter_projection", "flatten", "pipe"}
)
_MULTIPLYING: Final = _EVALUATED_ON_FIRST | {"value_projection"}


@dataclass(frozen=True, slots=True)
class _Here:
    """Where rules read from: the places of the record that the current object may be; ``exact`` if it is just that."""

    places: frozenset[Keys]
    exact: bool


_RECORD: Final = _Here(frozenset({()}), exact=True)


def personal_targets(table: Table, personal: Sequence[str]) -> frozenset[str]:
    """The targets (dotted, lists left out) that may receive a value from one of the ``personal`` paths. Errs on the
    side of naming too many."""
    places = [_keys(path) for path in personal]
    return frozenset(
        ".".join(target) for target, rule, here in _walk(table.fields, (), _RECORD) if _reveals(rule, here, places)
    )


def personal_decisions(table: Table, personal: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Rules that decide by a personal value (an expression, a code table), as (target, what it says): whether such a
    rule found something tells about the value, even where the value itself is sealed."""
    places = [_keys(path) for path in personal]
    return frozenset(
        (".".join(target), f"{rule.source.text} {_meanings(rule)}")
        for target, rule, here in _walk(table.fields, (), _RECORD)
        if _reveals(rule, here, places) and (rule.source.keys is None or _meanings(rule))
    )


def _meanings(rule: FieldRule | EachRule) -> str:
    codes = rule.codes if isinstance(rule, FieldRule) else None
    return repr(sorted(codes.meanings.items())) if codes is not None else ""


def unread(table: Table, personal: Sequence[str]) -> frozenset[str]:
    """First keys of ``personal`` paths that no rule reads: the engine keeps those fields in the extensions."""
    return frozenset(keys[0] for keys in map(_keys, personal)) - table.read_keys


def growth(table: Table) -> tuple[int, int]:
    """How many times the size of what it reads an expression of the table may give: the most of one, and of all."""
    each = [_growth(path.node) for path in _paths(table.fields) if path.node is not None]
    return max(each, default=1), sum(each)


def nested_from_record(table: Table) -> list[str]:
    """Lists within lists that go over the whole record again: their sizes multiply."""
    return [".".join(target) for target, rule in _eaches(table.fields, ()) if _starts_anew(rule)]


def _walk(tree: Tree, target: Keys, here: _Here) -> Iterator[tuple[Keys, FieldRule | EachRule, _Here]]:
    """Each rule that reads, with its target and where it reads from."""
    for name, rule in tree.items():
        match rule:
            case FieldRule():
                yield (*target, name), rule, here
            case EachRule(source=path, fields=fields):
                yield (*target, name), rule, here
                yield from _walk(fields, (*target, name), _Here(_reads(path, here), _is_plain(path, here)))
            case dict():
                yield from _walk(rule, (*target, name), here)


def _reveals(rule: FieldRule | EachRule, here: _Here, places: Sequence[Keys]) -> bool:
    """Whether the result of a rule may tell what is at one of the places.

    A list tells by its length: whether an expression found something, or what lies within a place. A plain path to a
    list does not tell the fields of its elements.
    """
    by_length_only = isinstance(rule, EachRule) and _is_plain(rule.source, here)
    related = _within if by_length_only else _related
    return any(related(place, read) for place in places for read in _reads(rule.source, here))


def _is_plain(path: Path, here: _Here) -> bool:
    return path.keys is not None and (here.exact or path.base is Base.RECORD)


def _reads(path: Path, here: _Here) -> frozenset[Keys]:
    if path.base is Base.POSITION:
        return frozenset()
    start = _RECORD if path.base is Base.RECORD else here
    if not start.exact:
        return start.places
    heads = [path.keys] if path.keys is not None else _heads(path.node)
    return frozenset((*place, *head) for place in start.places for head in heads)


def _heads(node: Node) -> list[Keys]:
    """What the expression reads of the object it is asked of: first keys, or ``()`` for all of it."""
    kind, children = node["type"], node["children"]
    match kind:
        case "field":
            return [(node["value"],)]
        case "literal" | "expref" | "index" | "slice":
            return []
        case "current" | "identity" | "value_projection":
            return [()]
    if kind in _EVALUATED_ON_FIRST:
        first, *rest = children
        if first["type"] == "current" and kind == "subexpression":
            return _heads(rest[0])
        return _heads(first)
    return [head for child in children for head in _heads(child)]


def _growth(node: Node) -> int:
    sizes = [_growth(child) for child in parts(node)]
    if node["type"] in _MULTIPLYING or any(child["type"] == "expref" for child in parts(node)):
        product = 1
        for size in sizes:
            product = min(product * max(size, 1), MAX_TOTAL_GROWTH + 1)
        return product
    return min(max(sum(sizes), 1), MAX_TOTAL_GROWTH + 1)


def _paths(tree: Tree) -> Iterator[Path]:
    for rule in tree.values():
        match rule:
            case FieldRule(source=path):
                yield path
            case EachRule(source=path, fields=fields):
                yield path
                yield from _paths(fields)
            case dict():
                yield from _paths(rule)


def _eaches(tree: Tree, target: Keys, *, within: bool = False) -> Iterator[tuple[Keys, EachRule]]:
    """Lists that lie within lists."""
    for name, rule in tree.items():
        inner: Rule | Tree = rule
        match inner:
            case EachRule(fields=fields):
                if within:
                    yield (*target, name), inner
                yield from _eaches(fields, (*target, name), within=True)
            case dict():
                yield from _eaches(inner, (*target, name), within=within)


def _starts_anew(rule: EachRule) -> bool:
    return rule.source.base is Base.RECORD


def _keys(path: str) -> Keys:
    """The keys of a personal path; from the first part that is not a plain key on, all below counts."""
    keys: list[str] = []
    for part in path.split("."):
        name, bracket, _ = part.partition("[")
        keys.append(name.strip('"'))
        if bracket and not part.endswith(("[]", "[*]")):
            break
    return tuple(keys)


def _within(place: Keys, read: Keys) -> bool:
    return read[: len(place)] == place


def _related(place: Keys, read: Keys) -> bool:
    shorter = min(len(place), len(read))
    return place[:shorter] == read[:shorter]
