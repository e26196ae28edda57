"""The fast way through a table: Python source, generated once, that maps a record which has no issue.

The source raises on anything unusual; ``explain`` then goes over the record and finds every issue. Nothing of the
table reaches the source but through ``repr`` of plain literals: every name in it is made here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mappings.context import MapContext
from mappings.explain import look_up
from mappings.inline import inline
from mappings.paths import Base, Path
from mappings.table import ConstRule, ContextRule, EachRule, FieldRule, Rule, Table, Tree

MapRecord = Callable[[Any], dict[str, Any]]
Bind = Callable[[MapContext], MapRecord]


class UnusualError(Exception):
    """The generated source met a value that only the slow way can judge."""


def compile_table(table: Table) -> Bind:
    """A function that takes the context of a batch and gives the function that maps one record.

    The latter raises an exception of any kind when the record has, or may have, an issue.
    """
    writer = _Writer()
    source = writer.write(table)
    namespace = dict(writer.names)
    exec(compile(source, f"<{table.where}>", "exec"), namespace)  # noqa: S102 - only literals and names made here
    bind: Bind = namespace["bind"]
    return bind


class _Scope:
    """Where rules read: the variable of the current object, its position, and what has been fetched from it."""

    def __init__(self, variable: str, position: str) -> None:
        self.position = position
        self.fetched: dict[tuple[str, ...], str] = {(): variable}


class _Writer:
    """Writes the source of one table; ``names`` are the objects that the source refers to."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"UnusualError": UnusualError, "look_up": look_up}
        self._lines: list[str] = []
        self._indent = 2
        self._serial = 0
        self._bound: dict[str, str] = {}
        self._record = _Scope("record", "")

    def write(self, table: Table) -> str:
        """The source of ``bind(context)``, which returns ``map_record(record)``."""
        for base in (Base.RECORD, Base.CURRENT):
            self._fetch_parents(_paths(table.fields, base), self._record)
        result = self._object(table.fields, self._record)
        if table.direction == "in":
            self._extensions(table, result)
        self._line(f"return {result}")
        bound = [f"    {variable} = {name}.value(context)" for name, variable in self._bound.items()]
        head = ["def bind(context):", *bound, "    def map_record(record):"]
        return "\n".join([*head, *self._lines, "    return map_record", ""])

    def _object(self, tree: Tree, scope: _Scope) -> str:
        """Writes what makes an object; returns its variable. Members that are always there go into a literal."""
        solid: list[str] = []
        loose: list[tuple[str, Rule | Tree]] = []
        for target, rule in tree.items():
            if _is_solid(rule):
                solid.append(f"{target!r}: {self._solid(rule, scope)}")
            else:
                loose.append((target, rule))
        result = self._variable("made")
        self._line(f"{result} = {{{', '.join(solid)}}}")
        for target, rule in loose:
            self._loose(f"{result}[{target!r}]", rule, scope)
        return result

    def _solid(self, rule: Rule | Tree, scope: _Scope) -> str:
        match rule:
            case ConstRule():
                return repr(rule.value)
            case ContextRule():
                return self._bind(rule)
            case FieldRule(required=True):
                return self._required(rule, scope)
            case FieldRule(default=default) if default is not None:
                value = self._value(rule, scope)
                self._line(f"if not {value} and {value} != 0: {value} = {self._solid(default, scope)}")
                return value
            case EachRule():
                elements = self._read(rule.source, scope)
                self._line(f"if not {elements}: raise UnusualError")
                return self._list(rule, elements, scope)
            case dict():
                return self._object(rule, scope)
            case _:
                raise TypeError(f"{rule} is not always there")

    def _loose(self, target: str, rule: Rule | Tree, scope: _Scope) -> None:
        match rule:
            case FieldRule():
                value = self._value(rule, scope)
                self._line(f"if {_is_present(value)}: {target} = {value}")
            case EachRule():
                elements = self._read(rule.source, scope)
                with self._block(f"if {_is_present(elements)}:"):
                    self._line(f"{target} = {self._list(rule, elements, scope)}")
            case dict():
                value = self._object(rule, scope)
                self._line(f"if {value}: {target} = {value}")

    def _required(self, rule: FieldRule, scope: _Scope) -> str:
        value = self._read(rule.source, scope)
        for step in ("", *self._conversions(rule, value)):
            if step:
                self._line(step)
            self._line(f"if not {value} and {value} != 0: raise UnusualError")
        return value

    def _value(self, rule: FieldRule, scope: _Scope) -> str:
        value = self._read(rule.source, scope)
        for step in self._conversions(rule, value):
            self._line(f"if {_is_present(value)}: {step}")
        return value

    def _conversions(self, rule: FieldRule, value: str) -> Iterator[str]:
        if rule.converter is not None:
            yield f"{value} = {self._name('convert', rule.converter)}({value}, context)"
        if rule.codes is not None:
            codes, meanings = self._name("codes", rule.codes), self._name("meanings", rule.codes.meanings)
            yield f"{value} = {meanings}[{value}] if {value}.__class__ is str else look_up({codes}, {value})"

    def _list(self, rule: EachRule, elements: str, scope: _Scope) -> str:
        made, element, position = self._variable("list"), self._variable("element"), self._variable("position")
        self._line(f"if {elements}.__class__ is not list and {elements}.__class__ is not tuple: raise UnusualError")
        self._line(f"{made} = []")
        with self._block(f"for {position}, {element} in enumerate({elements}, 1):"):
            inner = _Scope(element, position)
            self._fetch_parents(_paths(rule.fields, Base.CURRENT), inner)
            self._line(f"{made}.append({self._object(rule.fields, inner)})")
        return made

    def _read(self, path: Path, scope: _Scope) -> str:
        """Writes the fetching of a path's value; returns a variable that the caller may assign to."""
        if path.base is Base.POSITION:
            expression = scope.position
        else:
            source = self._record if path.base is Base.RECORD else scope
            expression = _get(path.keys, source) if path.keys is not None else self._search(path, source.fetched[()])
        variable = self._variable("value")
        self._line(f"{variable} = {expression}")
        return variable

    def _search(self, path: Path, current: str) -> str:
        inlined = inline(path.node, current, self._variable)
        return inlined or f"{self._name('search', path.search)}({current})"

    def _fetch_parents(self, paths: Iterator[Path], scope: _Scope) -> None:
        """Writes the fetching of every object on the way of the paths, so that later rules share them."""
        for path in paths:
            for length in range(1, len(path.keys or ())):
                keys = (path.keys or ())[:length]
                if keys not in scope.fetched:
                    variable = self._variable("object")
                    self._line(f"{variable} = {_get(keys, scope)}")
                    scope.fetched[keys] = variable

    def _extensions(self, table: Table, result: str) -> None:
        read = self._name("read", table.read_keys)
        if "extensions" in table.fields and not isinstance(table.fields["extensions"], dict):
            self._line(f"if {result}.get('extensions', {{}}).__class__ is not dict: raise UnusualError")
        with self._block(f"if not {read}.issuperset(record.keys()):"):
            kept = f"{{key: value for key, value in record.items() if key not in {read}}}"
            mapped = f" | {result}.get('extensions', {{}})" if "extensions" in table.fields else ""
            self._line(f"{result}['extensions'] = {kept}{mapped}")

    def _bind(self, rule: ContextRule) -> str:
        return self._bound.setdefault(self._name("context", rule), f"context_{rule.name}")

    def _name(self, kind: str, value: Any) -> str:
        for name, known in self.names.items():
            if known is value or (isinstance(value, ContextRule) and known == value):
                return name
        name = self._variable(kind)
        self.names[name] = value
        return name

    def _variable(self, kind: str) -> str:
        self._serial += 1
        return f"{kind}_{self._serial}"

    def _line(self, text: str) -> None:
        self._lines.append("    " * self._indent + text)

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._line(head)
        self._indent += 1
        yield
        self._indent -= 1


