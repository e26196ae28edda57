"""Source paths: where in a record a rule reads."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import jmespath
import orjson
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
MAX_LEVELS = 50
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
    except (JMESPathError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{text!r} is not a JMESPath ({reason}); quote keys with special characters") from error
    _check(node)
    return Path(words, base, _plain_keys(node), _top_keys(node), node)


def parts(node: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The expressions within an expression; a slice has only numbers."""
    children: Sequence[Mapping[str, Any]] = node["children"]
    return () if node["type"] == "slice" else children


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
    if kind in {"expref", "slice"}:
        return frozenset()
    if kind in _READ_FROM_FIRST_CHILD:
        children = [child for child in children if child["type"] not in {"current", "identity"}][:1]
    return frozenset().union(*map(_top_keys, children))


def _check(node: Mapping[str, Any]) -> None:
    if _nests_deeper(node, 2 * MAX_LEVELS):
        raise ValueError(f"is a path with over {MAX_LEVELS} levels; shorten it, or write a converter")
    try:
        orjson.dumps(node)
    except TypeError as error:
        raise ValueError(f"is a path with a value that nothing stored can have ({error}); remove it") from error
    _check_functions(node)


def _nests_deeper(value: Any, most: int) -> bool:
    """Whether objects and lists nest over ``most`` deep; an expression within an expression takes two."""
    here = [value]
    for _ in range(most):
        here = [inner for outer in here for inner in _within(outer)]
    return any(isinstance(each, dict | list) for each in here)


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_functions(node: Mapping[str, Any], *, referable: bool = False) -> None:
    """``referable``: it is asked for as ``&a``, which anywhere else would end up in the result."""
    if node["type"] == "expref" and not referable:
        raise ValueError('has a path with "&" where no function asks for one; remove it')
    signature: Sequence[Mapping[str, Any]] = ()
    if node["type"] == "function_expression":
        known = Functions.FUNCTION_TABLE
        name, given = node["value"], len(node["children"])
        if name not in known:
            raise ValueError(f"JMESPath has no function {name!r}; it has {', '.join(sorted(known))}")
        signature = known[name]["signature"]
        variadic = bool(signature) and signature[-1].get("variadic", False)
        if given < len(signature) or (given > len(signature) and not variadic):
            raise ValueError(f"JMESPath function {name!r} takes {len(signature)} arguments, not {given}")
    for place, child in enumerate(parts(node)):
        asked = place < len(signature) and "expref" in signature[place]["types"]
        _check_functions(child, referable=asked)
