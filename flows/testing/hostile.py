"""Bodies that hostile or broken senders push; every one must end in a clear refusal, never in a crash."""

from collections.abc import Mapping
from typing import Any, Final

_BOMB: Final = b"".join(
    b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10 if level else b"lol") for level in range(10)
)

BODIES: Final[Mapping[str, tuple[str, bytes]]] = {
    "nothing": ("application/json", b""),
    "truncated JSON": ("application/json", b'[{"a": 1}, {"a"'),
    "wrong JSON": ("application/json", b"[{'a': 1}]"),
    "JSON in Latin-1": ("application/json", '[{"a": "é"}]'.encode("latin-1")),
    "JSON with a NUL byte": ("application/json", b'[{"a": "\x00"}]'),
    "JSON 10,000 deep": ("application/json", b"[" * 10_000 + b"]" * 10_000),
    "JSON objects 10,000 deep": ("application/json", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "NDJSON with a broken line": ("application/x-ndjson", b'{"a": 1}\n{"a":\n{"a": 3}\n'),
    "CSV with a row too short": ("text/csv", b"a,b\n1,2\n3\n"),
    "CSV with an open quote": ("text/csv", b'a,b\n1,"2\n'),
    "CSV with a column twice": ("text/csv", b"a,a\n1,2\n"),
    "CSV in GBK that says UTF-8": ("text/csv", "名,量\n衬衫,1\n".encode("gbk")),
    "truncated XML": ("application/xml", b"<request><items><item>"),
    "wrong XML": ("application/xml", b"<request><a></b></request>"),
    "XML with wrong bytes": ("application/xml", b"<a>\xff\xfe</a>"),
    "XML with a NUL byte": ("application/xml", b"<a>\x00</a>"),
    "XML with a DTD": ("application/xml", b"<!DOCTYPE a><a/>"),
    "an entity bomb": ("application/xml", b"<!DOCTYPE a [" + _BOMB + b"]><a>&l9;</a>"),
    "an entity bomb in an attribute": ("application/xml", b"<!DOCTYPE a [" + _BOMB + b']><a b="&l9;"/>'),
    "an external entity": ("application/xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
    "an external DTD": ("application/xml", b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>'),
    "XML 10,000 deep": ("application/xml", b"<a>" * 10_000 + b"</a>" * 10_000),
    "an element of 50,000 attributes": (
        "application/xml",
        b"<a " + b" ".join(b'a%d="1"' % number for number in range(50_000)) + b"/>",
    ),
    "an unknown media type": ("image/png", b"\x89PNG"),
}

RECORDS: Final[tuple[Any, ...]] = (
    {},
    [],
    None,
    "text",
    -1,
    1e308,
    True,
    {"": ""},
    {"a": {"b": [{"c": None}]}},
    {"a": "\x00"},
    {"quantity": "123456789012345678901234567890"},
)
