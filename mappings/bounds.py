"""What a table may look like before it is read: TOML that is small can still cost its reader much."""

import re
from typing import Final

MAX_DOTS: Final = 20
MAX_LEVELS: Final = 40

_QUOTED: Final = re.compile(
    r'"""(?:\\.?|[^\\])*?(?:"{3,5}|\Z)'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"(?:\\[^\n]|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_BETWEEN_KEYS: Final = re.compile(r"[=,{}\[\]]")


def too_costly(text: str) -> str | None:
    """Why ``text`` is not read as TOML, as the end of a sentence; None if it may be. Takes time in its length only.

    The reader takes the square of the parts of a dotted key, and a level of Python's stack for each bracket.
    """
    level = 0
    for number, line in enumerate(_QUOTED.sub(_line_ends, text).split("\n"), start=1):
        if any(part.count(".") > MAX_DOTS for part in _BETWEEN_KEYS.split(line)):
            return f"has a key of over {MAX_DOTS} dots in line {number}; write it in quotes, or with fewer levels"
        for bracket in re.findall(r"[\[\]{}]", line):
            level += 1 if bracket in "[{" else -1
            if level > MAX_LEVELS:
                return f"nests brackets deeper than {MAX_LEVELS} in line {number}; write it with fewer levels"
    return None


def _line_ends(quoted: re.Match[str]) -> str:
    return "\n" * quoted[0].count("\n")
