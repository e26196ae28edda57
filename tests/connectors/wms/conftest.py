"""A WMS of two small warehouses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from flows.testing.live import LiveSystem, live_system

SECRET: Final = "keep-this-to-yourself"
CUSTOMER: Final = "yunshang"


@pytest.fixture
def wms(tmp_path: Path) -> Iterator[LiveSystem]:
    with live_system(
        "wms",
        tmp_path / "books.db",
        settings={"customer_id": CUSTOMER},
        secrets={"app_secret": SECRET},
        simulator_settings={
            "app_secret": SECRET,
            "customer_id": CUSTOMER,
            "pick_min_s": "0.01",
            "pick_max_s": "0.03",
        },
        faults={},
    ) as live:
        names = {"W1": "上海总仓", "W2": "广州华南仓"}
        warehouses = [{"warehouseCode": code, "warehouseName": name} for code, name in names.items()]
        stock = [{"warehouseCode": "W1", "itemCode": f"0{n}", "quantity": 10} for n in range(1, 4)]
        live.control("POST", "/_seed", {"warehouses": warehouses, "stock": stock})
        yield live


def parcel(number: str, *lines: tuple[str, int], warehouse: str = "W1") -> dict[str, Any]:
    """A parcel document as flows send it; lines are (item code, quantity)."""
    return {
        "parcel_no": number,
        "order_no": "S1",
        "channel": "pos",
        "placed_at": "2026-11-03T01:30:00+00:00",
        "location": warehouse,
        "location_ref": warehouse,
        "lines": [
            {"line_no": position, "sku": f"sku-{item}", "sku_ref": item, "quantity": quantity}
            for position, (item, quantity) in enumerate(lines, start=1)
        ],
        "receiver": {"name": "陈一", "city": "杭州市"},
    }
