"""From the catalogue of a simulated SAP over its own push to canonical products."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import jmespath
import pytest

from canonical_model.errors import RecordError
from canonical_model.product import Product, ProductStatus
from connectors.kit.documents import extract_records, parse_document
from connectors.kit.manifest import load_manifest, load_schemas
from connectors.kit.process import SimulatorProcess
from mappings.contract import load_contract
from mappings.engine import MapContext, Quarantined, load_mapping

from .conftest import Sap

CONTEXT = MapContext("yunshang", "yunshang", "sap", "Asia/Shanghai", "m-1", datetime.now(UTC))
MANIFEST = load_manifest("sap")
SHIRT = {
    "number": "10000123",
    "generic": "10000100",
    "name": "圆领T恤 红 M",
    "name_en": "Crew T-shirt red M",
    "type": "HAWA",
    "group": "A0101",
    "unit": "ST",
    "old_number": "YS-8801-RD-M",
    "ean": "6901234567892",
    "colour": "红",
    "size": "M",
    "style": "YS-8801",
    "tag_price": "199.00",
    "retail_price": "159.00",
    "units": [{"unit": "ST", "per": 1, "ean": "6901234567892", "weight_kg": "0.210"}, {"unit": "KAR", "per": 24}],
    "plants": ["1010", "2001"],
}


class Pushed(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Hub:
    """Takes what the simulated SAP pushes, as the hub's door would."""

    def __init__(self) -> None:
        self.pushes: Queue[Pushed] = Queue()
        pushes = self.pushes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pushes.put(Pushed(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> Pushed:
        return self.pushes.get(timeout=20)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def pushing(tmp_path: Path, hub: Hub) -> Iterator[Sap]:
    with SimulatorProcess("sap", tmp_path / "sap.db", hub=hub.url, key="key-1") as process:
        system = Sap(process)
        yield system
        system.close()


def document_of(body: bytes) -> dict[str, Any]:
    stream = MANIFEST.stream("materials")
    assert stream is not None
    document: dict[str, Any] = parse_document(body, "application/xml", limits=MANIFEST.limits, lists=stream.lists)
    return document


def records_of(body: bytes) -> list[dict[str, Any]]:
    records = extract_records(document_of(body), "IDOC", limits=MANIFEST.limits)
    contract = load_contract(load_schemas("sap")["materials"])
    assert contract.check_many(records) == [()] * len(records)
    return records


def message_key(body: bytes) -> Any:
    stream = MANIFEST.stream("materials")
    assert stream is not None
    return jmespath.search(stream.message_key or "", document_of(body))


def products_of(body: bytes) -> list[Product]:
    mapped = load_mapping("sap", "product_in").map_many(records_of(body), CONTEXT)
    return [Product.model_validate(product) for product in mapped]


def test_a_material_arrives_as_a_product(pushing: Sap, hub: Hub) -> None:
    pushing.control("POST", "/_catalogue", {"materials": [SHIRT]})
    push = hub.next()
    assert push.path == "/v1/ingest/sap/materials"
    assert push.headers["authorization"] == "Bearer key-1"
    (product,) = products_of(push.body)
    assert (product.code, product.spu, product.base_unit) == ("10000123", "10000100", "EA")
    assert product.names == {"zh": "圆领T恤 红 M", "en": "Crew T-shirt red M"}
    assert product.specifications == {"colour": "红", "size": "M", "style": "YS-8801"}
    assert {(i.scheme, i.value) for i in product.identifiers} == {
        ("sap", "000000000010000123"),
        ("wms", "10000123"),
        ("pos", "YS-8801-RD-M"),
        ("gtin", "6901234567892"),
    }
    assert [(price.kind, price.amount_minor) for price in product.prices] == [("tag", 19900), ("retail", 15900)]
    assert product.extensions["E1MARAM"]["E1MARCM"][1]["WERKS"] == "2001"


def test_the_document_number_names_the_message(pushing: Sap, hub: Hub) -> None:
    pushing.control("POST", "/_catalogue", {"materials": [SHIRT, {**SHIRT, "number": "10000124"}]})
    one, other = hub.next(), hub.next()
    assert "idempotency-key" not in one.headers
    assert message_key(one.body) == "0000000000232001"
    assert message_key(other.body) == "0000000000232002"


def test_a_packet_is_named_by_its_first_and_last_number(pushing: Sap, hub: Hub) -> None:
    materials = [{**SHIRT, "number": f"1000012{digit}"} for digit in range(5)]
    pushing.control("POST", "/_catalogue", {"materials": materials, "packet": 3})
    first, second = hub.next().body, hub.next().body
    assert message_key(first) == "0000000000232001-0000000000232003"
    assert message_key(second) == "0000000000232004-0000000000232005"
    assert [len(records_of(body)) for body in (first, second)] == [3, 2]


def test_a_document_without_a_number_has_no_key() -> None:
    assert message_key(b"<MATMAS05/>") is None
    assert message_key(b'<MATMAS05><IDOC BEGIN="1"><E1MARAM/></IDOC></MATMAS05>') is None


def test_one_segment_and_many_are_both_lists() -> None:
    for texts in (1, 3):
        segment = "<E1MAKTM><MAKTX>T</MAKTX></E1MAKTM>" * texts
        idoc = f"<IDOC><E1MARAM><MATNR>1</MATNR>{segment}</E1MARAM></IDOC>"
        for idocs in (1, 2):
            records = document_of(f"<MATMAS05>{idoc * idocs}</MATMAS05>".encode())["IDOC"]
            assert len(records) == idocs
            assert [len(record["E1MARAM"]["E1MAKTM"]) for record in records] == [texts] * idocs
            assert records[0]["E1MARAM"]["E1MARMM"] == []


def test_a_number_that_is_not_numeric_keeps_every_character(pushing: Sap, hub: Hub) -> None:
    numbers = ["X-RAY 80003-A", "00-7", "0012A"]
    materials = [{"number": number, "name": "坚果", "unit": "EA"} for number in numbers]
    pushing.control("POST", "/_catalogue", {"materials": materials, "packet": 3})
    products = products_of(hub.next().body)
    assert [product.code for product in products] == numbers
    assert [product.spu for product in products] == numbers
    assert {i.value for product in products for i in product.identifiers} == set(numbers)


def test_a_bad_record_names_everything_and_spares_its_neighbours(pushing: Sap, hub: Hub) -> None:
    bad = {**SHIRT, "number": "10000125", "ean": "6901234567890", "unit": "ZZZ", "tag_price": "-1"}
    pushing.control("POST", "/_catalogue", {"materials": [SHIRT, bad], "packet": 2})
    good, quarantined = load_mapping("sap", "product_in").map_many(records_of(hub.next().body), CONTEXT)
    assert isinstance(good, dict)
    assert isinstance(quarantined, Quarantined)
    assert {issue.code for issue in quarantined.issues} == {"gtin.invalid", "unit.unknown", "amount.negative"}


def test_a_material_flagged_for_deletion_is_discontinued(pushing: Sap, hub: Hub) -> None:
    pushing.control("POST", "/_catalogue", {"materials": [{**SHIRT, "deleted": True, "status": "01"}]})
    (product,) = products_of(hub.next().body)
    assert product.status is ProductStatus.DISCONTINUED


def test_a_killed_sap_sends_what_it_had_queued(tmp_path: Path, hub: Hub) -> None:
    data = tmp_path / "sap.db"
    with SimulatorProcess("sap", data) as process:
        Sap(process).control("POST", "/_catalogue", {"materials": [SHIRT]})
        process.kill()
    with SimulatorProcess("sap", data, hub=hub.url, key="key-1"):
        assert message_key(hub.next().body) == "0000000000232001"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><MATMAS05>&e;</MATMAS05>", "document.dtd"),
        (b"<MATMAS05><IDOC><E1MARAM><MATNR>1</MATNR>", "document.truncated"),
        (b"<MATMAS05>" + b"<IDOC>" * 10_000, "document.depth"),
        ("<MATMAS05><IDOC>红</IDOC></MATMAS05>".encode("gbk"), "document.encoding"),
    ],
)
def test_what_is_no_idoc_is_refused_as_a_whole(body: bytes, code: str) -> None:
    with pytest.raises(RecordError) as refused:
        document_of(body)
    assert refused.value.code == code
