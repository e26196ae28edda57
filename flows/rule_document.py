"""A TOML document of rules, read within limits."""

import re
import tomllib
from typing import Any, Final

from canonical_model.errors import Issue, RecordError

MAX_BYTES: Final = 64 * 1024
MAX_LINE: Final = 1_000
MAX_PARTS: Final = 20
_QUOTED: Final = re.compile(r""""(?:\\.|[^"\\])*+"|'[^']*+'""")
_DEEP_KEY: Final = re.compile(rf"(?<![\w-])(?:[\w-]++\s*+\.\s*+){{{MAX_PARTS}}}")


def read_document(text: str) -> dict[str, Any]:
    """The tables of ``text``. RecordError: too long, nested too deep, or not TOML."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise RecordError([Issue("", "rules.toml", "this is not UTF-8 text; save it as UTF-8")]) from error
    if length > MAX_BYTES:
        raise RecordError([Issue("", "rules.too_long", f"a rulebook has at most {MAX_BYTES:,} bytes; shorten it")])
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            detail = f"line {number} has over {MAX_LINE:,} characters; break it, a list may go over many lines"
            raise RecordError([Issue("", "rules.too_long", detail)])
        if _DEEP_KEY.search(_QUOTED.sub("q", line)):
            raise RecordError(
                [Issue("", "rules.toml", f"a key on line {number} has over {MAX_PARTS} parts; flatten it")]
            )
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise RecordError([Issue("", "rules.toml", "this nests too deep; flatten it")]) from error
    except ValueError as error:
        raise RecordError([Issue("", "rules.toml", f"this is not TOML: {error}")]) from error
