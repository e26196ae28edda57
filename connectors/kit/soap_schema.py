"""The schemas of a WSDL or schema file, read from this machine alone.

Nothing is ever fetched: imports are files beside the WSDL, or one of the schemas shipped in ``wsdl/``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from lxml import etree

from canonical_model.errors import ConfigurationError

MAX_DERIVATIONS: Final = 10
XS: Final = "{http://www.w3.org/2001/XMLSchema}"

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


@dataclass(frozen=True, slots=True)
class LoadedSchema:
    """A compiled schema. ``optional`` are the elements that may be left out somewhere; ``bases`` the built-in type
    of each named simple type. Names are without their namespaces: both only help to word what is wrong."""

    compiled: etree.XMLSchema
    optional: frozenset[str]
    bases: Mapping[str, str]


def load_schema(path: Path) -> LoadedSchema:
    """The schema in a ``.xsd`` file, or all the schemas inside a WSDL (and the WSDLs it imports) together.

    ConfigurationError when a file is missing, would have to be fetched, or is no valid schema.
    """
    try:
        root = etree.parse(str(path), _parser({})).getroot()
        if root.tag == f"{XS}schema":
            return _loaded(etree.XMLSchema(root.getroottree()), [root])
        schemas = list(_schemas(path, set()))
        return _loaded(_combined(schemas), [schema for schema, _ in schemas])
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


def _loaded(compiled: etree.XMLSchema, schemas: Sequence[etree._Element]) -> LoadedSchema:
    optional = {
        (element.get("name") or element.get("ref") or "").rpartition(":")[2]
        for schema in schemas
        for element in schema.iter(f"{XS}element")
        if element.get("minOccurs") == "0"
    }
    bases = {
        named.get("name", ""): restriction.get("base", "").rpartition(":")[2]
        for schema in schemas
        for named in schema.iterfind(f"{XS}simpleType")
        if (restriction := named.find(f"{XS}restriction")) is not None
    }
    for _ in range(MAX_DERIVATIONS):
        bases = {name: bases.get(base, base) for name, base in bases.items()}
    return LoadedSchema(compiled, frozenset(optional), bases)


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
