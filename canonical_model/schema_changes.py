"""What a changed JSON Schema no longer accepts.

A change is breaking when a document that was valid before is refused after it: a removed or newly required
property, a narrower type, enum, bound, length or format. New optional properties and wider values are not.
Rules that JSON Schema cannot say (a sum, a check digit) are out of sight here; they live in the entities' tests.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_FIXED: Final = ("pattern", "format", "uniqueItems")
_MAX_DEPTH: Final = 50


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """One line for each thing that ``old`` accepts and ``new`` refuses; empty when every old document stays valid.

    Raises ValueError when the schemas nest deeper than a canonical entity ever does (a recursive one, say).
    """
    return list(_compare("$", _inlined(old, old.get("$defs", {})), _inlined(new, new.get("$defs", {}))))


def _inlined(node: Any, definitions: Schema, depth: int = 0) -> Any:
    """The schema with every ``$ref`` replaced by what it points at."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"the schema nests deeper than {_MAX_DEPTH}; recursive schemas cannot be compared")
    if isinstance(node, list):
        return [_inlined(item, definitions, depth + 1) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _inlined({**target, **beside}, definitions, depth + 1)
    return {key: _inlined(value, definitions, depth + 1) for key, value in node.items() if key != "$defs"}


def _alternatives(schema: Schema) -> list[Schema]:
    """``anyOf`` and lists of types, flattened into plain schemas of one type each."""
    if "anyOf" in schema:
        return [plain for choice in schema["anyOf"] for plain in _alternatives(choice)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": one} for one in schema["type"]]
    return [schema]


def _compare(path: str, old: Schema, new: Schema) -> Iterator[str]:
    """Every old alternative must fit into some new one; else the nearest one's objections are reported."""
    choices = _alternatives(new)
    for alternative in _alternatives(old):
        fitting = [choice for choice in choices if _type_fits(alternative.get("type"), choice.get("type"))]
        objections = [list(_narrowed(path, alternative, choice)) for choice in fitting or choices]
        yield from min(objections, key=len)


def _narrowed(path: str, old: Schema, new: Schema) -> Iterator[str]:
    if not _type_fits(old.get("type"), new.get("type")):
        yield f"{path}: {old.get('type', 'any type')} became {new.get('type')}"
        return
    yield from _values(path, old, new)
    yield from _bounds(path, old, new)
    yield from _properties(path, old, new)
    yield from _inner(path, old, new)


def _type_fits(old: str | None, new: str | None) -> bool:
    return new is None or old == new or (old == "integer" and new == "number")


def _values(path: str, old: Schema, new: Schema) -> Iterator[str]:
    allowed = _enumerated(new)
    if allowed is None:
        return
    before = _enumerated(old)
    if before is None:
        yield f"{path}: only {allowed} are allowed now"
        return
    for value in before:
        if value not in allowed:
            yield f"{path}: {value!r} is no longer allowed"


def _enumerated(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _bounds(path: str, old: Schema, new: Schema) -> Iterator[str]:
    def tighter(words: tuple[str, ...], than: Callable[[float, float], bool]) -> Iterator[str]:
        for word in words:
            if word in new and (word not in old or than(new[word], old[word])):
                yield f"{path}: {word} was {old.get(word, 'unlimited')}, is {new[word]}"

    yield from tighter(_LOWER_BOUNDS, lambda now, before: now > before)
    yield from tighter(_UPPER_BOUNDS, lambda now, before: now < before)
    for word in _FIXED:
        if new.get(word) and new[word] != old.get(word):
            yield f"{path}: {word} was {old.get(word, 'free')}, is {new[word]}"


def _properties(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{path}/{name}: newly required"
    for name, schema in before.items():
        if name in after:
            yield from _compare(f"{path}/{name}", schema, after[name])
        elif new.get("additionalProperties", True) is False:
            yield f"{path}/{name}: removed"


def _inner(path: str, old: Schema, new: Schema) -> Iterator[str]:
    for word in ("items", "additionalProperties"):
        before, after = old.get(word, True), new.get(word, True)
        if after is True or before is False:
            continue
        if after is False:
            yield f"{path}: {word} are no longer allowed"
        else:
            yield from _compare(f"{path}/*", {} if before is True else before, after)