def _is_present(variable: str) -> str:
    """The expression that says so; the commonest cases, nothing and something, are decided without a comparison."""
    return f"{variable} is not None and ({variable} or {variable} == 0)"


def _get(keys: tuple[str, ...], scope: _Scope) -> str:
    """The expression that follows plain keys; an absent or empty object on the way gives None."""
    if not keys:
        return scope.fetched[()]
    parent = scope.fetched[keys[:-1]]
    return f"{parent}.get({keys[-1]!r})" + (f" if {parent} else None" if len(keys) > 1 else "")


def _is_solid(rule: Rule | Tree) -> bool:
    """Whether the target is always there in a result without issues."""
    match rule:
        case ConstRule() | ContextRule():
            return True
        case FieldRule():
            return rule.required or rule.default is not None
        case EachRule():
            return rule.required
        case _:
            return any(map(_is_solid, rule.values()))


def _paths(tree: Tree, base: Base) -> Iterator[Path]:
    """Paths from that base; those from the current object only as far as it stays the same."""
    for rule in tree.values():
        match rule:
            case FieldRule(source=path) | EachRule(source=path) if path.base is base:
                yield path
            case dict():
                yield from _paths(rule, base)
        if isinstance(rule, EachRule) and base is Base.RECORD:
            yield from _paths(rule.fields, base)
