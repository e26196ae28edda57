"""Source paths: where in a record a rule reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

_READ_FROM_FIRST_CHILD = frozenset(
    {
        "subexpression",
        "index_expression",
        "projection",
        "filter_projection",
        "value_projection",
        "flatten",
        "pipe",
    }
)
# Keeps nothing of a search, so one serves all threads.
_INTERPRETER = TreeInterpreter()
MAX_KEY = 80
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Base(Enum):
    """What a path starts from: the current object, the whole record (``$.``), or the position (``#``)."""

    CURRENT = "current"
    RECORD = "record"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class Path:
    """One parsed source path.

    keys: the plain object keys of a dotted path; None when it says more than that.
    top_keys: keys of the base object that the expression reads. node: the parsed JMESPath.
    """

    text: str
    base: Base
    keys: tuple[str, ...] | None
    top_keys: frozenset[str]
    node: Any = field(default=None, repr=False)

    def search(self, value: Any) -> Any:
        """What the JMESPath finds in ``value``. Raises JMESPathError on a wrong type for a function."""
        return _INTERPRETER.visit(self.node, value)


def parse_path(text: str) -> Path:
    """The path that ``text`` says. Raises ValueError with a sentence about the mistake."""
    if text == "#":
        return Path(text, Base.POSITION, None, frozenset())
    base = Base.RECORD if text.startswith("$.") else Base.CURRENT
    words = text.removeprefix("$.")
    try:
        node: Any = jmespath.compile(words).parsed
        _check_functions(node)
    except (JMESPathError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{text!r} is not a JMESPath ({reason}); quote keys with special characters") from error
    return Path(words, base, _plain_keys(node), _top_keys(node), node)


def member(place: str, key: str | int) -> str:
    """The path of a member of the object or list at ``place``, as JMESPath writes it: ``Lines[2].Qty``."""
    if isinstance(key, int):
        return f"{place}[{key}]"
    if not _IDENTIFIER.fullmatch(key):
        key = f'"{key[:MAX_KEY]}"'
    return f"{place}.{key}" if place else key


def _plain_keys(node: Mapping[str, Any]) -> tuple[str, ...] | None:
    match node["type"]:
        case "current":
            return ()
        case "field":
            return (node["value"],)
        case "subexpression":
            parts = [_plain_keys(child) for child in node["children"]]
            if None not in parts:
                return tuple(key for part in parts if part for key in part)
    return None


def _top_keys(node: Mapping[str, Any]) -> frozenset[str]:
    kind, children = node["type"], node["children"]
    if kind == "field":
        return frozenset({node["value"]})
    if kind == "expref":
        return frozenset()
    if kind in _READ_FROM_FIRST_CHILD:
        children = [child for child in children if child["type"] not in {"current", "identity"}][:1]
    return frozenset().union(*map(_top_keys, children))


def _check_functions(node: Mapping[str, Any]) -> None:
    if node["type"] == "function_expression":
        known = Functions.FUNCTION_TABLE
        name, given = node["value"], len(node["children"])
        if name not in known:
            raise ValueError(f"JMESPath has no function {name!r}; it has {', '.join(sorted(known))}")
        signature = known[name]["signature"]
        variadic = bool(signature) and signature[-1].get("variadic", False)
        if given < len(signature) or (given > len(signature) and not variadic):
            raise ValueError(f"JMESPath function {name!r} takes {len(signature)} arguments, not {given}")
    for child in node["children"]:
        _check_functions(child)
