"""A mapping table as data: read from TOML, checked, and laid out as a tree of targets."""

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NoReturn

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from canonical_model.errors import ConfigurationError
from canonical_model.ports import EntityName
from mappings.bounds import too_costly
from mappings.context import Converter, MapContext
from mappings.paths import Base, Path, parse_path

MAX_TABLE_BYTES = 256 * 1024
MAX_DEPTH = 8
MAX_PATH = 2_000

Scalar = StrictStr | StrictInt | StrictBool | Annotated[StrictFloat, Field(allow_inf_nan=False)]
Literals = Scalar | list[Scalar]


@dataclass(frozen=True, slots=True)
class CodeTable:
    """Outside codes and what they mean to us."""

    name: str
    meanings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ContextRule:
    """A value that the context of the message supplies."""

    name: Literal["owner", "brand", "system", "message_id", "received_at"]

    def value(self, context: MapContext) -> str:
        """The value as JSON."""
        return context.received_at.isoformat() if self.name == "received_at" else str(getattr(context, self.name))


@dataclass(frozen=True, slots=True)
class ConstRule:
    """The same value in every result."""

    value: Any


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One value: read, convert, look up; when absent the default, else nothing (or an issue if required)."""

    source: Path
    converter: Converter | None = None
    codes: CodeTable | None = None
    default: ConstRule | ContextRule | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class EachRule:
    """A list of objects, one for each element of the source list."""

    source: Path
    fields: "Tree"
    required: bool


Rule = FieldRule | ConstRule | ContextRule | EachRule
Tree = dict[str, "Rule | Tree"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(_Strict):
    """A record and what the mapping makes of it: a result, or the distinct codes of its issues. Texts are JSON."""

    name: str
    given: Annotated[str, Field(alias="in")]
    out: str | None = None
    issues: tuple[str, ...] | None = None


class _FieldEntry(_Strict):
    source: Annotated[StrictStr, Field(alias="from")]
    converter: Annotated[StrictStr | None, Field(alias="with")] = None
    codes: StrictStr | None = None
    default: Literals | None = None
    required: StrictBool = False


class _ConstEntry(_Strict):
    const: Literals


class _EachEntry(_Strict):
    each: StrictStr
    fields: Annotated[dict[str, Any], Field(min_length=1)]
    required: StrictBool = False


class _Document(_Strict):
    version: Annotated[StrictStr, Field(pattern=r"^[0-9A-Za-z.]{1,20}$")]
    direction: Literal["in", "out"]
    entity: EntityName
    source: dict[str, Any] = Field(default_factory=dict)
    codes: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    fields: Annotated[dict[str, Any], Field(min_length=1)]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A checked mapping table.

    fields: the targets as a tree. read_keys: top-level source keys that some rule reads.
    """

    where: str
    version: str
    direction: Literal["in", "out"]
    entity: EntityName
    fields: Tree
    read_keys: frozenset[str]
    examples: tuple[Example, ...] = field(repr=False)


def parse_table(text: str, *, where: str, converters: Mapping[str, Converter]) -> Table:
    """The table that ``text`` (TOML) says. Raises ConfigurationError that names the file and key of a mistake."""
    if len(text) > MAX_TABLE_BYTES:
        _refuse(where, "", f"is over {MAX_TABLE_BYTES} characters; split the table")
    if costly := too_costly(text):
        _refuse(where, "", costly)
    try:
        document = _Document.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        _refuse(where, "", f"is not TOML: {error}", error)
    except ValidationError as error:
        _refuse_invalid(where, "", error)
    return _Reader(where, document, converters).table()


