"""The schema of the door, compiled: from an operation's element to the hub's own JSON records, and field names back.

The shapes are read off the WSDL once, so there is nothing to keep in step with it but PLURALS. Reading by shape does
what zeep's types do for a request, several times faster: the schema has already checked every value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lxml import etree

from canonical_model.errors import RejectedError
from connectors.kit.soap_schema import XS, load_schema
from connectors.kit.soap_validation import Validator

NAMESPACE: Final = "urn:yipan:soap:v1"
WSDL: Final = Path(__file__).parent / "wsdl" / "hub.wsdl"
ITEM: Final = "item"
MESSAGE_ID: Final = f"{{{NAMESPACE}}}messageId"
SYSTEM: Final = f"{{{NAMESPACE}}}system"
PLURALS: Final = {"localName": "names", "category": "categories"}

_INTEGERS: Final = frozenset({"long", "int", "integer"})
_HUMP: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_PART: Final = re.compile(r"[^.\[\]]+")

Read = Callable[[etree._Element], Any]


@dataclass(slots=True)
class Field:
    """One element of a shape: its name here and there, how to read it, whether it repeats, and what is inside."""

    element: str
    name: str
    read: Read
    repeats: bool
    inside: "Shape | None" = None
    is_map: bool = False


@dataclass(slots=True)
class Shape:
    """A complex type: its fields by tag."""

    fields: dict[str, Field] = field(default_factory=dict)

    def read(self, element: etree._Element) -> dict[str, Any]:
        """The JSON object of a valid element."""
        fields = self.fields
        record: dict[str, Any] = {}
        for child in element:
            found = fields[child.tag]
            if not found.repeats:
                record[found.name] = found.read(child)
            elif found.is_map:
                record.setdefault(found.name, {}).update((found.read(child),))
            else:
                record.setdefault(found.name, []).append(found.read(child))
        return record


@dataclass(frozen=True, slots=True)
class Operation:
    """What may be asked of the door: ``name`` is also the tag's local name."""

    name: str
    item: Shape

    def read_items(self, element: etree._Element) -> list[dict[str, Any]]:
        """The JSON records of a valid request, in order. RejectedError: a number has thousands of digits."""
        read = self.item.read
        try:
            return [read(child) for child in element.iterfind(f"{{{NAMESPACE}}}{ITEM}")]
        except ValueError as error:
            raise RejectedError(
                "a number has thousands of digits; leave out the zeros", code="value.invalid"
            ) from error

    def place_of(self, path: str) -> str:
        """A JSON path such as ``lines[0].unit`` or ``lines.0.unit`` in the sender's words: ``line[1].unit``."""
        shape: Shape | None = self.item
        parts: list[str] = []
        for name in _PART.findall(path):
            if name.isdecimal() and parts:
                parts[-1] += f"[{int(name) + 1}]"
                continue
            known = next((f for f in shape.fields.values() if f.name == name), None) if shape else None
            parts.append(known.element if known else name)
            shape = known.inside if known else None
        return ".".join(parts)


def _text(element: etree._Element) -> str:
    return element.text or ""


def _trimmed(element: etree._Element) -> str:
    return (element.text or "").strip()


def _integer(element: etree._Element) -> int:
    return int(element.text or "")


def _number(element: etree._Element) -> float:
    return float(element.text or "")


def _flag(element: etree._Element) -> bool:
    return (element.text or "").strip() in ("true", "1")


def _entry(element: etree._Element) -> tuple[str, str]:
    return _text(element[0]), _text(element[1])


def _path(element: etree._Element) -> tuple[str, list[str]]:
    key, *values = element
    return _text(key), [_text(value) for value in values]


_MAPS: Final[Mapping[str, Read]] = {"Entry": _entry, "Category": _path}


def _reader(base: str) -> Read:
    """How a simple value of this built-in type is read. Decimals stay text: JSON numbers would round them."""
    if base in _INTEGERS:
        return _integer
    return {"string": _text, "boolean": _flag, "double": _number}.get(base, _trimmed)


class _Compiler:
    """Reads the shapes off the schema."""

    def __init__(self, schema: etree._Element, bases: Mapping[str, str]) -> None:
        self._types = {named.get("name"): named for named in schema.iterfind(f"{XS}complexType")}
        self._bases = bases

    def shape(self, type_: etree._Element) -> Shape:
        shape = Shape()
        for element in type_.iterfind(f"{XS}sequence/{XS}element"):
            name = element.get("name", "")
            shape.fields[f"{{{NAMESPACE}}}{name}"] = self._field(name, element)
        return shape

    def item(self, operation: etree._Element) -> Shape:
        items = operation.find(f"{XS}complexType/{XS}sequence/{XS}element[@name='{ITEM}']")
        assert items is not None
        return self.shape(self._types[_local(items.get("type"))])

    def _field(self, name: str, element: etree._Element) -> Field:
        repeats = element.get("maxOccurs", "1") != "1"
        type_ = _local(element.get("type"))
        snake = _HUMP.sub(r"_\1", name).lower()
        plural = PLURALS.get(name, f"{snake}s") if repeats else snake
        if type_ in _MAPS:
            return Field(name, plural, _MAPS[type_], repeats, is_map=True)
        if type_ not in self._types:
            return Field(name, plural, _reader(self._bases.get(type_, type_)), repeats)
        inside = self.shape(self._types[type_])
        return Field(name, plural, inside.read, repeats, inside)


def _local(name: Any) -> str:
    return str(name).rpartition(":")[2]


def _operations() -> tuple[Mapping[str, Operation], Validator]:
    loaded = load_schema(WSDL)
    root = etree.parse(str(WSDL)).getroot()
    schema = root.find(f".//{XS}schema")
    assert schema is not None
    compiler = _Compiler(schema, loaded.bases)
    names = [operation.get("name", "") for operation in root.iterfind("{*}portType/{*}operation")]
    elements = {element.get("name"): element for element in schema.iterfind(f"{XS}element")}
    operations = {name: Operation(name, compiler.item(elements[name])) for name in names}
    return operations, Validator(loaded)


OPERATIONS, VALIDATOR = _operations()
