"""The DRP connector against its simulator on each database, by the suite that every connector inherits."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from canonical_model.ports import Connector
from connectors.kit.registry import connect
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem, live_system
from tests.connectors.drp.servers import server


class DrpConformance(ConnectorConformance):
    connector = "drp"
    dialect: ClassVar[str]
    postgres_url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _postgres(cls, postgres_18: str) -> None:
        cls.postgres_url = postgres_18

    @classmethod
    @contextmanager
    def _system(cls, books: Path, faults: Mapping[str, float]) -> Iterator[LiveSystem]:
        """Each simulator has a database of its own."""
        with (
            server(cls.dialect, cls.postgres_url) as found,
            live_system(
                cls.connector,
                books,
                settings={**found.settings, "page_rows": "3"},
                secrets=found.secrets,
                simulator_settings=found.simulator_settings,
                faults=faults,
            ) as live,
        ):
            cls.secrets = cls.secrets or found.secrets
            yield live

    def prepare(self, live: LiveSystem) -> None:
        live.control("POST", "/_seed", books())
        lines = [{"SKU_CODE": f"YS-{n:04}", "QTY": n} for n in range(1, 4)]
        transfers = [{"FROM_CODE": "W-SH", "TO_CODE": f"S{n:03}", "LINES": lines} for n in range(1, 8)]
        bills = live.control("POST", "/_transfers", transfers)
        live.control("PUT", f"/_transfers/{bills[0]}", {"STATUS": "30"})

    def away(self, live: LiveSystem) -> Connector:
        parts = [
            part for part in live.config.secrets["connection"].split(";") if not part.startswith(("Server=", "Port="))
        ]
        nowhere = {"connection": ";".join([*parts, "Server=127.0.0.1", "Port=9"])}
        return connect(replace(live.config, secrets=nowhere))


class TestDrpOnPostgres(DrpConformance):
    dialect = "postgresql"


class TestDrpOnMariadb(DrpConformance):
    dialect = "mariadb"


def books() -> dict[str, list[dict[str, Any]]]:
    """Seven stores with ten shelves each, and a warehouse."""
    stores = [{"STORE_CODE": f"S{n:03}", "STORE_NAME": f"门店 {n}", "SHIP_FLAG": "1"} for n in range(1, 8)]
    stock = [
        {"STORE_CODE": store["STORE_CODE"], "SKU_CODE": f"YS-{n:04}", "QTY": n} for store in stores for n in range(10)
    ]
    warehouse = {"WH_CODE": "W-SH", "WH_NAME": "上海总仓", "LNG": "121.2655", "LAT": "31.3756", "DAY_CAPACITY": "8000"}
    return {"stores": stores, "warehouses": [warehouse], "stock": stock}
