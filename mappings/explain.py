"""The slow way through a table: maps one record and collects every issue instead of stopping at the first."""

from collections.abc import Mapping
from copy import copy
from typing import Any, NoReturn

from jmespath.exceptions import JMESPathTypeError

from canonical_model.errors import Issue
from mappings.context import ConvertError, MapContext, is_present
from mappings.paths import Base, Path, member
from mappings.table import CodeTable, ConstRule, ContextRule, EachRule, FieldRule, Table, Tree

MAX_ISSUES = 100

_NAMES = {dict: "an object", list: "a list", tuple: "a list", str: "text", bool: "true or false", type(None): "nothing"}


class _RefusedError(Exception):
    """A value that has been recorded as an issue; its target is left out."""


def explain(table: Table, record: Any, context: MapContext) -> tuple[dict[str, Any], tuple[Issue, ...]]:
    """What the record maps to, and every issue found (at most MAX_ISSUES, then a word that there are more)."""
    walk = _Walk(record, context)
    if not isinstance(record, Mapping):
        walk.add("", "type.object", f"the record is {name_type(record)}, not an object; send one object a record")
        return {}, walk.issues
    result = walk.tree(table.fields, record, 0, "")
    if table.direction == "in":
        walk.extensions(table, record, result)
    return result, walk.issues


def name_type(value: Any) -> str:
    """How to speak of a value without showing it."""
    return next((name for kind, name in _NAMES.items() if isinstance(value, kind)), "a number")


def shorten(value: Any) -> str:
    """The value for a message, in quotes and cut to 40 characters."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of many digits"
    text = str(value) if isinstance(value, (str, int, float)) else name_type(value)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def json_text(value: Any) -> Any:
    """A code as text: booleans and whole numbers become what JSON writes for them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) and value.bit_length() <= 128 else value


def look_up(codes: CodeTable, value: Any) -> Any:
    """The meaning of a code; whole numbers and booleans count as their JSON text. Raises ConvertError if unknown."""
    code = json_text(value)
    if isinstance(code, str) and code in codes.meanings:
        return codes.meanings[code]
    raise ConvertError(
        "code.unknown",
        f"{shorten(value)} is not in the code table {codes.name}; add it there or correct it at the source",
    )


class _Walk:
    """One record on its way through the table."""

    def __init__(self, record: Any, context: MapContext) -> None:
        self._record = record
        self._context = context
        self._issues: dict[Issue, None] = {}

    @property
    def issues(self) -> tuple[Issue, ...]:
        issues = tuple(self._issues)
        if len(issues) <= MAX_ISSUES:
            return issues
        more = Issue("", "issues.more", f"more than {MAX_ISSUES} issues; correct these first and send the record again")
        return (*issues[:MAX_ISSUES], more)

    def add(self, place: str, code: str, detail: str) -> None:
        if len(self._issues) <= MAX_ISSUES:
            self._issues[Issue(place, code, detail)] = None

    def tree(self, tree: Tree, current: Any, position: int, prefix: str) -> dict[str, Any]:
        """The object that the tree makes of ``current``, which lies at ``prefix`` of the record."""
        result: dict[str, Any] = {}
        for target, rule in tree.items():
            try:
                value = self._value(rule, current, position, prefix)
            except _RefusedError:
                continue
            if value is not None:
                result[target] = value
        return result

    def extensions(self, table: Table, record: Mapping[str, Any], result: dict[str, Any]) -> None:
        """Keeps what no rule read, beside what the table itself puts there."""
        mapped = result.get("extensions", {})
        if not isinstance(mapped, Mapping):
            self.add("extensions", "type.object", f"is {name_type(mapped)}, not an object; correct it at the source")
            return
        unread = {key: value for key, value in record.items() if key not in table.read_keys}
        if unread:
            result["extensions"] = unread | dict(mapped)

    def _value(self, rule: Any, current: Any, position: int, prefix: str) -> Any:
        match rule:
            case ConstRule():
                return copy(rule.value)
            case ContextRule():
                return rule.value(self._context)
            case FieldRule():
                return self._field(rule, current, position, prefix)
            case EachRule():
                return self._each(rule, current, position, prefix)
            case _:
                return self.tree(rule, current, position, prefix) or None

    def _field(self, rule: FieldRule, current: Any, position: int, prefix: str) -> Any:
        place = _place(prefix, rule.source)
        value = self._read(rule.source, current, position, place, prefix)
        if is_present(value):
            value = self._convert(rule, value, place)
        if is_present(value):
            return value
        if rule.required:
            self._refuse(place, "value.missing", "is required but absent or empty; fill it at the source")
        return self._value(rule.default, current, position, prefix) if rule.default else None

    def _convert(self, rule: FieldRule, value: Any, place: str) -> Any:
        try:
            if rule.converter is not None:
                value = rule.converter(value, self._context)
            if rule.codes is not None and is_present(value):
                value = look_up(rule.codes, value)
        except ConvertError as error:
            self._refuse(place, error.code, error.detail)
        except ValueError as error:
            self._refuse(place, "value.invalid", str(error))
        except Exception as error:  # noqa: BLE001 - a converter may stumble over any value; the record must not be lost
            name = getattr(rule.converter, "__name__", "the code table")
            self._refuse(place, "value.invalid", f"{name} cannot read {name_type(value)} ({type(error).__name__})")
        return value

    def _each(self, rule: EachRule, current: Any, position: int, prefix: str) -> list[dict[str, Any]] | None:
        place = _place(prefix, rule.source)
        elements = self._read(rule.source, current, position, place, prefix)
        if not is_present(elements):
            if rule.required:
                self._refuse(place, "value.missing", "is required but absent or empty; fill it at the source")
            return None
        if not isinstance(elements, (list, tuple)):
            self._refuse(place, "type.list", f"is {name_type(elements)}, not a list; declare the element as repeating")
        return [
            self.tree(rule.fields, item, number, member(place, number - 1)) for number, item in enumerate(elements, 1)
        ]

    def _read(self, path: Path, current: Any, position: int, place: str, prefix: str) -> Any:
        if path.base is Base.POSITION:
            return position
        if path.base is Base.RECORD:
            current, prefix = self._record, ""
        if path.keys is not None:
            return self._follow(path.keys, current, prefix)
        try:
            return path.search(current)
        except Exception as error:  # noqa: BLE001 - JMESPath leaks TypeError, KeyError and others on odd values
            reason = type(error).__name__
            if isinstance(error, JMESPathTypeError):
                reason = f"{error.function_name}() takes {' or '.join(error.expected_types)}, not {error.actual_type}"
            self._refuse(place, "path.failed", f"cannot be evaluated ({reason}); correct the value or the path")

    def _follow(self, keys: tuple[str, ...], value: Any, place: str) -> Any:
        for number, key in enumerate(keys):
            if not isinstance(value, Mapping):
                if number and not value:
                    return None
                self._refuse(place, "type.object", f"is {name_type(value)}, not an object; correct it at the source")
            value = value.get(key)
            place = member(place, key)
        return value

    def _refuse(self, place: str, code: str, detail: str) -> NoReturn:
        self.add(place, code, detail)
        raise _RefusedError


def _place(prefix: str, path: Path) -> str:
    if path.keys == ():
        return prefix
    if path.base is Base.RECORD or not prefix:
        return path.text
    return f"{prefix}.{path.text}"
