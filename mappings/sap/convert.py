"""Converters of SAP's material master, stock and sales orders."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from canonical_model.common import MINOR_UNITS, from_minor, to_minor
from mappings.context import ConvertError, MapContext
from mappings.converters import gtin, local_time, strip_zeros, text, unit, whole_quantity

MATERIAL_NUMBER_DIGITS: Final = 18
MAX_MATERIAL_NUMBER: Final = 40

# SPRAS, SAP's one-character language key; SPRAS_ISO is read first.
_LANGUAGES: Final = {"1": "zh", "M": "zf", "E": "en", "D": "de", "F": "fr", "J": "ja", "3": "ko"}
_KINDS: Final = {"VERP": "material", "ROH": "material", "HIBE": "material", "DIEN": "virtual", "WERB": "gift"}
_DAYS: Final = {"": 1, "D": 1, "1": 7, "2": 30, "3": 365}
_GRAMS: Final = {"G": 1, "GRM": 1, "KG": 1000, "KGM": 1000}
_HIERARCHY: Final = (5, 10, 18)
_PRICES: Final = {"tag": "ZZTAGPR", "retail": "ZZRTLPR"}
_MAPPED: Final = frozenset(
    {"MATNR", "MTART", "MATKL", "MEINS", "BISMT", "MHDHB", "MHDRZ", "IPRKZ", "XCHPF", "LVORM", "MSTAE", "MSTAV"}
    | {"SATNR", "EAN11", "PRDHA", "TEMPB", "E1MAKTM", "Z1MARAM"}
)


def material_number(value: Any, context: MapContext) -> str:
    """MATNR as SAP stores it: digits alone are filled with zeros to 18 places, anything else stays (MATN1)."""
    number = text(value, context)
    if len(number) > MAX_MATERIAL_NUMBER:
        raise ConvertError("sku.length", f"is longer than {MAX_MATERIAL_NUMBER} characters; correct it at the source")
    return number.zfill(MATERIAL_NUMBER_DIGITS) if _is_numeric(number) else number


def sku_code(value: Any, context: MapContext) -> str:
    """The hub's SKU code: a numeric MATNR without its leading zeros, any other as it is."""
    number = text(value, context)
    return strip_zeros(number, context) if _is_numeric(number) else number


