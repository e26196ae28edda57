"""Member: a person known to the retailer under one or more outside names."""

import re
from typing import Final

from canonical_model.common import Code, Sourced, Text

_BETWEEN_DIGITS: Final = re.compile(r"[\s\-().\u00b7\u2010-\u2015]+")
_MOBILE: Final = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})", re.ASCII)


class Member(Sourced):
    """One person as one source knows them; ``code`` is the number by which that source's other records name them.

    ``name``, ``mobile`` and ``extensions`` are personal. ``active``: false once the source closed the membership.
    """

    code: Code
    name: Text | None = None
    mobile: Text | None = None
    level: Code | None = None
    home_store: Code | None = None
    active: bool = True


def plain_mobile(text: str) -> str:
    """A mainland mobile number as its eleven digits, however it is written; any other text without outer spaces.

    ``+86 138-0013-8000``, ``008613800138000`` and ``138 0013 8000`` are the same number.
    """
    found = _MOBILE.fullmatch(_BETWEEN_DIGITS.sub("", text))
    return found[1] if found else text.strip()


def is_mobile(text: str) -> bool:
    """Whether the text is a mainland mobile number, however it is written."""
    return _MOBILE.fullmatch(_BETWEEN_DIGITS.sub("", text)) is not None
