"""What a schema forbids in an element: where, by which rule, and what to do; never the value itself."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from lxml import etree

from connectors.kit.soap_schema import LoadedSchema

MAX_VIOLATIONS: Final = 100
MAX_LOG: Final = 1_000

_STEP: Final = re.compile(r"(?:(?P<prefix>[^:/\[]+):)?(?P<name>[^/\[]+)(?:\[(?P<number>\d+)\])?")
_LAST_QUOTED: Final = re.compile(r"'([^']*)'[^']*$")
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
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "attribute",
    "SCHEMAV_CVC_COMPLEX_TYPE_4": "no_attribute",
    "SCHEMAV_CVC_TYPE_3_1_1": "attribute",
    "SCHEMAV_CVC_ELT_1": "undeclared",
    "SCHEMAV_CVC_ELT_3_1": "nil",
    "SCHEMAV_CVC_ELT_3_2_1": "nil",
}
_WITH_LIMIT: Final = frozenset({"too_long", "too_short", "length", "too_small", "too_large", "digits", "pattern"})
_SENTENCES: Final = {
    "type": "is not a valid {limit}; correct it",
    "too_long": "is longer than {limit} characters; shorten it",
    "too_short": "is shorter than {limit} characters; fill it in, or leave the element out",
    "length": "must have {limit} characters",
    "pattern": "does not have the form {limit}",
    "choice": "must be one of {limit}",
    "too_small": "is below the least value {limit}",
    "too_large": "is above the greatest value {limit}",
    "digits": "has more than {limit} digits",
    "missing": "is missing; send it",
    "too_many": "is repeated more than {limit} times; send smaller batches",
    "unexpected": "is not expected here",
    "attribute": "has an attribute that the schema does not know; remove it",
    "no_attribute": "lacks an attribute that the schema asks for",
    "nil": "may not be nil; leave the element out",
    "text": "has content that may not be there",
    "undeclared": "is not declared in the schema",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing the schema forbids.

    ``field`` is the place, such as ``item[3].quantity`` (numbers count from 1); ``code`` a key of the sentences
    above; ``limit`` what the schema wants there, as far as it says so: a length, a bound, a built-in type, the
    choices, the elements that may come. The value itself is never part of it.
    """

    field: str
    code: str
    limit: str = ""


class Validator:
    """A schema that threads may share: validation takes turns, since libxml2 keeps one log a schema."""

    def __init__(self, schema: LoadedSchema) -> None:
        self._schema = schema
        self._turn = threading.Lock()

    def violations(self, element: etree._Element) -> list[Violation]:
        """What is wrong with ``element`` and all below it; at most MAX_VIOLATIONS, empty if nothing is."""
        compiled = self._schema.compiled
        with self._turn:
            if compiled.validate(element):
                return []
            log = islice(cast(Any, compiled.error_log), MAX_LOG)
            entries = [(entry.path or "", entry.type_name, entry.message) for entry in log]
        places = _Places(element)
        found: dict[str, Violation] = {}
        for path, kind, message in entries:
            violation = self._violation(*places.find(path), kind, message)
            found.setdefault(violation.field, violation)
            if len(found) == MAX_VIOLATIONS:
                break
        return list(found.values())

    def _violation(self, place: etree._Element, names: Sequence[str], kind: str, message: str) -> Violation:
        if kind == "SCHEMAV_ELEMENT_CONTENT":
            return self._misplaced(place, names, message)
        field, code = ".".join(names), _CODES.get(kind, "type")
        last = _LAST_QUOTED.search(message)
        word = last[1] if last else ""
        if code == "choice":
            return Violation(field, code, message.rpartition("{")[2].partition("}")[0].replace("'", ""))
        if code == "type":
            word = word.rpartition("}")[2]
            return Violation(field, code, self._schema.bases.get(word, word.removeprefix("xs:")))
        return Violation(field, code, word if code in _WITH_LIMIT else "")

    def _misplaced(self, place: etree._Element, names: Sequence[str], message: str) -> Violation:
        """A missing element, or one out of place: if what must come instead comes nowhere later, that is missing.

        libxml2 lists what may come; the last of the list is the one that must, unless all of it may be left out.
        """
        expected = _EXPECTED.search(message)
        wanted = [name.rpartition("}")[2] for name in expected[1].split(", ")] if expected else []
        if "Missing child" in message:
            return Violation(".".join([*names, *wanted[-1:]]), "missing")
        later = {_local(sibling) for sibling in place.itersiblings()}
        must = wanted[-1] if wanted and (len(wanted) == 1 or wanted[-1] not in self._schema.optional) else None
        if must is not None and must not in later:
            return Violation(".".join([*names[:-1], must]), "missing")
        before = place.getprevious()
        if before is not None and before.tag == place.tag:
            number = int(names[-1].partition("[")[2].rstrip("]"))
            return Violation(".".join(names), "too_many", str(number - 1))
        return Violation(".".join(names), "unexpected", ", ".join(wanted))


def words(violation: Violation) -> str:
    """One English sentence that says what is wrong and what to do."""
    if violation.code == "unexpected" and violation.limit:
        return f"is not expected here; expected is {violation.limit}"
    return _SENTENCES[violation.code].format(limit=violation.limit or "value")


class _Places:
    """Finds elements by libxml2's paths below a root, and says in readable words where they are."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._children: dict[etree._Element, list[etree._Element]] = {}

    def find(self, path: str) -> tuple[etree._Element, list[str]]:
        """The element at ``path``, and the names on the way to it, numbered from 1 where they repeat."""
        place, names = self._root, []
        for step in path.split("/")[2:]:
            match = _STEP.fullmatch(step)
            children = self._below(place)
            if match and match["name"] != "*":
                children = [c for c in children if _local(c) == match["name"] and c.prefix == match["prefix"]]
            number = int(match["number"] or 1) if match else 1
            if number > len(children):
                break
            parent, place = place, children[number - 1]
            alike = [child for child in self._below(parent) if child.tag == place.tag]
            names.append(_local(place) + (f"[{alike.index(place) + 1}]" if len(alike) > 1 else ""))
        return place, names

    def _below(self, parent: etree._Element) -> list[etree._Element]:
        if parent not in self._children:
            self._children[parent] = [child for child in parent if isinstance(child.tag, str)]
        return self._children[parent]


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
