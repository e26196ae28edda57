"""XML in and out without a surprise: no DTD, no entities, no network, no depth beyond the limit."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast

from lxml import etree

from canonical_model.errors import Issue, LimitError, RecordError
from canonical_model.ports import Limits

TEXT: Final = "#text"
MAX_ATTRIBUTES: Final = 200

_UTF16_OR_32: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_CODES: Final = etree.ErrorTypes
_ENCODING: Final = {_CODES.ERR_INVALID_CHAR, _CODES.ERR_INVALID_ENCODING, _CODES.ERR_UNSUPPORTED_ENCODING}
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def parse_xml(body: bytes, *, limits: Limits, lists: Sequence[str] = ()) -> dict[str, Any]:
    """The content of the root element as a dict.

    An element with only text is a str (empty: ``""``); attributes are ``"@name"``, text beside them ``"#text"``.
    Namespaces are dropped. ``lists`` are dotted paths below the root: such an element is a list wherever its
    parent is, also when there is one or none. Raises RecordError (``document.dtd``, ``.depth``, ``.truncated``,
    ``.encoding``, ``.nul``, ``.syntax``, ``.repeated``, ``.attributes``) and LimitError over ``limits.body_bytes``.
    """
    if len(body) > limits.body_bytes:
        raise LimitError(f"the document has {len(body)} bytes, the limit is {limits.body_bytes} (limits.body_bytes)")
    if b"\x00" in body and not body.startswith(_UTF16_OR_32):
        raise refused("document.nul", "the document contains a NUL byte; remove it at the source")
    if not body.strip():
        raise refused("document.empty", "the document is empty; send XML")
    try:
        root = etree.fromstring(body, safe_parser())
    except etree.XMLSyntaxError as error:
        raise _syntax(error, body) from error
    except LookupError as error:
        raise refused("document.encoding", f"{error}; send UTF-8") from error
    if cast(Any, root.getroottree().docinfo).doctype:
        raise refused("document.dtd", "the document has a DOCTYPE; send XML without one")
    content = _Reader(limits.depth).read(root, _list_tree(tuple(lists)), ())
    if isinstance(content, str):
        return {TEXT: content} if content.strip() else {}
    return content


SAFE_OPTIONS: Final[Mapping[str, Any]] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
    "collect_ids": False,
}
"""What every parser of foreign XML is made with, whole or in parts."""


def safe_parser(encoding: str | None = None) -> etree.XMLParser:
    """A parser for what others send: no DTD, no entities, no network, lxml's own limits; comments are dropped.

    ``encoding`` overrides what the document declares. A DOCTYPE is still to be refused by whoever parses.
    """
    return etree.XMLParser(encoding=encoding, **SAFE_OPTIONS)


def render_xml(root: str, document: Mapping[str, Any]) -> bytes:
    """UTF-8 XML of ``document`` under the element ``root``: the reverse of parse_xml.

    Values are str, int, Decimal, bool, dict or a list of them; a None is left out. RecordError names the path of
    a value that XML cannot carry.
    """
    element = etree.Element(root)
    _fill(element, document, root)
    return etree.tostring(element, xml_declaration=True, encoding="UTF-8")


def refused(code: str, detail: str, field: str = "") -> RecordError:
    """The error of a document that cannot be read as a whole."""
    return RecordError([Issue(field, code, detail)], code=code)


class _Lists(dict[str, "_Lists"]):
    """The elements on the way to repeating ones; ``repeats`` marks those themselves."""

    repeats = False


_NO_LISTS: Final = _Lists()


class _Reader:
    """Turns elements into dicts, down to a depth."""

    def __init__(self, depth: int) -> None:
        self._max_depth = depth

    def read(self, element: etree._Element, lists: _Lists, path: tuple[str, ...]) -> dict[str, Any] | str:
        if len(element) and len(path) + 1 >= self._max_depth:
            raise refused("document.depth", f"elements nest deeper than {self._max_depth} (limits.depth)")
        content = _attributes(element)
        content.update((name, []) for name, below in lists.items() if below.repeats)
        texts = [element.text or ""]
        for child in element:
            name = _local(child.tag)
            below = lists.get(name, _NO_LISTS)
            is_leaf = not (len(child) or below or child.keys())
            _add(content, name, (child.text or "") if is_leaf else self.read(child, below, (*path, name)), path)
            texts.append(child.tail or "")
        text = "".join(texts)
        if not content:
            return text
        if text.strip():
            content[TEXT] = text
        return content


def _attributes(element: etree._Element) -> dict[str, Any]:
    names = element.keys()
    if len(names) > MAX_ATTRIBUTES:
        detail = (
            f"<{_local(element.tag)}> has {len(names)} attributes, at most {MAX_ATTRIBUTES} are read; send elements"
        )
        raise refused("document.attributes", detail)
    return {f"@{_local(name)}": element.get(name) for name in names}


def _add(content: dict[str, Any], name: str, value: dict[str, Any] | str, path: tuple[str, ...]) -> None:
    if name not in content:
        content[name] = value
    elif isinstance(known := content[name], list):
        known.append(value)
    else:
        where = ".".join((*path, name))
        raise refused("document.repeated", f"<{name}> repeats; declare {where!r} in the stream's lists", where)


def _local(name: Any) -> str:
    return str(name).rpartition("}")[2]


@lru_cache(maxsize=256)
def _list_tree(paths: tuple[str, ...]) -> _Lists:
    root = _Lists()
    for path in paths:
        node = root
        for name in path.split("."):
            node = node.setdefault(name, _Lists())
        node.repeats = True
    return root


def _syntax(error: etree.XMLSyntaxError, body: bytes) -> RecordError:
    where = f"line {error.lineno}" if error.lineno else "the start"
    if "depth" in str(error.msg):
        return refused("document.depth", f"elements nest too deep at {where}; send flatter records")
    code = cast(Any, error).code
    if code in _ENCODING:
        return refused("document.encoding", f"{where} holds bytes or characters that XML forbids; send clean UTF-8")
    starts, ends = body.lstrip().startswith(b"<"), body.rstrip().endswith(b">")
    if code == _CODES.ERR_TAG_NOT_FINISHED or (starts and not ends):
        return refused("document.truncated", f"the XML ends too early, at {where}; send the whole document")
    return refused("document.syntax", f"not well-formed XML: {error.msg}")


def _fill(element: etree._Element, content: Mapping[str, Any], path: str) -> None:
    for key, value in content.items():
        here = f"{path}.{key}"
        if value is None:
            continue
        if key == TEXT:
            element.text = _text(value, here)
        elif key.startswith("@"):
            element.set(key[1:], _text(value, here))
        else:
            for item in value if isinstance(value, list | tuple) else (value,):
                child = etree.SubElement(element, key)
                if isinstance(item, Mapping):
                    _fill(child, item, here)
                else:
                    child.text = _text(item, here)


def _text(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | Decimal):
        raise refused("value.type", f"XML carries no {type(value).__name__}; send text or a whole number", path)
    text = str(value)
    if _FORBIDDEN.search(text):
        raise refused("value.control", "contains a control character that XML forbids; remove it", path)
    return text
