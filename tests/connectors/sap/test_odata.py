"""The simulated OData services: what they serve is what SAP's own metadata says."""

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from connectors.sap.streams import _QUERY

from .conftest import Sap

SERVICES = {
    "API_MATERIAL_STOCK_SRV": {"A_MatlStkInAcctMod"},
    "API_SALES_ORDER_SRV": {"A_SalesOrder", "A_SalesOrderItem"},
}
SAP_METADATA = Path(__file__).parents[4] / "shared" / "data" / "odata"
EDM = "{http://schemas.microsoft.com/ado/2008/09/edm}"
ORDERS = "/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder"
STOCK = "/sap/opu/odata/sap/API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod"


def entities(edmx: bytes) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Keys and property types of each entity set."""
    root = etree.fromstring(edmx)
    kinds = {kind.get("Name"): kind for kind in root.iter(f"{EDM}EntityType")}
    found = {}
    for entity in root.iter(f"{EDM}EntitySet"):
        kind = kinds[str(entity.get("EntityType")).rpartition(".")[2]]
        keys = [str(ref.get("Name")) for ref in kind.iter(f"{EDM}PropertyRef")]
        properties = {str(p.get("Name")): str(p.get("Type")) for p in kind.iter(f"{EDM}Property")}
        found[str(entity.get("Name"))] = (keys, properties)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_keys_properties_and_types_are_those_of_sap(sap: Sap, service: str) -> None:
    file = SAP_METADATA / f"{service}.edmx"
    if not file.exists():
        pytest.skip(f"SAP's metadata is not at {file}")
    ours = entities(sap.get(f"/sap/opu/odata/sap/{service}/$metadata").content)
    saps = entities(file.read_bytes())
    assert ours.keys() == SERVICES[service]
    for name, (keys, properties) in ours.items():
        assert keys == saps[name][0]
        assert properties.items() <= saps[name][1].items()


def test_what_the_reader_asks_for_exists(sap: Sap) -> None:
    assert sap.get(STOCK, **_QUERY).status_code == 200
    assert sap.get(STOCK, **{**_QUERY, "$select": "Colour"}).status_code == 400


def test_filter_order_count_and_paging_work_together(sap: Sap) -> None:
    rows = [
        {"material": f"M{number}", "plant": plant, "quantity": "1"} for number in range(5) for plant in ("1010", "2001")
    ]
    sap.control("PUT", "/_stock", rows)
    query = {"$filter": "Plant eq '2001' and (Material ne 'M0' or Plant eq 'none')", "$orderby": "Material desc"}
    first = sap.get(STOCK, **query, **{"$inlinecount": "allpages", "$select": "Material,Plant"}).json()["d"]
    assert first["__count"] == "4"
    assert [row["Material"] for row in first["results"]] == ["M4", "M3", "M2"]
    assert set(first["results"][0]) == {"__metadata", "Material", "Plant"}
    second = sap.get(first["__next"].removeprefix(sap.process.url)).json()["d"]
    assert [row["Material"] for row in second["results"]] == ["M1"]
    assert "__next" not in second
    some = sap.get(STOCK, **query, **{"$top": "2", "$skip": "1"}).json()["d"]
    assert [row["Material"] for row in some["results"]] == ["M3", "M2"]
    assert "__next" not in some


@pytest.mark.parametrize(
    "query",
    ["Plant eq", "Plant gt '1'", "Plant eq '1' or", "(Plant eq '1'", "Plant eq '1') or ('1' eq '1'", "1=1; DROP"],
)
def test_a_wrong_filter_is_an_odata_error(sap: Sap, query: str) -> None:
    answer = sap.get(STOCK, **{"$filter": query})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]["value"]


def test_a_quote_in_a_filter_is_only_a_quote(sap: Sap) -> None:
    query: dict[str, Any] = {"$filter": "PurchaseOrderByCustomer eq 'O''Neill'' or 1 eq 1'"}
    assert sap.get(ORDERS, **query).json()["d"]["results"] == []


def test_nobody_reads_without_a_logon(sap: Sap) -> None:
    assert sap._http.get(ORDERS, auth=("YIPAN", "wrong")).status_code == 401


def test_nobody_writes_without_a_token(sap: Sap) -> None:
    refused = sap._http.post("/sap/bc/idoc_xml", content=b"<ORDERS05/>")
    assert (refused.status_code, refused.headers["x-csrf-token"]) == (403, "Required")
    assert sap.orders() == []
