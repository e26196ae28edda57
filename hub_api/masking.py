"""Masks: enough to recognise a value one knows, not enough to learn one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from canonical_model.member import plain_mobile

MASK: Final = "•"
HIDDEN: Final = MASK * 3
SHORT: Final = 4
LONG: Final = 11
TELLING: Final = 8


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


def mask_fields(record: Any, paths: Iterable[str]) -> Any:
    """A copy of ``record`` with the values at the dotted ``paths`` masked; ``[]`` goes through a list.

    A path that cannot be followed literally masks the whole value it starts from: too much rather than too little.
    A text elsewhere in the record that repeats such a value (a card number made of the mobile number) is hidden too.
    """
    masked, told = record, list[str]()
    for path in paths:
        keys = path.replace("[*]", "[]").split(".")
        masked = _mask_at(masked, keys)
        told += [plain for value in _values_at(record, keys) if len(plain := plain_mobile(str(value))) >= TELLING]
    return _without(masked, told) if told else masked


def hide_undeclared(value: Any, schema: Mapping[str, Any]) -> Any:
    """A copy of ``value`` in which everything that the JSON Schema does not declare, or declares otherwise, is hidden.

    A record that broke its contract may carry a name or number anywhere.
    """
    return _hide(value, schema, schema.get("$defs", {}))


def _hide(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if reference := schema.get("$ref"):
        schema = definitions.get(reference.rpartition("/")[2], {})
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        kind = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else None
        schema = next((option for option in options if kind is None or _is_a(option, kind)), {})
        return _hide(value, schema, definitions)
    match value:
        case dict():
            declared = schema.get("properties", {})
            return {
                key: _hide(inner, declared[key], definitions) if key in declared else HIDDEN
                for key, inner in value.items()
            }
        case list():
            return [_hide(inner, schema.get("items", {}), definitions) for inner in value]
        case str() if _is_a(schema, "object") or _is_a(schema, "array"):
            return HIDDEN
    return value


def _is_a(schema: Mapping[str, Any], kind: str) -> bool:
    types = schema.get("type", ())
    return kind in ((types,) if isinstance(types, str) else types) or (kind == "object" and "$ref" in schema)


def _mask_at(value: Any, keys: list[str]) -> Any:
    if isinstance(value, list):
        return [_mask_at(inner, keys) for inner in value]
    if not keys or not isinstance(value, dict):
        return mask(value)
    name = keys[0].removesuffix("[]").strip('"')
    if name in value:
        return {**value, name: _mask_at(value[name], keys[1:])}
    return value if name.replace("_", "").isalnum() else mask(value)


def _values_at(value: Any, keys: list[str]) -> Iterator[str | int]:
    if isinstance(value, list):
        for inner in value:
            yield from _values_at(inner, keys)
    elif keys and isinstance(value, dict):
        yield from _values_at(value.get(keys[0].removesuffix("[]").strip('"')), keys[1:])
    elif isinstance(value, str | int):
        yield value


def _without(value: Any, told: list[str]) -> Any:
    match value:
        case dict():
            return {key: _without(inner, told) for key, inner in value.items()}
        case list():
            return [_without(inner, told) for inner in value]
        case str() | int():
            plain = plain_mobile(str(value))
            return HIDDEN if any(word in plain for word in told) else value
    return value


def _mask_text(text: str) -> str:
    if len(text) <= SHORT:
        shown = min(1, len(text) // 2)
        return text[:shown] + MASK * (len(text) - shown)
    first, last = (3, 4) if len(text) >= LONG else (1, 1)
    return text[:first] + MASK * (len(text) - first - last) + text[-last:]