class _Reader:
    """Turns a document into a table; remembers the top-level keys that its rules read."""

    def __init__(self, where: str, document: _Document, converters: Mapping[str, Converter]) -> None:
        self._where = where
        self._document = document
        self._converters = converters
        self._codes = {name: CodeTable(name, meanings) for name, meanings in document.codes.items()}
        self._read_keys: set[str] = set()

    def table(self) -> Table:
        document = self._document
        fields = self._tree(document.fields, "fields", depth=0)
        if document.direction == "in":
            if "source" in fields:
                _refuse(self._where, "fields.source", "is filled by the engine; use the [source] table")
            if isinstance(fields.get("extensions"), (ConstRule, EachRule)):
                _refuse(self._where, "fields.extensions", "is an object; give it a path to one, or nested targets")
            context: Tree = {"owner": ContextRule("owner"), "brand": ContextRule("brand")}
            fields = context | fields | {"source": self._source()}
        elif document.source:
            _refuse(self._where, "source", "belongs to direction in only; remove it")
        for number, example in enumerate(document.examples):
            self._check_example(example, f"examples[{number}]")
        return Table(
            where=self._where,
            version=document.version,
            direction=document.direction,
            entity=document.entity,
            fields=fields,
            read_keys=frozenset(self._read_keys),
            examples=document.examples,
        )

    def _source(self) -> Tree:
        entries = self._document.source
        if unknown := entries.keys() - {"id", "occurred_at"}:
            _refuse(self._where, f"source.{min(unknown)}", "is unknown; [source] has id and occurred_at")
        if "id" not in entries:
            _refuse(self._where, "source.id", "is missing; name the field that identifies the record")
        identity = self._source_rule("id")
        received = ContextRule("received_at")
        occurred_at: Rule = received
        if "occurred_at" in entries:
            mapped = self._source_rule("occurred_at")
            occurred_at = mapped if mapped.required or mapped.default else replace(mapped, default=received)
        return {
            "system": ContextRule("system"),
            "id": replace(identity, required=True, converter=identity.converter or self._converters["text"]),
            "occurred_at": occurred_at,
            "message_id": ContextRule("message_id"),
        }

    def _source_rule(self, name: str) -> FieldRule:
        rule = self._rule(self._document.source[name], f"source.{name}", depth=0)
        if not isinstance(rule, FieldRule):
            _refuse(self._where, f"source.{name}", "must be read from the record; give it a path")
        return rule

    def _tree(self, entries: Mapping[str, Any], key: str, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            _refuse(self._where, key, f"nests lists deeper than {MAX_DEPTH}; flatten them at the source")
        tree: Tree = {}
        for target, entry in entries.items():
            self._place(tree, target, self._rule(entry, f"{key}.{target}", depth), f"{key}.{target}")
        return tree

    def _place(self, tree: Tree, target: str, rule: Rule, key: str) -> None:
        *parents, last = target.split(".")
        if not last or not all(parents) or len(parents) > MAX_DEPTH:
            _refuse(self._where, key, "is not a target; write names joined by single dots")
        for parent in parents:
            branch = tree.setdefault(parent, {})
            if not isinstance(branch, dict):
                _refuse(self._where, key, f"needs {parent!r} to be an object, but another rule fills it")
            tree = branch
        if last in tree:
            _refuse(self._where, key, "is filled by two rules; remove one")
        tree[last] = rule

    def _rule(self, entry: Any, key: str, depth: int) -> Rule:
        if isinstance(entry, str):
            entry = {"from": entry}
        if not isinstance(entry, dict):
            _refuse(self._where, key, "must be a path in quotes or a table with from, const or each")
        if entry.keys().isdisjoint({"from", "const", "each"}):
            _refuse(self._where, key, 'has no from, const or each; write a nested target in quotes, like "a.b"')
        try:
            if "const" in entry:
                return ConstRule(_ConstEntry.model_validate(entry).const)
            if "each" in entry:
                return self._each(_EachEntry.model_validate(entry), key, depth)
            return self._field(_FieldEntry.model_validate(entry), key, depth)
        except ValidationError as error:
            _refuse_invalid(self._where, key, error)

    def _each(self, entry: _EachEntry, key: str, depth: int) -> EachRule:
        source = self._path(entry.each, f"{key}.each", depth)
        return EachRule(source, self._tree(entry.fields, f"{key}.fields", depth + 1), entry.required)

    def _field(self, entry: _FieldEntry, key: str, depth: int) -> FieldRule:
        if entry.required and entry.default is not None:
            _refuse(self._where, key, "is required and has a default; keep one of the two")
        if entry.codes is not None and entry.codes not in self._codes:
            _refuse(self._where, f"{key}.codes", f"names no [codes.{entry.codes}] of this file")
        return FieldRule(
            source=self._path(entry.source, key, depth),
            converter=self._converter(entry.converter, f"{key}.with") if entry.converter is not None else None,
            codes=self._codes[entry.codes] if entry.codes is not None else None,
            default=ConstRule(entry.default) if entry.default is not None else None,
            required=entry.required,
        )

    def _path(self, text: str, key: str, depth: int) -> Path:
        if len(text) > MAX_PATH:
            _refuse(self._where, key, f"is a path of over {MAX_PATH} characters; write a converter")
        try:
            path = parse_path(text)
        except ValueError as error:
            _refuse(self._where, key, str(error), error)
        if path.base is Base.POSITION and depth == 0:
            _refuse(self._where, key, '"#" is a position in a list; use it below each')
        if path.base is Base.RECORD or depth == 0:
            self._read_keys |= path.top_keys
        return path

    def _converter(self, name: str, key: str) -> Converter:
        converter = self._converters.get(name)
        if converter is None:
            _refuse(self._where, key, f"names no converter; there are {', '.join(sorted(self._converters))}")
        try:
            inspect.signature(converter).bind(None, None)
        except TypeError as error:
            _refuse(self._where, key, f"names {name}, which must take (value, context)", error)
        return converter

    def _check_example(self, example: Example, key: str) -> None:
        if (example.out is None) == (example.issues is None):
            _refuse(self._where, key, "needs either out or issues")
        for word, text in (("in", example.given), ("out", example.out)):
            try:
                orjson.loads(text or "{}")
            except orjson.JSONDecodeError as error:
                _refuse(self._where, f"{key}.{word}", f"is not JSON: {error}", error)


def _refuse(where: str, key: str, detail: str, cause: Exception | None = None) -> NoReturn:
    named = f"{where}: {key} {detail}" if key else f"{where} {detail}"
    raise ConfigurationError(named, code="configuration.mapping", file=where, key=key) from cause


def _refuse_invalid(where: str, key: str, error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False)[0]
    place = ".".join(part for part in (key, *map(str, first["loc"])) if part)
    _refuse(where, place, f"is wrong: {first['msg']}", error)
