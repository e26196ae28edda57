"""What a WSDL or schema file says, read from this machine alone, and what is wrong with an element under it.

Nothing is ever fetched: imports are files beside the WSDL, or one of the schemas shipped in ``wsdl/``.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from lxml import etree

from canonical_model.errors import ConfigurationError

XS: Final = "{http://www.w3.org/2001/XMLSchema}"
MAX_VIOLATIONS: Final = 100
MAX_LOG: Final = 1_000

_WSDL: Final = "{http://schemas.xmlsoap.org/wsdl/}"
_SHIPPED_FOLDER: Final = Path(__file__).parent / "wsdl"
_OASIS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
SHIPPED: Final = {
    "http://schemas.xmlsoap.org/soap/encoding/": _SHIPPED_FOLDER / "soap-encoding.xsd",
    "http://www.w3.org/XML/1998/namespace": _SHIPPED_FOLDER / "xml.xsd",
    "http://www.w3.org/2001/xml.xsd": _SHIPPED_FOLDER / "xml.xsd",
    "http://www.w3.org/2001/03/xml.xsd": _SHIPPED_FOLDER / "xml.xsd",
    "http://www.w3.org/2005/05/xmlmime": _SHIPPED_FOLDER / "xmlmime.xsd",
    f"{_OASIS}-secext-1.0.xsd": _SHIPPED_FOLDER / "wsse.xsd",
    f"{_OASIS}-utility-1.0.xsd": _SHIPPED_FOLDER / "wsu.xsd",
}
_INLINE: Final = "yipan-inline:"
_STEP: Final = re.compile(r"(?:(?P<prefix>[^:/\[]+):)?(?P<name>[^/\[]+)(?:\[(?P<number>\d+)\])?")
_QUOTED: Final = re.compile(r"'([^']*)'")
_EXPECTED: Final = re.compile(r"Expected is (?:one of )?\( (.+?)\s*\)\.")

_CODES: Final = {
    "SCHEMAV_CVC_MAXLENGTH_VALID": "too_long",
    "SCHEMAV_CVC_MINLENGTH_VALID": "too_short",
    "SCHEMAV_CVC_LENGTH_VALID": "length",
    "SCHEMAV_CVC_PATTERN_VALID": "pattern",
    "SCHEMAV_CVC_ENUMERATION_VALID": "choice",
    "SCHEMAV_CVC_MININCLUSIVE_VALID": "too_small",
    "SCHEMAV_CVC_MINEXCLUSIVE_VALID": "too_small",
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": "too_large",
    "SCHEMAV_CVC_MAXEXCLUSIVE_VALID": "too_large",
    "SCHEMAV_CVC_TOTALDIGITS_VALID": "digits",
    "SCHEMAV_CVC_FRACTIONDIGITS_VALID": "digits",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": "text",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": "text",
    "SCHEMAV_CVC_ELT_1": "undeclared",
}
_ATTRIBUTE_CODES: Final = {"SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "attribute", "SCHEMAV_CVC_COMPLEX_TYPE_4": "no_attribute"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing the schema forbids.

    ``field`` is the place, such as ``item[3].quantity`` (numbers count from 1); ``code`` one of type, too_long,
    too_short, length, pattern, choice, too_small, too_large, digits, missing, unexpected, attribute,
    no_attribute, text, undeclared; ``limit`` what the schema wants there, as far as it says so. The value itself is
    never part of it.
    """

    field: str
    code: str
    limit: str = ""


class Validator:
    """A compiled schema that threads may share: validation takes turns, since libxml2 keeps one log a schema."""

    def __init__(self, schema: etree.XMLSchema) -> None:
        self._schema = schema
        self._turn = threading.Lock()

    def violations(self, element: etree._Element) -> list[Violation]:
        """What is wrong with ``element`` and all below it; at most MAX_VIOLATIONS, empty if nothing is."""
        with self._turn:
            if self._schema.validate(element):
                return []
            log = islice(cast(Any, self._schema.error_log), MAX_LOG)
            entries = [(entry.path, entry.type_name, entry.message) for entry in log]
        found: dict[str, Violation] = {}
        for path, kind, message in entries:
            violation = _violation(element, path or "", kind, message)
            found.setdefault(violation.field, violation)
            if len(found) == MAX_VIOLATIONS:
                break
        return list(found.values())