def sap_moment(value: Any, context: MapContext) -> str:
    """A point in time from [YYYYMMDD, HHMMSS] in the system's zone; a missing time is midnight."""
    day, time = value
    try:
        moment = datetime.strptime(f"{day}{time or '000000'}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - local_time adds the zone
    except ValueError as error:
        raise ConvertError("time.format", "is not a date and time; write YYYYMMDD and HHMMSS") from error
    return local_time(moment.isoformat(), context)


def material_name(value: Any, context: MapContext) -> str | None:
    """The Chinese text, else the English one, else the first."""
    names = material_names(value, context)
    return names.get("zh") or names.get("en") or next(iter(names.values()), None)


def material_names(value: Any, context: MapContext) -> dict[str, str]:
    """Texts by lower-case ISO language, from E1MAKTM."""
    return {_language(item): text(item["MAKTX"], context) for item in value if item.get("MAKTX")}


def material_kind(value: Any, context: MapContext) -> str:
    """What kind of thing a material type (MTART) is; trading goods and every customer's own type are normal."""
    return _KINDS.get(text(value, context), "normal")


def material_status(value: Any, context: MapContext) -> str:
    """From [LVORM, MSTAE, MSTAV]: flagged for deletion is discontinued, any status across plants or channels blocks."""
    deleted, across_plants, across_channels = value
    if deleted:
        return "discontinued"
    return "blocked" if across_plants or across_channels else "active"


def material_identifiers(value: Any, context: MapContext) -> list[dict[str, str]]:
    """From E1MARAM: each GTIN once, MATNR as it is for SAP, without zeros for the WMS, BISMT for the tills."""
    number = text(value.get("MATNR", ""), context)
    identifiers = [{"scheme": "sap", "value": number}, {"scheme": "wms", "value": sku_code(number, context)}]
    if value.get("BISMT"):
        identifiers.append({"scheme": "pos", "value": text(value["BISMT"], context)})
    gtins = {trade_item_number(number, context): measure for number, measure in _gtins(value)}
    return identifiers + [
        {"scheme": "gtin", "value": number, "unit": unit(measure, context)} for number, measure in gtins.items()
    ]


def trade_item_number(value: Any, context: MapContext) -> str:
    """A checked GTIN; fourteen digits that begin with a zero are given as the thirteen that tills scan."""
    number = gtin(value, context)
    return number[1:] if len(number) == 14 and number.startswith("0") else number


def grams(value: Any, context: MapContext) -> int | None:
    """Whole grams from [BRGEW, GEWEI]; no weight, zero and units that are no mass are absent."""
    amount, measure = value
    factor = _GRAMS.get(measure or "")
    if not amount or factor is None:
        return None
    return int((_decimal(amount) * factor).to_integral_value(ROUND_HALF_UP)) or None


def shelf_days(value: Any, context: MapContext) -> int | None:
    """Days from [MHDHB or MHDRZ, IPRKZ]; 0 is not maintained. Weeks are 7 days, months 30, years 365."""
    amount, period = value
    if period not in {None, *_DAYS}:
        raise ConvertError("unit.unknown", "has an unknown period indicator (IPRKZ); use blank, D, 1, 2 or 3")
    return whole_quantity(amount, context) * _DAYS[period or ""] if amount and _decimal(amount) else None


def one_level(value: Any, context: MapContext) -> list[str]:
    """A category path of one level."""
    return [text(value, context)]


def hierarchy(value: Any, context: MapContext) -> list[str]:
    """The levels of a product hierarchy (PRDHA), each with those above it: 5, 10 and 18 characters."""
    path = text(value, context)
    return [path[:end] for start, end in zip((0, *_HIERARCHY), _HIERARCHY, strict=False) if len(path) > start]


def material_prices(value: Any, context: MapContext) -> list[dict[str, Any]]:
    """Tag and retail price from Z1MARAM, in minor units of ZZWAERS (CNY when blank)."""
    currency = value.get("ZZWAERS") or "CNY"
    if currency not in MINOR_UNITS:
        raise ConvertError("currency.unknown", f"has an unknown currency; use one of {', '.join(sorted(MINOR_UNITS))}")
    return [
        {"kind": kind, "amount_minor": _minor(value[field], currency), "currency": currency}
        for kind, field in _PRICES.items()
        if value.get(field)
    ]


def has_serial_profile(value: Any, context: MapContext) -> bool:
    """Whether any plant (SERNP) manages the material by serial numbers."""
    return any(value)


def unmapped_segment(value: Any, context: MapContext) -> dict[str, Any]:
    """What of E1MARAM has no field of its own."""
    return {name: content for name, content in value.items() if name not in _MAPPED}


def place(value: Any, context: MapContext) -> str:
    """``plant/storage location``, or the plant alone."""
    return "/".join(part for part in value if part)


def order_dates(value: Any, context: MapContext) -> list[dict[str, str]]:
    """E1EDK03 022, the date of the purchase order, in the system's zone."""
    placed = datetime.fromisoformat(value).astimezone(context.tz)
    return [{"IDDAT": "022", "DATUM": placed.strftime("%Y%m%d"), "UZEIT": placed.strftime("%H%M%S")}]


def order_sums(value: Any, context: MapContext) -> list[dict[str, str]]:
    """E1EDS01 002, the total, from [minor units, currency]."""
    total_minor, currency = value
    return [{"SUMID": "002", "SUMME": str(from_minor(total_minor, currency)), "WAERQ": currency}]


def order_items(value: Any, context: MapContext) -> list[dict[str, Any]]:
    """E1EDP01 from the whole document. ConvertError ``sku.unmapped`` for a line that SAP has no number for."""
    plant, _, storage = value["location_ref"].partition("/")
    shelf = {"WERKS": plant, **({"LGORT": storage} if storage else {})}
    return [_order_item(line, value["currency"], shelf) for line in value["lines"]]


def _order_item(line: Mapping[str, Any], currency: str, shelf: Mapping[str, str]) -> dict[str, Any]:
    if not line.get("sku_ref"):
        raise ConvertError(
            "sku.unmapped", f"line {line['line_no']}: SAP has no number for {line['sku']}; send it first"
        )
    return {
        "POSEX": f"{line['line_no']:06}",
        "MENGE": str(line["quantity"]),
        "MENEE": line["unit"],
        "NETWR": str(from_minor(line["amount_minor"], currency)),
        "CURCY": currency,
        **shelf,
        "E1EDP19": [{"QUALF": "002", "IDTNR": line["sku_ref"]}],
    }


def _is_numeric(number: str) -> bool:
    return number.isascii() and number.isdigit()


def _language(item: Mapping[str, Any]) -> str:
    iso, key = item.get("SPRAS_ISO"), item.get("SPRAS") or ""
    return (iso or _LANGUAGES.get(key, key)).lower() or "und"


def _gtins(material: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each GTIN and the unit it stands for."""
    if material.get("EAN11"):
        yield material["EAN11"], material.get("MEINS", "")
    for alternative in material.get("E1MARMM") or ():
        for item in (alternative, *(alternative.get("E1MEANM") or ())):
            if item.get("EAN11"):
                yield item["EAN11"], alternative.get("MEINH", "")


def _decimal(value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ConvertError(
            "quantity.format", f"{str(value)[:40]!r} is not a number; correct it at the source"
        ) from error
    if not number.is_finite():
        raise ConvertError("quantity.format", "is not a finite number; correct it at the source")
    return number


def _minor(value: Any, currency: str) -> int:
    amount = _decimal(value)
    if amount < 0:
        raise ConvertError("amount.negative", f"{amount} is below zero; correct it at the source")
    try:
        return to_minor(amount, currency)
    except ValueError as error:
        raise ConvertError("amount.precision", f"{error}; round it at the source") from error
