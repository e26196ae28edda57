"""ORDERS05 as SAP's IDoc inbox takes it."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.kit.xml import render_xml

_HEADER: Final = ("E1EDK01", "E1EDK14", "E1EDK03", "E1EDKA1", "E1EDK02")
SALES_AREA_PARTS: Final = ("008", "007", "006")  # sales organisation, distribution channel, division


def render_orders05(
    segments: Mapping[str, Any], *, purchase_order: str, client: str, sales_area: tuple[str, str, str]
) -> bytes:
    """One ORDERS05 with ``segments`` of the mapping, a control record, the sales area and the purchase order number.

    RecordError names a value that XML cannot carry.
    """
    body = {
        **segments,
        "E1EDK14": [
            *segments.get("E1EDK14", ()),
            *({"QUALF": code, "ORGID": part} for code, part in zip(SALES_AREA_PARTS, sales_area, strict=True)),
        ],
        "E1EDK02": [*segments.get("E1EDK02", ()), {"QUALF": "001", "BELNR": purchase_order}],
    }
    ordered = sorted(body, key=lambda name: _HEADER.index(name) if name in _HEADER else len(_HEADER))
    control = {
        "TABNAM": "EDI_DC40",
        "MANDT": client,
        "DIRECT": "2",
        "IDOCTYP": "ORDERS05",
        "MESTYP": "ORDERS",
        "SNDPOR": "YIPAN",
        "SNDPRT": "LS",
        "SNDPRN": "YIPAN",
        "RCVPRT": "LS",
        "RCVPRN": f"CLNT{client}",
    }
    idoc = {"@BEGIN": "1", "EDI_DC40": _segment(control), **{name: _segment(body[name]) for name in ordered}}
    return render_xml("ORDERS05", {"IDOC": idoc})


def _segment(content: Any) -> Any:
    """Every segment, and every segment inside one, carries SEGMENT="1"."""
    if isinstance(content, list | tuple):
        return [_segment(item) for item in content]
    if isinstance(content, Mapping):
        return {"@SEGMENT": "1", **{name: _segment(value) for name, value in content.items()}}
    return content
