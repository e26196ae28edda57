"""From the bytes of a request to its envelope; everything that is no plain SOAP message is refused here.

Nothing grows while it is read: a DOCTYPE is refused before the parser sees it, tags are counted before a tree is
built, entities, DTDs and the network are off, and libxml2 stops at 256 levels and 10 MB of one text. Who sends is
read from the opening alone: what stands in the Body of a stranger is never built.
"""

import codecs
import re
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final, cast

from lxml import etree

from canonical_model.errors import Issue, LimitError, RecordError
from connectors.kit.xml import SAFE_OPTIONS, safe_parser

SOAP_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12: Final = "http://www.w3.org/2003/05/soap-envelope"
MEDIA_TYPES: Final = {"text/xml": SOAP_11, "application/soap+xml": SOAP_12, "application/xml": SOAP_11}
MAX_MARKS: Final = 1_000_000
OPENING_BYTES: Final = 64 * 1024
OPENING_ELEMENTS: Final = 1_000
ENCODINGS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "utf-16": "utf-16",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "gb18030": "gb18030",
}

_PIECE_BYTES: Final = 4_096
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_DECLARATION: Final = re.compile(rb"\s*<\?xml\b[^>]{0,200}?\?>")
_DECLARED_ENCODING: Final = re.compile(rb"encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_PROLOG: Final = re.compile(rb"(?:\s+|<!--.*?-->|<\?.*?\?>)*", re.DOTALL)
_CODES: Final = etree.ErrorTypes
_BAD_CHARACTERS: Final = {_CODES.ERR_INVALID_CHAR, _CODES.ERR_INVALID_ENCODING, _CODES.ERR_UNSUPPORTED_ENCODING}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message: its SOAP version (the namespace), its header blocks, and the one element in its body."""

    version: str
    headers: tuple[etree._Element, ...]
    content: etree._Element


@dataclass(frozen=True, slots=True)
class Opening:
    """What of a message comes before its Body: the SOAP version and the header blocks."""

    version: str
    headers: tuple[etree._Element, ...]


class VersionError(RecordError):
    """The envelope is of a SOAP version that nobody here speaks."""

    default_code = "soap.version"


def version_asked(content_type: str) -> str:
    """The SOAP version that the media type announces; 1.1 when it announces none."""
    return MEDIA_TYPES.get(_media_type(content_type)[0], SOAP_11)


def read_envelope(body: bytes, content_type: str) -> Envelope:
    """The envelope of a request.

    Raises RecordError (``document.*``, ``soap.envelope``, ``soap.version``) and LimitError (too many elements).
    """
    return _envelope(_parse(_as_utf8(body, _charset(content_type))))


def read_opening(start: bytes, content_type: str) -> Opening | None:
    """The opening of a request whose first bytes are ``start``; None while the Header has not ended in them.

    Raises what ``read_envelope`` does.
    """
    charset = _charset(content_type)
    if not start.strip():
        return None
    text = _without_dtd(_as_utf8(start, charset, whole=False))
    parser = etree.XMLPullParser(events=("start", "end"), encoding="utf-8", **SAFE_OPTIONS)
    try:
        return _find_opening(parser, text)
    except etree.XMLSyntaxError as error:
        raise _syntax(error, ends_early=False) from error


def _find_opening(parser: Any, text: bytes) -> Opening | None:
    version, elements = "", 0
    for at in range(0, len(text), _PIECE_BYTES):
        parser.feed(text[at : at + _PIECE_BYTES])
        for event, element in parser.read_events():
            elements += event == "start"
            if elements > OPENING_ELEMENTS:
                detail = f"the Header holds over {OPENING_ELEMENTS} elements; send fewer"
                raise LimitError(detail, code="limit.header")
            around = element.getparent()
            if around is None:
                version = _version_of(element)
            elif around.getparent() is None:
                if element.tag != f"{{{version}}}Header":
                    return Opening(version, ())
                if event == "end":
                    return Opening(version, tuple(element))
    return None


def _charset(content_type: str) -> str | None:
    media_type, charset = _media_type(content_type)
    if media_type not in MEDIA_TYPES:
        detail = f"{media_type} is no SOAP message; send text/xml (SOAP 1.1) or application/soap+xml (SOAP 1.2)"
        raise _refused("document.media_type", detail)
    return charset


def _media_type(content_type: str) -> tuple[str, str | None]:
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset")
    return message.get_content_type(), str(charset).lower() if charset else None


def _as_utf8(body: bytes, charset: str | None, *, whole: bool = True) -> bytes:
    """The document in UTF-8. The transport's charset counts, else the byte order mark, else the XML declaration.

    What is not ``whole`` may end within a character.
    """
    if not body.strip():
        raise _refused("document.empty", "the body is empty; send a SOAP envelope")
    name = charset or _encoding_of(body)
    if name not in ENCODINGS:
        raise _refused("document.encoding", f"the encoding {name[:40]!r} is not read here; send UTF-8")
    codec = ENCODINGS[name]
    if codec != "utf-8":
        try:
            body = codecs.getincrementaldecoder(codec)().decode(body, whole).encode()
        except UnicodeError as error:
            raise _refused("document.encoding", f"the bytes are not {name}; send UTF-8") from error
    if b"\x00" in body:
        raise _refused("document.nul", "the document contains a NUL character; remove it at the source")
    return body


def _encoding_of(body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    declaration = _DECLARATION.match(body)
    found = _DECLARED_ENCODING.search(declaration[0]) if declaration else None
    return found[1].decode("ascii").lower() if found and not body.startswith(_UTF8_BOM) else "utf-8"


def _without_dtd(body: bytes) -> bytes:
    text = body.removeprefix(_UTF8_BOM)
    prolog = _PROLOG.match(text)
    if text.startswith(b"<!DOCTYPE", prolog.end() if prolog else 0):
        raise _refused("document.dtd", "the document has a DOCTYPE, which SOAP forbids; send the envelope without one")
    return text


def _parse(body: bytes) -> etree._Element:
    text = _without_dtd(body)
    if text.count(b"<") > MAX_MARKS or text.count(b"=") > MAX_MARKS:
        detail = f"the document has over {MAX_MARKS} tags or attributes; send smaller batches"
        raise LimitError(detail, code="limit.marks")
    try:
        root = etree.fromstring(text, safe_parser("utf-8"))
    except etree.XMLSyntaxError as error:
        ends_early = text.lstrip().startswith(b"<") and not text.rstrip().endswith(b">")
        raise _syntax(error, ends_early=ends_early) from error
    if cast(Any, root.getroottree().docinfo).doctype:
        raise _refused("document.dtd", "the document has a DOCTYPE, which SOAP forbids; send the envelope without one")
    return root


def _version_of(root: etree._Element) -> str:
    """The SOAP version of the envelope that ``root`` is."""
    name = etree.QName(root)
    version = name.namespace or ""
    if name.localname != "Envelope":
        raise _refused("soap.envelope", "the document is no SOAP envelope; send what the WSDL describes")
    if version not in (SOAP_11, SOAP_12):
        raise VersionError(
            [Issue("Envelope", "soap.version", "the envelope's namespace is neither SOAP 1.1 nor SOAP 1.2; use one")],
            code="soap.version",
        )
    return version


def _envelope(root: etree._Element) -> Envelope:
    version = _version_of(root)
    parts = [child.tag for child in root]
    if parts not in ([f"{{{version}}}Body"], [f"{{{version}}}Header", f"{{{version}}}Body"]):
        detail = "an envelope holds at most one Header and then exactly one Body; send nothing else in it"
        raise _refused("soap.envelope", detail, "Envelope")
    body = root[-1]
    if len(body) != 1:
        detail = f"the Body holds {len(body)} elements; send exactly one, the operation"
        raise _refused("soap.body", detail, "Envelope.Body")
    headers = tuple(root[0]) if len(root) > 1 else ()
    return Envelope(version, headers, body[0])


def _refused(code: str, detail: str, field: str = "") -> RecordError:
    return RecordError([Issue(field, code, detail)], code=code)


def _syntax(error: etree.XMLSyntaxError, *, ends_early: bool) -> RecordError:
    """Why libxml2 gave up, without its words: they may quote the document."""
    where = f"line {error.lineno}" if error.lineno else "the start"
    if "depth" in str(error.msg):
        return _refused("document.depth", f"elements nest too deep at {where}; send flat records")
    code = cast(Any, error).code
    if code in _BAD_CHARACTERS:
        return _refused("document.encoding", f"{where} holds bytes or characters that XML forbids; send clean UTF-8")
    if code in (_CODES.ERR_UNDECLARED_ENTITY, _CODES.WAR_UNDECLARED_ENTITY):
        return _refused("document.entity", f"{where} uses an entity that XML does not know; send the character itself")
    if code == _CODES.ERR_TAG_NOT_FINISHED or ends_early:
        return _refused("document.truncated", f"the XML ends too early, at {where}; send the whole document")
    return _refused("document.syntax", f"not well-formed XML at {where}; send what an XML library writes")
