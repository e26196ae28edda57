"""A simulated SAP in a process of its own, and the connector that speaks to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from canonical_model.ports import Connector, SystemConfig
from connectors.kit.process import SimulatorProcess
from connectors.kit.registry import connect

PASSWORD = "yipan-demo"


class Sap:
    """One simulated SAP with clean books."""

    def __init__(self, process: SimulatorProcess) -> None:
        self.process = process
        self._http = httpx.Client(base_url=process.url, auth=("YIPAN", PASSWORD), timeout=10, trust_env=False)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self._http.request(method, path, json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    def rules(self, **rules: Any) -> None:
        self.control("PUT", "/_rules", rules)

    def faults(self, **rates: float) -> None:
        self.control("PUT", "/_faults", rates)

    def get(self, path: str, **query: str) -> httpx.Response:
        return self._http.get(path, params=query or None)

    def orders(self) -> list[dict[str, Any]]:
        """The sales orders in its books, as its own OData service tells them."""
        answer = self.get("/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder", **{"$format": "json"})
        rows: list[dict[str, Any]] = answer.json()["d"]["results"]
        return rows

    def items(self, order: str) -> list[dict[str, Any]]:
        query = {"$filter": f"SalesOrder eq '{order}'"}
        answer = self.get("/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrderItem", **query)
        rows: list[dict[str, Any]] = answer.json()["d"]["results"]
        return rows

    def config(self, **settings: str) -> SystemConfig:
        known = {"base_url": self.process.url, "client": "100", "user": "YIPAN", "sales_area": "1010/10/00"}
        return SystemConfig(
            name="sap",
            connector="sap",
            owner="yunshang",
            brand="yunshang",
            settings={**known, **settings},
            secrets={"password": PASSWORD},
        )

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def sap(tmp_path: Path) -> Iterator[Sap]:
    """Pages of three rows, so that every list has several."""
    with SimulatorProcess("sap", tmp_path / "sap.db", settings={"page_rows": "3"}) as process:
        system = Sap(process)
        yield system
        system.close()


@pytest.fixture
def connector(sap: Sap) -> Connector:
    return connect(sap.config())


@pytest.fixture
def order() -> Callable[..., dict[str, Any]]:
    """The document of mappings/sap/sales_order_out.toml, mapped."""
    from datetime import UTC, datetime

    from mappings.engine import MapContext, load_mapping

    context = MapContext("yunshang", "yunshang", "sap", "Asia/Shanghai", "m-1", datetime.now(UTC))

    def made(**changes: Any) -> dict[str, Any]:
        line = {"line_no": 1, "sku": "10000123", "sku_ref": "000000000010000123", "unit": "EA"}
        document = {
            "parcel_no": "P-0001-1",
            "order_no": "TM-778812",
            "channel": "tmall",
            "seller": "C10010",
            "placed_at": "2026-11-03T01:30:05+00:00",
            "currency": "CNY",
            "location": "WH-SH",
            "location_ref": "1010/0001",
            "lines": [
                {**line, "quantity": 1, "amount_minor": 15900},
                {**line, "line_no": 2, "sku_ref": "X-RAY 80003-A", "quantity": 2, "amount_minor": 1990},
            ],
            "total_minor": 17890,
        }
        return load_mapping("sap", "sales_order_out").map({**document, **changes}, context)

    return made
