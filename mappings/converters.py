"""Converters that every mapping may name in ``with``: one present value in, one value out.

Each takes (value, context) and raises ConvertError, or ValueError, with a sentence that says what to do.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from stdnum import ean
from stdnum.exceptions import ValidationError as CheckDigitError

from canonical_model.common import MAX_MINOR, MAX_QUANTITY, from_minor, to_minor
from mappings.context import ConvertError, MapContext
from mappings.explain import name_type, shorten

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ODATA_DATE = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")
_WALL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-5][0-9]:[0-5][0-9]")
_SAP_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_PROVINCE_DIGITS = 2
_SAFE_DIGITS = len(str(MAX_QUANTITY)) - 1
_SAFE_YUAN = 10.0**10
_MAX_BITS = 128

# UN/CEFACT codes (Recommendations 20 and 21) and what SAP and Chinese systems call the same.
_UNITS = {
    "EA": ("ST", "PC", "PCE", "PCS", "C62", "H87", "件", "个", "只", "支", "瓶"),
    "CS": ("KI", "箱"),
    "CT": ("CAR", "CTN", "KAR"),
    "BX": ("BOX", "盒"),
    "PA": ("包",),
    "PK": ("PAK", "PAC"),
    "PR": ("PAA", "双", "对"),
    "SET": ("套",),
    "BG": ("BAG", "袋"),
    "DZN": ("DZ", "打"),
    "KGM": ("KG", "千克", "公斤"),
    "GRM": ("G", "克"),
    "LTR": ("L", "升"),
    "MLT": ("ML", "毫升"),
    "MTR": ("M", "米"),
}
_UNIT_CODES = {alias: code for code, aliases in _UNITS.items() for alias in (code, *aliases)}


def text(value: Any, context: MapContext) -> str:
    """Text without blanks around it; whole numbers become their digits."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ConvertError("type.text", f"is {name_type(value)}, not text; send it in quotes")


def strip_zeros(value: Any, context: MapContext) -> str:
    """Text without leading zeros (SAP's MATNR and LIFNR); all zeros is one zero."""
    stripped = text(value, context)
    return stripped.lstrip("0") or stripped[:1]


def integer(value: Any, context: MapContext) -> int:
    """A whole number, also from "12" or "12.000"; refuses fractions and what is beyond the largest quantity."""
    if value.__class__ is str:
        digits = value[:-4] if value[-4:] == ".000" else value
        if digits.isdecimal() and digits.isascii() and len(digits) <= _SAFE_DIGITS:
            return int(digits)
    if value.__class__ is not int:
        number = _number(value)
        if number != number.to_integral_value():
            raise ConvertError("quantity.fractional", f"{shorten(value)} is not whole; send it in base units")
        value = int(number) if abs(number) <= MAX_QUANTITY else MAX_QUANTITY + 1
    if not -MAX_QUANTITY <= value <= MAX_QUANTITY:
        raise ConvertError("quantity.range", f"is beyond {MAX_QUANTITY}; correct it at the source")
    return int(value)


def whole_quantity(value: Any, context: MapContext) -> int:
    """A count: a whole number that is not negative."""
    number = integer(value, context)
    if number < 0:
        raise ConvertError("quantity.negative", f"{number} is below zero; send a delta or correct the figure")
    return number


def positive_quantity(value: Any, context: MapContext) -> int:
    """A count above zero: points that a writer moves in the direction it stands for."""
    number = whole_quantity(value, context)
    if number == 0:
        raise ConvertError("quantity.none", "is 0; move at least one")
    return number


def decimal(value: Any, context: MapContext) -> str:
    """An exact decimal as text, without needless zeros: "0.130" → "0.13"."""
    number = _number(value)
    if abs(number) > MAX_QUANTITY:
        raise ConvertError("number.range", f"is beyond {MAX_QUANTITY}; correct it at the source")
    return format(number.normalize() if number else Decimal(0), "f")


def yuan_to_minor(value: Any, context: MapContext) -> int:
    """Fen from yuan: "19.90" → 1990. Refuses a part of a fen."""
    if value.__class__ is str and value[-3:-2] == ".":
        digits = value[:-3] + value[-2:]
        if digits.isdecimal() and digits.isascii() and len(digits) <= _SAFE_DIGITS:
            return int(digits)
    if value.__class__ is float and (minor := round(value * 100) if abs(value) < _SAFE_YUAN else 0) / 100 == value:
        return minor
    number = _number(value)
    if abs(number) * 100 > MAX_MINOR:
        raise ConvertError("amount.range", f"is beyond {MAX_MINOR} fen; correct it at the source")
    try:
        return to_minor(number, "CNY")
    except ValueError as error:
        raise ConvertError("amount.precision", f"{shorten(value)} has parts of a fen; round it first") from error


