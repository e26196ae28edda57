"""Contracts: the JSON Schema (2020-12) that a system's records keep.

``jsonschema_rs`` decides, fast; ``jsonschema`` explains each rejection. Where the two could read a schema differently
(formats, patterns, multiples) the explaining side asks the deciding one. Details never show values: a record may be
personal.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from canonical_model.errors import ConfigurationError, Issue
from canonical_model.ports import Contract as Policy
from mappings.explain import MAX_ISSUES, name_type
from mappings.paths import member

UNKNOWN_FIELD: Final = "contract.unknown_field"
MAX_DEPTH: Final = 200

_COMPOSING = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"})
_CLOSING = ("additionalProperties", "unevaluatedProperties")

Place = tuple[str | int, ...]
Sentence = Callable[[Any], str]


class Contract:
    """A compiled schema; safe to share between threads."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises ConfigurationError when the schema is wrong or refers to something outside itself."""
        try:
            self._judge = _judge(dict(schema))
            self._witness = _Witness(schema)
            self._recursive = _is_recursive(schema)
        except (ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            detail = f"schema {schema.get('$id', '')!r} cannot be used: {reason}; correct the file in schemas/"
            raise ConfigurationError(detail, code="configuration.schema") from error

    def check_many(self, records: Iterable[Any]) -> list[tuple[Issue, ...]]:
        """The issues of each record, in order; empty when it keeps the contract. Never raises for a record."""
        return [self.check(record) for record in records]

    def check(self, record: Any) -> tuple[Issue, ...]:
        """All issues of one record, at most MAX_ISSUES; empty when it keeps the contract."""
        if self._recursive and _is_deep(record):
            return (Issue("", "contract.depth", f"is nested deeper than {MAX_DEPTH}; flatten it at the source"),)
        try:
            if self._judge.is_valid(record):
                return ()
            issues = dict.fromkeys(self._explain(record))
        except ValueError as error:
            reason = "is nested too deep" if "ecursion" in str(error) else "holds what JSON cannot say"
            return (Issue("", "contract.unreadable", f"{reason}; correct it at the source"),)
        return tuple(issues)[:MAX_ISSUES]

    def _explain(self, record: Any) -> Iterator[Issue]:
        try:
            errors = list(self._witness.iter_errors(record))
        except RecursionError:
            errors = []
        verdicts: list[Any] = list(self._judge.iter_errors(record))
        unknown = {tuple(v.instance_path): v.kind.unexpected for v in verdicts if v.kind.name in _CLOSING}
        for error in errors:
            yield from _issues_of(error, unknown)
        if not errors:
            for verdict in verdicts:
                yield _issue(
                    tuple(verdict.instance_path), verdict.kind.name, f"breaks the schema's {verdict.kind.name}"
                )


def load_contract(schema: Mapping[str, Any]) -> Contract:
    """The contract that a schema states. Raises ConfigurationError when the schema is wrong."""
    return Contract(schema)


def apply_policy(schema: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The schema as a stream's policy reads it.

    ``freeze`` and ``quarantine``: an object that names its properties takes no others; each unknown field is an issue
    with the code UNKNOWN_FIELD (for the caller to stop the stream, or to quarantine the record). ``ignore_extra``:
    unknown fields pass, also where the schema forbids them. Alternatives and conditions (anyOf, oneOf, not, if ...)
    keep what they say: it tells the forms apart.
    """
    applied = _opened(schema) if policy is Policy.IGNORE_EXTRA else _closed(schema, schema)
    return dict(applied)


def _opened(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: value for key, value in schema.items() if not (key in _CLOSING and value is False)}
    return _with_children(kept, _opened) | _with_definitions(kept, _opened)


def _closed(schema: Any, root: Mapping[str, Any]) -> Any:
    """A definition is closed inside only: where it is referred to, other properties may join its own."""
    if not isinstance(schema, Mapping):
        return schema

    def close(child: Any) -> Any:
        return _closed(child, root)

    closed = _with_children(schema, close)
    closed |= _with_definitions(schema, lambda child: _with_children(child, close))
    if schema.keys().isdisjoint(_CLOSING) and _names_properties(schema, root, depth=0):
        closed["additionalProperties" if schema.keys().isdisjoint(_COMPOSING) else "unevaluatedProperties"] = False
    return closed


def _with_children(schema: Any, change: Callable[[Any], Any]) -> Any:
    """The schema with the schemas of its members and elements changed."""
    if not isinstance(schema, Mapping):
        return schema
    changed: dict[str, Any] = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in schema:
            changed[key] = {name: change(child) for name, child in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            changed[key] = change(schema[key])
    if "prefixItems" in schema:
        changed["prefixItems"] = [change(child) for child in schema["prefixItems"]]
    return changed


def _with_definitions(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    if "$defs" not in schema:
        return {}
    return {"$defs": {name: change(child) for name, child in schema["$defs"].items()}}


def _names_properties(schema: Any, root: Mapping[str, Any], depth: int) -> bool:
    """Whether the schema says what fields an object has, itself or by what it is composed of."""
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return False
    if "properties" in schema:
        return True
    parts = [_resolve(schema["$ref"], root)] if "$ref" in schema else []
    for key in ("allOf", "anyOf", "oneOf"):
        parts += schema.get(key, [])
    return any(_names_properties(part, root, depth + 1) for part in parts)


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """What a pointer within the schema refers to; None when it is not such a pointer."""
    node: Any = root
    if not reference.startswith("#/"):
        return None
    for token in reference[2:].split("/"):
        if not isinstance(node, Mapping):
            return None
        node = node.get(token.replace("~1", "/").replace("~0", "~"))
    return node


def _issues_of(error: Any, unknown: Mapping[Place, Sequence[str]]) -> Iterator[Issue]:
    """One issue a field: missing and unknown fields are named one by one."""
    place, keyword = tuple(error.absolute_path), str(error.validator or "forbidden")
    if keyword == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield _issue((*place, name), "required", "is required but absent")
    elif keyword in _CLOSING and place in unknown:
        for name in unknown[place]:
            detail = "is unknown to the contract; add it to the schema, or stop sending it"
            yield Issue(_path((*place, name)), UNKNOWN_FIELD, detail)
    else:
        sentence = _SENTENCES.get(keyword)
        yield _issue(place, keyword, sentence(error) if sentence else f"breaks the schema's {keyword}")


def _issue(place: Place, keyword: str, found: str) -> Issue:
    words = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", keyword).lower()
    return Issue(_path(place), f"contract.{words}", f"{found}; correct it at the source")


def _path(place: Place) -> str:
    path = ""
    for key in place:
        path = member(path, key)
    return path


def _limit(words: str) -> Sentence:
    return lambda error: f"{words} {error.validator_value}"


def _count(words: str, of: str) -> Sentence:
    return lambda error: f"has {len(error.instance)} {of}, {words} {error.validator_value}"


_SENTENCES: Mapping[str, Sentence] = {
    "type": lambda error: f"is {name_type(error.instance)}, not {_either(error.validator_value)}",
    "enum": lambda error: f"is none of {', '.join(map(repr, error.validator_value[:20]))}",
    "const": _limit("is not"),
    "pattern": _limit("does not fit the pattern"),
    "format": _limit("is not in the format"),
    "minimum": _limit("is below"),
    "exclusiveMinimum": _limit("is not above"),
    "maximum": _limit("is above"),
    "exclusiveMaximum": _limit("is not below"),
    "multipleOf": _limit("is not a multiple of"),
    "minLength": _count("at least", "characters"),
    "maxLength": _count("at most", "characters"),
    "minItems": _count("at least", "elements"),
    "maxItems": _count("at most", "elements"),
    "minProperties": _count("at least", "fields"),
    "maxProperties": _count("at most", "fields"),
    "uniqueItems": lambda _: "repeats an element",
    "anyOf": lambda _: "fits none of the allowed forms",
    "oneOf": lambda _: "does not fit exactly one of the allowed forms",
    "forbidden": lambda _: "is not allowed here",
}


def _either(types: str | Sequence[str]) -> str:
    return types if isinstance(types, str) else " or ".join(types)


def _judge(schema: Any) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, offline=True)


@lru_cache(1024)
def _judge_keyword(keyword: str, value: Any) -> jsonschema_rs.Draft202012Validator:
    return _judge({keyword: value})


def _left_to_judge(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    """A keyword of the explaining side that the deciding side answers."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not _judge_keyword(keyword, value).is_valid(instance):
            yield ValidationError(keyword)

    return check


_ANSWERED_BY_JUDGE = ("format", "pattern", "multipleOf")
_Witness = extend(Draft202012Validator, {keyword: _left_to_judge(keyword) for keyword in _ANSWERED_BY_JUDGE})  # type: ignore[no-untyped-call]


def _is_deep(record: Any) -> bool:
    """Whether objects and lists nest deeper than MAX_DEPTH: a recursive schema would follow them down."""
    level = [record]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, (list, tuple)) else ()


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    """Whether a reference within the schema leads back to itself, or somewhere that cannot be told."""
    harmless: set[str] = set()

    def leads_back(reference: str, way: frozenset[str]) -> bool:
        if reference in harmless:
            return False
        if reference in way or not reference.startswith("#/"):
            return True
        back = any(leads_back(inner, way | {reference}) for inner in _references(_resolve(reference, schema)))
        if not back:
            harmless.add(reference)
        return back

    return any(leads_back(reference, frozenset()) for reference in _references(schema))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (schema[keyword] for keyword in ("$ref", "$dynamicRef") if isinstance(schema.get(keyword), str))
    for child in _children(schema):
        yield from _references(child)
