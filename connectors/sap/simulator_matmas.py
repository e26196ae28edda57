"""MATMAS05 as the simulated SAP sends it, from a plain catalogue entry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from connectors.kit.xml import render_xml
from connectors.sap.simulator_books import stored_number

# Catalogue keys and the fields they become; absent keys leave no element.
_MATERIAL: Final = {
    "type": "MTART",
    "group": "MATKL",
    "hierarchy": "PRDHA",
    "unit": "MEINS",
    "old_number": "BISMT",
    "ean": "EAN11",
    "shelf_life": "MHDHB",
    "remaining_shelf_life": "MHDRZ",
    "shelf_life_period": "IPRKZ",
    "storage_condition": "TEMPB",
    "status": "MSTAE",
}
_FLAGS: Final = {"deleted": "LVORM", "batch_managed": "XCHPF"}
_EXTENSION: Final = {
    "style": "ZZSTYLE",
    "colour": "ZZCOLOUR",
    "size": "ZZSIZE",
    "season": "ZZSEASON",
    "tag_price": "ZZTAGPR",
    "retail_price": "ZZRTLPR",
    "currency": "ZZWAERS",
}
_LANGUAGES: Final = {"name": ("1", "ZH"), "name_en": ("E", "EN")}
KEYS: Final = frozenset(
    {"number", "generic", "units", "plants", *_MATERIAL, *_FLAGS, *_EXTENSION, *_LANGUAGES}
)  # everything a catalogue entry may say


def render_matmas05(entries: Sequence[tuple[int, Mapping[str, Any]]], *, client: str, sent_at: datetime) -> bytes:
    """One document with an IDoc for each (document number, catalogue entry); ``sent_at`` in SAP's own zone."""
    return render_xml("MATMAS05", {"IDOC": [_idoc(number, entry, client, sent_at) for number, entry in entries]})


def _idoc(number: int, entry: Mapping[str, Any], client: str, sent_at: datetime) -> dict[str, Any]:
    control = {
        "@SEGMENT": "1",
        "TABNAM": "EDI_DC40",
        "MANDT": client,
        "DOCNUM": f"{number:016}",
        "DOCREL": "756",
        "STATUS": "30",
        "DIRECT": "1",
        "OUTMOD": "2",
        "IDOCTYP": "MATMAS05",
        "MESTYP": "MATMAS",
        "SNDPOR": "SAPYPN",
        "SNDPRT": "LS",
        "SNDPRN": f"CLNT{client}",
        "RCVPRT": "LS",
        "RCVPRN": "YIPAN",
        "CREDAT": sent_at.strftime("%Y%m%d"),
        "CRETIM": sent_at.strftime("%H%M%S"),
    }
    return {"@BEGIN": "1", "EDI_DC40": control, "E1MARAM": _material(entry)}


def _material(entry: Mapping[str, Any]) -> dict[str, Any]:
    generic = entry.get("generic")
    fields = {
        "@SEGMENT": "1",
        "MSGFN": "005",
        "MATNR": stored_number(str(entry["number"])),
        "SATNR": stored_number(str(generic)) if generic else None,
        **{field: entry.get(key) for key, field in _MATERIAL.items()},
        **{field: "X" if entry.get(key) else None for key, field in _FLAGS.items()},
    }
    texts = [
        {"@SEGMENT": "1", "MSGFN": "005", "SPRAS": spras, "MAKTX": entry[key], "SPRAS_ISO": iso}
        for key, (spras, iso) in _LANGUAGES.items()
        if entry.get(key)
    ]
    extension = {field: entry.get(key) for key, field in _EXTENSION.items()}
    return {
        **fields,
        "E1MAKTM": texts,
        "E1MARCM": [{"@SEGMENT": "1", "MSGFN": "005", "WERKS": plant} for plant in entry.get("plants", ())],
        "E1MARMM": [_unit(unit) for unit in entry.get("units", ())],
        "Z1MARAM": {"@SEGMENT": "1", **extension} if any(extension.values()) else None,
    }


def _unit(unit: Mapping[str, Any]) -> dict[str, Any]:
    """``{"unit", "per" (base units in one), "ean", "weight_kg"}``."""
    ean = unit.get("ean")
    return {
        "@SEGMENT": "1",
        "MSGFN": "005",
        "MEINH": unit["unit"],
        "UMREZ": str(unit["per"]),
        "UMREN": "1",
        "EAN11": ean,
        "BRGEW": unit.get("weight_kg"),
        "GEWEI": "KGM" if unit.get("weight_kg") else None,
        "E1MEANM": [{"@SEGMENT": "1", "MEINH": unit["unit"], "EAN11": ean, "HPEAN": "X"}] if ean else [],
    }
