"""What a word tells of a person: mobile numbers in it, and whether a record's name repeats who the record is about."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from canonical_model.member import plain_mobile

TELLING: Final = 8
_GAP: Final = r"[\s\-().\u00b7\u2010-\u2015]*"
_NUMBER: Final = re.compile(rf"(?<!\d)(?:(?:\+?86|0086){_GAP})?(1[3-9](?:{_GAP}\d){{9}})(?!\d)", re.ASCII)
_WITHIN: Final = re.compile(r"(?=(1[3-9]\d{9}))", re.ASCII)
_NO_DIGIT: Final = re.compile(r"\D+", re.ASCII)


def mobiles_in(text: str) -> set[str]:
    """The mainland mobile numbers that stand in the text, as eleven digits each, however they are written."""
    return {_NO_DIGIT.sub("", found) for found in _NUMBER.findall(text)}


def tells(name: str, record: Any, personal: Sequence[Any]) -> bool:
    """Whether a record's name says who the record is about. ``personal``: the compiled paths of its personal fields.

    It does when it repeats one of the personal values, or holds one that is too long to be there by chance, or a
    mobile number that stands anywhere else in the record; where a personal field cannot be read, any mobile number.
    """
    plain = plain_mobile(name)
    found = (path.search(record) for path in personal)
    held = [plain_mobile(str(value)) for value in found if isinstance(value, str | int)]
    if any(value == plain or (len(value) >= TELLING and value in plain) for value in held if value):
        return True
    numbers = set(_WITHIN.findall(_NO_DIGIT.sub("", name))) if personal else set()
    if not numbers:
        return False
    if not all(_is_readable(record, path.expression.split(".")) for path in personal):
        return True
    return any(numbers & mobiles_in(text) for text in texts_of(record) if text.strip() != name)


def texts_of(value: Any) -> Iterator[str]:
    """Every word and number in a record, names of fields included."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as fields:
                waiting += [*fields, *fields.values()]
            case list() as items:
                waiting += items
            case str() | int() | float() as text:
                yield str(text)


def _is_readable(record: Any, keys: Sequence[str]) -> bool:
    """Whether the dotted path leads through objects only, and to no list."""
    for key in keys:
        if record is None:
            return True
        if not isinstance(record, dict):
            return False
        record = record.get(key)
    return not isinstance(record, list)
