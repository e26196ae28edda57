"""What the CRM says of people in a way no table can."""

import re
from collections.abc import Mapping
from typing import Any, Final

from canonical_model.member import plain_mobile
from mappings.context import ConvertError, MapContext
from mappings.converters import text

_NO_NAME: Final = frozenset({"无", "无名", "匿名", "未知", "会员", "先生", "女士", "null", "test"})
_NO_NUMBER: Final = re.compile(r"-1|[0\-\s]*|(\d)\1{6,}|12345678\d*|无|null", re.IGNORECASE)
_HEAD_OFFICE: Final = frozenset({"0000", "ZB", "总部"})
_TEST_GRADE: Final = "99"
_YES: Final = frozenset({"1", "Y", "TRUE", "是"})
_NO: Final = frozenset({"", "0", "N", "FALSE", "否"})


def person_name(value: Any, context: MapContext) -> str | None:
    """A name; None for what tills type when they have none."""
    name = text(value, context)
    return None if name.lower() in _NO_NAME or not name.strip("-*. ") else name


def mobile(value: Any, context: MapContext) -> str | None:
    """A mobile number as its eleven digits; another number as it is; None for what tills type when they have none."""
    number = plain_mobile(text(value, context))
    return None if _NO_NUMBER.fullmatch(number) else number


def store(value: Any, context: MapContext) -> str | None:
    """A store's code; None for head office, which is no store."""
    code = text(value, context)
    return None if code in _HEAD_OFFICE else code


def is_active(value: Mapping[str, Any], context: MapContext) -> bool:
    """Neither ``deleted`` nor a member for tests, by flag or by grade."""
    return not (_flag(value["deleted"]) or _flag(value["test"]) or value["grade"] == _TEST_GRADE)


def _flag(value: Any) -> bool:
    word = "" if value is None else str(value).strip().upper()
    if word not in _YES | _NO:
        raise ConvertError("flag.unknown", f"is none of {', '.join(sorted(_YES | _NO - {''}))}; correct it in the CRM")
    return word in _YES
