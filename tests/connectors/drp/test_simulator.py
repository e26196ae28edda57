"""The simulated DRP: its books, its troubles, and what the connector makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from canonical_model.errors import ConfigurationError, TransientError
from canonical_model.ports import Connector, SystemConfig
from connectors.drp.books import DrpBooks
from connectors.kit.process import SimulatorProcess
from connectors.kit.registry import connect
from tests.connectors.drp.servers import SERVERS, server


@dataclass
class Drp:
    process: SimulatorProcess
    config: SystemConfig
    connector: Connector

    def control(self, method: str, path: str, body: Any = None) -> Any:
        return self.answer(method, path, body).raise_for_status().json()

    def answer(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return httpx.request(method, f"{self.process.url}{path}", json=body, timeout=30, trust_env=False)

    def stock(self) -> dict[tuple[str, str], str]:
        return {(row["STORE_CODE"], row["SKU_CODE"]): row["QTY"] for row in DrpBooks(self.config).stock()}

    def pulled(self, stream: str) -> list[dict[str, Any]]:
        pages = self.connector.readers[stream].pages(None)
        return [dict(record) for page in pages for record in page.records]


@pytest.fixture(params=SERVERS)
def drp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drp]:
    with server(request.param, request.getfixturevalue("postgres_18")) as found:
        data = tmp_path_factory.mktemp("drp") / "drp.db"
        with SimulatorProcess("drp", data, settings=found.simulator_settings) as process:
            config = SystemConfig(
                name="drp", connector="drp", owner="o", brand="b", settings=found.settings, secrets=found.secrets
            )
            drp = Drp(process, config, connect(config))
            stores = [{"STORE_CODE": code, "STORE_NAME": "门店"} for code in ("S001", "S002")]
            stock = [{"STORE_CODE": "S001", "SKU_CODE": sku, "QTY": 10} for sku in ("YS-1", "YS-2")]
            drp.control("POST", "/_seed", {"stores": stores, "warehouses": [], "stock": stock})
            yield drp


def test_a_till_bill_lowers_store_stock_once_and_survives_kill_9(drp: Drp) -> None:
    bill = {"billNo": "S001-1", "storeCode": "S001", "lines": [{"skuCode": "YS-1", "qty": 3}]}
    assert drp.control("POST", "/_sales", [bill]) == {"booked": 1, "known": 0}
    drp.process.kill()
    drp.process.start()
    assert drp.control("POST", "/_sales", [bill]) == {"booked": 0, "known": 1}
    assert drp.stock() == {("S001", "YS-1"): "7.000", ("S001", "YS-2"): "10.000"}
    unknown = {"billNo": "S001-2", "storeCode": "S001", "lines": [{"skuCode": "YS-9", "qty": 1}]}
    assert drp.answer("POST", "/_sales", [unknown]).status_code == 422
    assert drp.answer("POST", "/_sales", [{"billNo": "x"}]).status_code == 422


def test_a_transfer_moves_stock_from_store_to_store(drp: Drp) -> None:
    wish = {"FROM_CODE": "S001", "TO_CODE": "S002", "LINES": [{"SKU_CODE": "YS-1", "QTY": 4}]}
    (bill,) = drp.control("POST", "/_transfers", [wish])
    assert drp.answer("PUT", f"/_transfers/{bill}", {"STATUS": "50"}).status_code == 409
    for status in ("30", "30", "50", "50"):
        drp.control("PUT", f"/_transfers/{bill}", {"STATUS": status})
    assert drp.stock() == {("S001", "YS-1"): "6.000", ("S001", "YS-2"): "10.000", ("S002", "YS-1"): "4.000"}
    (record,) = drp.pulled("transfers")
    (line,) = record["LINES"]
    assert (record["BILL_NO"], record["STATUS"], line["SKU_CODE"], line["RECV_QTY"]) == (bill, "50", "YS-1", "4.000")
    assert drp.answer("PUT", "/_transfers/none", {"STATUS": "30"}).status_code == 404


def test_a_broken_connection_is_tried_again_later(drp: Drp) -> None:
    rows = [{"STORE_CODE": "S001", "SKU_CODE": f"YS-{n}", "QTY": n} for n in range(40)]
    drp.control("POST", "/_seed", {"stock": rows})
    config = SystemConfig(
        name="drp",
        connector="drp",
        owner="o",
        brand="b",
        settings={**drp.config.settings, "page_rows": "10"},
        secrets=drp.config.secrets,
    )
    pages = connect(config).readers["stock"].pages(None)
    first = next(pages)
    assert drp.control("DELETE", "/_sessions")["ended"] >= 1
    with pytest.raises(TransientError):
        list(pages)
    rest = connect(config).readers["stock"].pages(first.cursor)
    assert len(first.records) + sum(len(page.records) for page in rest) == 40


def test_locked_tables_only_take_longer(drp: Drp) -> None:
    drp.control("PUT", "/_faults", {"delay": 1})
    assert [len(drp.pulled("stock")) for _ in range(5)] == [2] * 5


def test_a_login_that_is_refused_is_for_a_person(drp: Drp) -> None:
    drp.control("PUT", "/_faults", {"refuse_login": 1})
    met = None
    for _ in range(2_000):
        try:
            drp.pulled("stores")
        except ConfigurationError as error:
            met = error
            break
    assert met is not None
    assert "read-only" not in str(met)


def test_rows_no_one_can_read_get_in_by_a_fault(drp: Drp) -> None:
    drp.control("PUT", "/_faults", {"malformed": 1})
    drp.control("POST", "/_seed", {"stock": [{"STORE_CODE": "S002", "SKU_CODE": "YS-1", "QTY": 5}]})
    bad = next(record for record in drp.pulled("stock") if record["STORE_CODE"] == "S002")
    assert (bad["QTY"], bad["UNIT"], bad["STOCK_TYPE"]) != ("5.000", "件", "01")
    assert drp.answer("POST", "/_seed", {"stock": [{"COLOUR": "red"}]}).status_code == 422
