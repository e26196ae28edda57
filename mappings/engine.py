"""Mappings: an outside system's words into ours, and back. docs/mapping.md shows the table format."""

import hashlib
import importlib
import inspect
import re
from collections.abc import Iterable
from collections.abc import Mapping as Readable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from canonical_model.errors import ConfigurationError, Issue, RecordError
from canonical_model.ports import EntityName
from mappings import converters as shared_converters
from mappings.codegen import compile_table
from mappings.context import Converter, ConvertError, MapContext
from mappings.examples import run_examples
from mappings.explain import explain
from mappings.table import Example, Table, parse_table

__all__ = [
    "ConvertError",
    "Converter",
    "MapContext",
    "Mapping",
    "Quarantined",
    "available",
    "load_mapping",
    "parse_mapping",
    "read_table",
    "revised_mapping",
    "run_examples",
]

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that cannot be mapped: where it stood in its batch, as it came, and everything wrong with it."""

    position: int
    record: Any
    issues: tuple[Issue, ...]


class Mapping:
    """A compiled mapping table; safe to share between threads. ``version`` names its exact text."""

    def __init__(self, table: Table, version: str) -> None:
        self.table = table
        self._bind = compile_table(table)
        self.version = version

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self.table.where

    @property
    def entity(self) -> EntityName:
        """The canonical entity on our side of the mapping."""
        return self.table.entity

    @property
    def direction(self) -> Literal["in", "out"]:
        """``in``: outside to canonical; ``out``: canonical to outside."""
        return self.table.direction

    @property
    def examples(self) -> tuple[Example, ...]:
        """The examples that the table carries."""
        return self.table.examples

    def map(self, record: Any, context: MapContext) -> dict[str, Any]:
        """One record mapped. Raises RecordError with all its issues."""
        (result,) = self.map_many((record,), context)
        if isinstance(result, Quarantined):
            raise RecordError(result.issues, mapping=self.where, version=self.version)
        return result

    def map_many(self, records: Iterable[Any], context: MapContext) -> list[dict[str, Any] | Quarantined]:
        """The records mapped, in the same order; a record with issues becomes Quarantined. Never raises for a record.

        Results may share lists and objects with the records they come from: treat both as read-only.
        """
        map_record = self._bind(context)
        results: list[dict[str, Any] | Quarantined] = []
        for position, record in enumerate(records):
            try:
                results.append(map_record(record))
            except Exception:  # noqa: BLE001 - the slow way says what is wrong
                results.append(self._judge(position, record, context))
        return results

    def _judge(self, position: int, record: Any, context: MapContext) -> dict[str, Any] | Quarantined:
        result, issues = explain(self.table, record, context)
        return Quarantined(position, record, issues) if issues else result


def parse_mapping(
    text: str, *, where: str = "mapping.toml", converters: Readable[str, Converter] | None = None
) -> Mapping:
    """A mapping from the text of its table; ``converters`` are added to the shared ones.

    Raises ConfigurationError that names ``where`` and the key of a mistake.
    """
    own = dict(converters or {})
    sources = [text, *(inspect.getsource(own[name]) for name in sorted(own))]
    digest = hashlib.sha256("\0".join(sources).encode()).hexdigest()[:8]
    table = parse_table(text, where=where, converters=_functions(shared_converters) | own)
    return Mapping(table, f"{table.version}+{digest}")


@cache
def load_mapping(connector: str, name: str) -> Mapping:
    """The mapping ``mappings/<connector>/<name>.toml`` with the converters of the ``convert.py`` beside it.

    Its version ends in a hash of the table and its own converters, so that every change of meaning shows. Cached.
    Raises ConfigurationError that names the file and key of a mistake.
    """
    text = read_table(connector, name)
    return parse_mapping(text, where=f"mappings/{connector}/{name}.toml", converters=_own_converters(connector))


def read_table(connector: str, name: str) -> str:
    """The text of ``mappings/<connector>/<name>.toml``. ConfigurationError when it cannot be read."""
    if not (_NAME.fullmatch(connector) and _NAME.fullmatch(name)):
        raise ConfigurationError(f"{connector}/{name} is not the name of a mapping", code="configuration.mapping")
    where = f"mappings/{connector}/{name}.toml"
    try:
        return (_FOLDER / connector / f"{name}.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{where} cannot be read ({error}); add it or correct the manifest that names it"
        raise ConfigurationError(detail, code="configuration.mapping", file=where) from error


def revised_mapping(connector: str, name: str, text: str, *, label: str) -> Mapping:
    """The mapping ``<connector>/<name>`` with ``text`` for its table; its version ends in ``label``, such as ``.r3``.

    A table is data: it can only name the shared converters and those of the connector's ``convert.py``. Raises
    ConfigurationError for whatever is wrong with it, also when it is too deep or too large for Python.
    """
    where = f"mappings/{connector}/{name}.toml"
    try:
        mapping = parse_mapping(text, where=where, converters=_own_converters(connector))
    except (ValueError, RecursionError, SyntaxError, MemoryError, OverflowError) as error:
        detail = f"{where} cannot be compiled ({type(error).__name__}); write it with fewer levels and shorter numbers"
        raise ConfigurationError(detail, code="configuration.mapping", file=where) from error
    mapping.version += label
    return mapping


def available() -> list[tuple[str, str]]:
    """Every mapping there is, as (connector, name), sorted."""
    return sorted((file.parent.name, file.stem) for file in _FOLDER.glob("*/*.toml"))


def _own_converters(connector: str) -> dict[str, Converter]:
    if not (_FOLDER / connector / "convert.py").exists():
        return {}
    return _functions(importlib.import_module(f"mappings.{connector}.convert"))


def _functions(module: ModuleType) -> dict[str, Converter]:
    """The public functions that a module defines itself."""
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