def minor_to_yuan(value: Any, context: MapContext) -> str:
    """Yuan from fen, as text with two decimals: 1990 → "19.90"."""
    return str(from_minor(integer(value, context), "CNY"))


def local_time(value: Any, context: MapContext) -> str:
    """A point in time as ISO 8601 with offset; one without an offset is read in the system's zone."""
    if not isinstance(value, str):
        raise ConvertError("time.format", f'is {name_type(value)}, not text like "2026-11-03 09:30:00"')
    try:
        return _with_offset(value, context.tz)
    except ValueError as error:
        raise ConvertError("time.format", 'is not a time; write it like "2026-11-03 09:30:00"') from error


def sap_date(value: Any, context: MapContext) -> str | None:
    """An ISO date from SAP's YYYYMMDD; 00000000 is no date."""
    digits = text(value, context)
    if digits == "00000000":
        return None
    parts = _SAP_DATE.fullmatch(digits)
    try:
        year, month, day = map(int, parts.groups() if parts else ())
        return date(year, month, day).isoformat()
    except ValueError as error:
        raise ConvertError("time.format", "is not a date; write it as YYYYMMDD") from error


def epoch_ms(value: Any, context: MapContext) -> str:
    """A point in time from OData's "/Date(1700000000000)/" or plain milliseconds since 1970, in UTC."""
    match = _ODATA_DATE.fullmatch(value) if isinstance(value, str) else None
    number = _number(match[1] if match else value)
    try:
        milliseconds = int(number)
        return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError as error:
        raise ConvertError("time.range", "is not within the years 1 to 9999; correct it at the source") from error


def unit(value: Any, context: MapContext) -> str:
    """The UN/CEFACT code of a unit, from it, SAP's or the Chinese word."""
    word = text(value, context).upper()
    code = _UNIT_CODES.get(word)
    if code is None:
        raise ConvertError("unit.unknown", f"{shorten(word)} is no known unit; map it with a code table")
    return code


def province(value: Any, context: MapContext) -> str:
    """The province of a GB/T 2260 code of any length: its first two digits."""
    code = text(value, context)
    if len(code) < _PROVINCE_DIGITS or not (code.isascii() and code.isdecimal()):
        raise ConvertError("region.unknown", "is no GB/T 2260 code; give the code of the district, city or province")
    return code[:_PROVINCE_DIGITS]


def boolean_x(value: Any, context: MapContext) -> bool:
    """SAP's flag: X is true, blank is false."""
    flag = text(value, context) if not isinstance(value, bool) else value
    if flag in ("X", "x", True):
        return True
    if flag in ("", False):
        return False
    raise ConvertError("flag.unknown", f"{shorten(value)} is neither X nor blank; correct it at the source")


def gtin(value: Any, context: MapContext) -> str:
    """A GTIN whose check digit is right."""
    digits = text(value, context)
    try:
        return str(ean.validate(digits))
    except CheckDigitError as error:
        raise ConvertError(
            "gtin.invalid", f"{shorten(digits)} is not a valid GTIN; correct it at the source"
        ) from error


@lru_cache(maxsize=4096)
def _offset(hour: str, zone: ZoneInfo) -> str | None:
    """What to write behind any time within an hour such as "2026-11-03 09"; None where clocks are changed in it."""
    try:
        start = datetime.fromisoformat(hour).replace(tzinfo=zone)
    except ValueError:
        return None
    first, last = start.isoformat(), start.replace(minute=59, second=59).isoformat()
    return first[19:] if first[19:] == last[19:] else None


@lru_cache(maxsize=4096)
def _with_offset(value: str, zone: ZoneInfo) -> str:
    """Remembered, because the rows of a page mostly share their time."""
    if _WALL_TIME.fullmatch(value) and (offset := _offset(value[:13], zone)):
        return f"{value[:10]}T{value[11:]}{offset}"
    moment = datetime.fromisoformat(value.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).isoformat()


def _number(value: Any) -> Decimal:
    """The exact number that a value says; SAP's trailing minus is understood."""
    if isinstance(value, str):
        digits = value.strip()
        if digits.endswith("-"):
            digits = f"-{digits[:-1]}"
        if _DECIMAL.fullmatch(digits):
            return Decimal(digits)
        raise ConvertError("number.format", f"{shorten(value)} is not a number; send digits with a decimal point")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ConvertError("number.format", f"is {name_type(value)}, not a number; send digits with a decimal point")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ConvertError("number.range", "has too many digits; correct it at the source")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ConvertError("number.format", "is not a finite number; correct it at the source")
    return number