def words(violation: Violation) -> str:
    """One English sentence that says what is wrong and what the schema wants."""
    limit = violation.limit
    sentences = {
        "too_long": f"is longer than {limit} characters; shorten it",
        "too_short": f"is shorter than {limit} characters; fill it in",
        "length": f"must have {limit} characters",
        "pattern": "does not have the form that the schema asks for",
        "choice": f"must be one of {limit}",
        "too_small": f"is below the least value {limit}",
        "too_large": f"is above the greatest value {limit}",
        "digits": f"has more than {limit} digits",
        "missing": "is missing; send it",
        "unexpected": f"is not expected here{f'; expected is {limit}' if limit else ''}",
        "attribute": f"has an attribute that the schema does not know: {limit}",
        "no_attribute": f"lacks the attribute {limit}",
        "text": "has text where only elements may be",
        "undeclared": "is not declared in the schema",
    }
    return sentences.get(violation.code, f"is not a valid {limit or 'value'}; correct it")


def load_schema(path: Path) -> etree.XMLSchema:
    """The schema in a ``.xsd`` file, or all the schemas inside a WSDL (and the WSDLs it imports) together.

    ConfigurationError when a file is missing, would have to be fetched, or is no valid schema.
    """
    try:
        root = etree.parse(str(path), _parser({})).getroot()
        if root.tag == f"{XS}schema":
            return etree.XMLSchema(root.getroottree())
        return _combined(list(_schemas(path, set())))
    except (OSError, etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
        raise ConfigurationError(f"{path.name} cannot be used: {error}; put every imported file beside it") from error


def find_local(url: str) -> Path | None:
    """The file on this machine that ``url`` stands for: a shipped schema, or a local path; None for the rest."""
    if url in SHIPPED:
        return SHIPPED[url]
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        return Path(unquote(parts.path))
    return None


class _LocalResolver(cast(Any, etree.Resolver)):  # type: ignore[misc]
    """Answers libxml2's wish for another document, or refuses it."""

    def __init__(self, inline: dict[str, tuple[bytes, str]]) -> None:
        super().__init__()
        self._inline = inline

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:
        if system_url in self._inline:
            text, base = self._inline[system_url]
            return self.resolve_string(text, context, base_url=base)
        found = find_local(system_url)
        if found is None:
            raise ConfigurationError(f"{system_url} would have to be fetched; put it beside the WSDL")
        return self.resolve_filename(str(found), context)


def _parser(inline: dict[str, tuple[bytes, str]]) -> etree.XMLParser:
    parser = etree.XMLParser(no_network=True, resolve_entities=False, load_dtd=False)
    parser.resolvers.add(_LocalResolver(inline))
    return parser


def _schemas(path: Path, seen: set[Path]) -> Iterator[tuple[etree._Element, str]]:
    """Every schema element of the WSDL and of those it imports, each with the file it stands in."""
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    root = etree.parse(str(path), _parser({})).getroot()
    for schema in root.iterfind(f"{_WSDL}types/{XS}schema"):
        yield schema, str(path)
    for imported in root.iterfind(f"{_WSDL}import"):
        place = imported.get("location") or ""
        local = find_local(place)
        if local is None:
            raise ConfigurationError(f"{place} would have to be fetched; put it beside the WSDL")
        yield from _schemas(path.parent / local, seen)


def _combined(schemas: list[tuple[etree._Element, str]]) -> etree.XMLSchema:
    """One schema over all of them. libxml2 takes one import a namespace, so each namespace gets one document."""
    spaces: dict[str, list[tuple[etree._Element, str]]] = {}
    for schema, base in schemas:
        spaces.setdefault(schema.get("targetNamespace") or "", []).append((schema, base))
    places = {space: f"{_INLINE}{number}" for number, space in enumerate(spaces)}
    inline: dict[str, tuple[bytes, str]] = {}
    for space, parts in spaces.items():
        for number, (schema, base) in enumerate(parts):
            _point_imports(schema, places)
            inline[f"{places[space]}.{number}"] = (etree.tostring(schema), base)
        included = [("include", {"schemaLocation": f"{places[space]}.{number}"}) for number in range(len(parts))]
        inline[places[space]] = (_driver(space, included), "")
    imported = [
        ("import", {"schemaLocation": place} | ({"namespace": space} if space else {}))
        for space, place in places.items()
    ]
    return etree.XMLSchema(etree.fromstring(_driver("", imported), _parser(inline)).getroottree())


def _driver(space: str, children: list[tuple[str, dict[str, str]]]) -> bytes:
    root = etree.Element(f"{XS}schema", {"targetNamespace": space} if space else {})
    for name, attributes in children:
        etree.SubElement(root, f"{XS}{name}", attributes)
    return etree.tostring(root)


def _point_imports(schema: etree._Element, places: dict[str, str]) -> None:
    for imported in schema.iterfind(f"{XS}import"):
        space = imported.get("namespace") or ""
        if space in places:
            imported.set("schemaLocation", places[space])
        elif imported.get("schemaLocation") is None and space in SHIPPED:
            imported.set("schemaLocation", space)


def _violation(root: etree._Element, path: str, kind: str, message: str) -> Violation:
    place, names = _walk(root, path)
    if kind == "SCHEMAV_ELEMENT_CONTENT":
        expected = _EXPECTED.search(message)
        wanted = [_local(name) for name in expected[1].replace(" ", "").split(",")] if expected else []
        if "Missing child" not in message:
            return _unexpected(place, names, wanted)
        return Violation(".".join([*names, *wanted[:1]]), "missing")
    code, limit = _rule(kind, message, _QUOTED.findall(message))
    return Violation(".".join(names), code, limit)


def _rule(kind: str, message: str, quoted: list[str]) -> tuple[str, str]:
    """The code of a broken rule and what the rule wants, out of libxml2's words."""
    if kind in _ATTRIBUTE_CODES:
        return _ATTRIBUTE_CODES[kind], _local(quoted[1]) if len(quoted) > 1 else ""
    code = _CODES.get(kind, "type")
    if code == "choice":
        return code, message.rpartition("{")[2].partition("}")[0].replace("'", "")
    if code == "type":
        return code, _type_name(quoted)
    return code, quoted[-1] if quoted and quoted[-1].lstrip("-").isdigit() else ""


def _unexpected(place: etree._Element, names: list[str], wanted: list[str]) -> Violation:
    """An element out of place; when the expected one comes nowhere later, that one is simply missing."""
    if len(wanted) == 1:
        later = {_local(sibling.tag) for sibling in place.itersiblings() if isinstance(sibling.tag, str)}
        if wanted[0] not in later:
            return Violation(".".join([*names[:-1], wanted[0]]), "missing")
    return Violation(".".join(names), "unexpected", ", ".join(wanted))


def _walk(root: etree._Element, path: str) -> tuple[etree._Element, list[str]]:
    """The element at libxml2's path, and its readable place below ``root``."""
    place, names = root, []
    for step in path.split("/")[2:]:
        match = _STEP.fullmatch(step)
        children = [child for child in place if isinstance(child.tag, str)]
        if match and match["name"] != "*":
            children = [c for c in children if _local(c.tag) == match["name"] and c.prefix == match["prefix"]]
        number = int(match["number"] or 1) if match else 1
        if number > len(children):
            break
        parent, place = place, children[number - 1]
        alike = [child for child in parent if child.tag == place.tag]
        name = _local(place.tag)
        names.append(f"{name}[{alike.index(place) + 1}]" if len(alike) > 1 else name)
    return place, names


def _type_name(quoted: list[str]) -> str:
    """The built-in type in libxml2's words; the names of a schema's own types tell a sender little."""
    return next((_local(word).removeprefix("xs:") for word in reversed(quoted) if word.startswith("xs:")), "")


def _local(name: Any) -> str:
    return str(name).rpartition("}")[2]
