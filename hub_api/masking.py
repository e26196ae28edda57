"""Masks: enough to recognise a value one knows, not enough to learn one."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from canonical_model.member import plain_mobile
from flows.ingest.telling import TELLING, mobiles_in, texts_of

MASK: Final = "•"
HIDDEN: Final = MASK * 3
SHORT: Final = 4
LONG: Final = 11
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
}


class Masked(str):
    """A text whose middle is hidden already."""

    __slots__ = ()


def mask(value: Any) -> Any:
    """Text and numbers with their middle hidden (138••••0000, 陈••); lists and objects value by value."""
    match value:
        case None | bool():
            return value
        case dict():
            return {key: mask(inner) for key, inner in value.items()}
        case list():
            return [mask(inner) for inner in value]
        case _:
            return _mask_text(str(value))


def mask_fields(record: Any, paths: Iterable[str], *, told: Iterable[str] = ()) -> Any:
    """A copy of ``record`` with the values at the dotted ``paths`` masked; ``[]`` goes through a list.

    A path that cannot be followed literally masks the whole value it starts from: too much rather than too little.
    A text elsewhere in the record that repeats such a value (a card number made of the mobile number) is hidden too,
    and so is one that repeats a word of ``told``.
    """
    masked, hidden = record, {word for word in told if len(word) >= TELLING}
    for path in paths:
        keys = path.replace("[*]", "[]").split(".")
        masked = _mask_at(masked, keys)
        for text in _values_at(record, keys):
            hidden |= {text, *mobiles_in(text)} if len(text) >= TELLING else set()
    return _without(masked, {plain_mobile(text) for text in hidden}) if hidden else masked


def hide_undeclared(value: Any, schema: Mapping[str, Any]) -> Any:
    """A copy of ``value`` in which everything that the JSON Schema does not declare, or declares otherwise, is hidden.

    A record that broke its contract may carry a name or number anywhere, in the name of a field too: a field that is
    not declared is called by a number (•••1, •••2), in its place. What ``mask_fields`` masked stays as it is.
    """
    return _hide(value, schema, schema.get("$defs", {}))


def _hide(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    fitting = next((each for each in _forms(schema, definitions) if _fits(value, each)), None)
    match value:
        case None | bool():
            return value
        case _ if fitting is None:
            return HIDDEN
        case dict():
            return _hide_fields(value, fitting.get("properties", {}), definitions)
        case list():
            return [_hide(inner, fitting.get("items", {}), definitions) for inner in value]
    return value


def _hide_fields(
    value: Mapping[Any, Any], declared: Mapping[str, Any], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    undeclared = count(1)
    for key, inner in value.items():
        if key in declared:
            shown[key] = _hide(inner, declared[key], definitions)
        else:
            shown[f"{HIDDEN}{next(undeclared)}"] = HIDDEN
    return shown


def _forms(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema itself, or each of the alternatives it leaves."""
    if reference := schema.get("$ref"):
        yield from _forms(definitions.get(reference.rpartition("/")[2], {}), definitions)
        return
    options = schema.get("anyOf") or schema.get("oneOf")
    if not options:
        yield schema
    for option in options or ():
        yield from _forms(option, definitions)


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value is of a declared type; a masked one is, unless objects or lists are expected."""
    declared = schema.get("type", ())
    types = (declared,) if isinstance(declared, str) else tuple(declared)
    if isinstance(value, Masked):
        return not types or any(name not in ("object", "array", "null") for name in types)
    if "enum" in schema:
        return value in schema["enum"]
    return not types or any(isinstance(value, _TYPES[name]) for name in types if name in _TYPES)


def _mask_at(value: Any, keys: list[str]) -> Any:
    if isinstance(value, list):
        return [_mask_at(inner, keys) for inner in value]
    if not keys or not isinstance(value, dict):
        return mask(value)
    name = keys[0].removesuffix("[]").strip('"')
    if name in value:
        return {**value, name: _mask_at(value[name], keys[1:])}
    return value if name.replace("_", "").isalnum() else mask(value)


def _values_at(value: Any, keys: list[str]) -> Iterator[str]:
    """What stands at the path as texts, or whatever stands where it cannot be followed."""
    if isinstance(value, list) and keys:
        for inner in value:
            yield from _values_at(inner, keys)
    elif keys and isinstance(value, dict):
        yield from _values_at(value.get(keys[0].removesuffix("[]").strip('"')), keys[1:])
    else:
        yield from texts_of(value)


def _without(value: Any, told: Collection[str]) -> Any:
    match value:
        case dict():
            return {key: _without(inner, told) for key, inner in value.items()}
        case list():
            return [_without(inner, told) for inner in value]
        case str() | int():
            plain = plain_mobile(str(value))
            return HIDDEN if any(word in plain for word in told) else value
    return value


def _mask_text(text: str) -> Masked:
    if len(text) <= SHORT:
        shown = min(1, len(text) // 2)
        return Masked(text[:shown] + MASK * (len(text) - shown))
    first, last = (3, 4) if len(text) >= LONG else (1, 1)
    return Masked(text[:first] + MASK * (len(text) - first - last) + text[-last:])
