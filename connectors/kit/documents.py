"""Bytes to records: JSON, NDJSON, CSV and XML, each within stated limits."""

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from email.message import Message
from functools import lru_cache
from typing import Any, Final

import jmespath
import jmespath.exceptions
import jmespath.functions
import orjson

from canonical_model.errors import ConfigurationError, Issue, LimitError, RecordError
from canonical_model.ports import Limits
from connectors.kit.xml import parse_xml, refused

JSON: Final = frozenset({"application/json", "text/json"})
NDJSON: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
CSV: Final = frozenset({"text/csv", "application/csv"})
XML: Final = frozenset({"application/xml", "text/xml"})
CSV_ENCODINGS: Final = {"utf-8": "utf-8-sig", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}
MAX_ISSUES: Final = 100

_UTF8_BOM: Final = codecs.BOM_UTF8


def parse_document(body: bytes, media_type: str, *, limits: Limits, lists: Sequence[str] = ()) -> Any:
    """The document as plain values. NDJSON and CSV give a list of records, CSV's by its header row.

    ``lists`` are the XML paths that repeat. CSV is UTF-8 unless ``media_type`` says ``charset=gb18030``.
    Raises RecordError with every issue (codes ``document.*``) and LimitError over ``limits``.
    """
    kind, charset = _media_type(media_type)
    if kind in XML or kind.endswith("+xml"):
        return parse_xml(body, limits=limits, lists=lists)
    if len(body) > limits.body_bytes:
        raise LimitError(f"the document has {len(body)} bytes, the limit is {limits.body_bytes} (limits.body_bytes)")
    if b"\x00" in body:
        raise refused("document.nul", "the document contains a NUL byte; remove it at the source")
    if not body.strip():
        raise refused("document.empty", "the document is empty; send records")
    if kind in JSON or kind.endswith("+json"):
        return _json(body, limits)
    if kind in NDJSON:
        return _ndjson(body, limits)
    if kind in CSV:
        return _csv(body, charset, limits)
    raise refused(
        "document.media_type", f"{kind!r} is not read here; send JSON, NDJSON, CSV or XML with its media type"
    )


def extract_records(document: Any, records_path: str, *, limits: Limits | None = None) -> list[Any]:
    """The records that ``records_path`` finds; a single object counts as one record.

    The path is JMESPath with one more function: ``each_with(items, {day: day})`` gives every item the named
    values of its document, for sources that say once what holds for all.
    RecordError ``document.records`` if nothing is there; LimitError over ``limits.records``.
    """
    try:
        found = document if records_path == "@" else _compiled(records_path).search(document, _OPTIONS)
    except jmespath.exceptions.JMESPathError as error:
        raise refused(
            "document.records", f"the document is not the documented envelope: {error}", records_path
        ) from error
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, list):
        raise refused("document.records", f"no records at {records_path!r}; send the documented envelope", records_path)
    if limits is not None:
        _check_count(len(found), limits)
    return found


class _Functions(jmespath.functions.Functions):
    @jmespath.functions.signature({"types": ["array", "null"]}, {"types": ["object"]})
    def _func_each_with(self, items: list[Any] | None, shared: dict[str, Any]) -> list[Any] | None:
        if items is None:
            return None
        return [{**shared, **item} if isinstance(item, dict) else item for item in items]


_OPTIONS: Final = jmespath.Options(custom_functions=_Functions())


@lru_cache(maxsize=256)
def _compiled(path: str) -> Any:
    try:
        return jmespath.compile(path)
    except jmespath.exceptions.JMESPathError as error:
        raise ConfigurationError(f"{path!r} is not a JMESPath: {error}; correct it in the manifest") from error


def _media_type(value: str) -> tuple[str, str]:
    message = Message()
    message["content-type"] = value
    return message.get_content_type(), str(message.get_param("charset", "utf-8")).lower()


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.records:
        raise LimitError(f"the message has {count} records, the limit is {limits.records} (limits.records); send fewer")


def _json(body: bytes, limits: Limits) -> Any:
    document = _load(body.removeprefix(_UTF8_BOM))
    if body.count(b"[") + body.count(b"{") > limits.depth:
        _check_depth(document, limits.depth)
    return document


def _load(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _json_error(error, text) from error


def _json_error(error: orjson.JSONDecodeError, text: bytes) -> RecordError:
    reason = error.msg.split(":", maxsplit=1)[0]
    if "depth" in reason or "ecursion" in reason:
        return refused("document.depth", "values nest deeper than any record does; send flat records")
    try:
        ends = len(text.decode("utf-8").rstrip())
    except UnicodeDecodeError as wrong:
        return refused("document.encoding", f"byte {wrong.start} is not UTF-8; send UTF-8")
    if error.pos >= ends:
        return refused("document.truncated", f"the JSON ends too early, at character {error.pos}; send the whole of it")
    return refused("document.syntax", f"not JSON at line {error.lineno} column {error.colno}: {reason}")


def _check_depth(document: Any, limit: int) -> None:
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > limit:
            raise refused("document.depth", f"values nest deeper than {limit} (limits.depth); send flatter records")
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value)
            if type(inner) is dict or type(inner) is list
        ]


def _ndjson(body: bytes, limits: Limits) -> list[Any]:
    records: list[Any] = []
    issues: list[Issue] = []
    for number, line in enumerate(body.removeprefix(_UTF8_BOM).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(_json(line, limits))
        except RecordError as error:
            issues += [Issue(f"line {number}", issue.code, issue.detail) for issue in error.issues]
            if len(issues) >= MAX_ISSUES:
                break
    if issues:
        raise RecordError(issues, code=issues[0].code)
    _check_count(len(records), limits)
    return records


def _csv(body: bytes, charset: str, limits: Limits) -> list[dict[str, str]]:
    if charset not in CSV_ENCODINGS:
        raise refused("document.encoding", f"charset {charset!r} is not read here; use {', '.join(CSV_ENCODINGS)}")
    try:
        text = body.decode(CSV_ENCODINGS[charset])
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is not {charset}; send UTF-8 or name the charset in the media type"
        raise refused("document.encoding", detail) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return _csv_records(reader, limits)
    except csv.Error as error:
        code = "document.truncated" if "unexpected end" in str(error) else "document.syntax"
        raise refused(code, f"not CSV at line {reader.line_num}: {error}") from error


def _csv_records(reader: Any, limits: Limits) -> list[dict[str, str]]:
    header: list[str] = next(reader, [])
    names = [name.strip() for name in header]
    if not names or "" in names or len(set(names)) != len(names):
        raise refused(
            "document.header", "the header row is missing, or has an empty or repeated name; name each column once"
        )
    records: list[dict[str, str]] = []
    issues: list[Issue] = []
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            detail = f"has {len(row)} columns, the header {len(names)}; quote values that hold a comma"
            issues.append(Issue(f"line {reader.line_num}", "document.columns", detail))
            if len(issues) >= MAX_ISSUES:
                break
        else:
            _check_count(len(records) + 1, limits)
            records.append(dict(zip(names, row, strict=True)))
    if issues:
        raise RecordError(issues, code=issues[0].code)
    return records
