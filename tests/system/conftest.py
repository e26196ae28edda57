"""A whole estate for tests: PostgreSQL, hub and three simulators as processes of their own, no faults unless asked."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx
import pytest

from connectors.sap.books import SapBooks
from connectors.wms.books import WmsBooks
from flows.runtime import embedded
from flows.testing.databases import server_folder
from hub_api.demo.estate import DemoEstate, running_estate
from hub_api.demo.retailer import MINI_PROGRAM, Goods, catalogue
from hub_api.demo.supply import CREDIT_LIMIT_YUAN, open_sites, place_sites, send_goods

WAIT_S = 60.0
NO_FAULTS = dict.fromkeys(("delay", "error500", "drop_answer", "duplicate", "malformed"), 0.0)
NO_WMS_FAULTS = {**NO_FAULTS, **dict.fromkeys(("lacking", "partial", "no_stock"), 0.0)}
ENDED = ("shipped", "partly_shipped", "cancelled")

T = TypeVar("T")


def eventually(ask: Callable[[], T], accept: Callable[[T], bool]) -> T:
    """The first answer that is accepted; the last one when time is up, so that an assertion can show it."""
    deadline = time.monotonic() + WAIT_S
    while True:
        answer = ask()
        if accept(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


class Shop:
    """A channel, an operator and a stock clerk in one: what a test says in one line."""

    def __init__(self, estate: DemoEstate) -> None:
        self.estate = estate
        self.channel = estate.client(estate.channel_keys[MINI_PROGRAM])
        self.operator = estate.client(estate.operator_key)
        self._goods = iter(catalogue())
        self._numbers = itertools.count(1)
        self._sent: dict[int, dict[str, Any]] = {}

    def goods(self, **warehouses: int) -> Goods:
        """Goods no other test uses; ``W_SH=3`` puts three into W-SH, and the hub knows."""
        goods = next(self._goods)
        rows = [
            {
                "warehouseCode": code.replace("_", "-"),
                "itemCode": goods.code,
                "inventoryType": "ZP",
                "quantity": quantity,
            }
            for code, quantity in warehouses.items()
        ]
        self.tell(self.estate.wms.url, "/_seed", {"warehouses": [], "stock": rows})
        for row in rows:
            self.tell(self.estate.wms.url, f"/_report?what=stock&warehouse={row['warehouseCode']}", None)
        known = eventually(lambda: self.stock(goods), lambda levels: len(levels) == len(rows))
        assert len(known) == len(rows)
        return goods

    def tell(self, url: str, path: str, body: Any, method: str = "POST") -> None:
        """One of a simulator's controls."""
        httpx.request(method, f"{url}{path}", json=body, timeout=30, trust_env=False).raise_for_status()

    def faults(self, system: str, **rates: float) -> None:
        """From now on."""
        simulator = getattr(self.estate, system)
        none = NO_WMS_FAULTS if system == "wms" else NO_FAULTS
        self.tell(simulator.url, "/_faults", {**none, **rates}, "PUT")

    def pickers(self, *, paused: bool) -> None:
        """Send the pickers to lunch, or call them back."""
        self.tell(self.estate.wms.url, "/_picking", {"paused": paused}, "PUT")

    def buy(self, *lines: tuple[Goods, int], city: str = "杭州市", times: int = 1) -> int:
        """Place an order, so many times; its id."""
        number = f"T{next(self._numbers):05d}"
        total = sum(goods.price_minor * quantity for goods, quantity in lines)
        body = {
            "channel": MINI_PROGRAM,
            "order_no": number,
            "seller": "C-MINI",
            "placed_at": "2026-11-11T00:00:01+08:00",
            "lines": [
                {"line_no": n, "sku": goods.code, "quantity": q, "amount_minor": goods.price_minor * q}
                for n, (goods, q) in enumerate(lines, 1)
            ],
            "goods_minor": total,
            "total_minor": total,
            "receiver": {"name": "王小明", "mobile": "13800000000", "city": city, "street": "中山路1号"},
        }
        for nth in range(times):
            self._send(body, f"{number}-{nth}")
        order_id = int(self.channel.get(f"/v1/orders/by-number/{MINI_PROGRAM}/{number}").json()["id"])
        self._sent[order_id] = body
        return order_id

    def again(self, order_id: int) -> None:
        """Send an order that was placed before once more."""
        self._send(self._sent[order_id], f"again-{next(self._numbers)}")

    def _send(self, body: dict[str, Any], key: str) -> None:
        answer = self.channel.post("/v1/orders?wait=true", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 200, answer.text

    def order(self, order_id: int) -> dict[str, Any]:
        """As the hub shows it."""
        found: dict[str, Any] = self.operator.get(f"/v1/orders/{order_id}").raise_for_status().json()
        return found

    def until(self, order_id: int, accept: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
        """The order once it is as wanted."""
        return eventually(lambda: self.order(order_id), accept)

    def ended(self, order_id: int) -> dict[str, Any]:
        """The order once its run is done."""
        return eventually(
            lambda: self.order(order_id),
            lambda order: (
                order["status"] in ENDED and self.run("one_stock.fulfil_order", str(order_id))["state"] == "done"
            ),
        )

    def run(self, flow: str, key: str) -> dict[str, Any]:
        """The run of that flow and key, or an empty dict."""
        items = self.operator.get("/v1/runs", params={"flow": flow, "key": key}).raise_for_status().json()["items"]
        return dict(items[0]) if items else {}

    def effect(self, key: str) -> str | None:
        """The state of the outside write of that key, as the ledger has it."""
        rows = self.estate.hub.database.run("SELECT state FROM effect WHERE key = %s", (key,))
        return rows[0]["state"] if rows else None

    def retries(self, parcel_no: str) -> set[str]:
        """Why steps of the parcel's run were tried again, by error code."""
        rows = self.estate.hub.database.run(
            "SELECT DISTINCT step.error ->> 'code' AS code FROM flow_step AS step JOIN flow_run AS run"
            " ON run.id = step.run_id WHERE run.business_key = %s AND step.outcome = 'retry'",
            (parcel_no,),
        )
        return {row["code"] for row in rows}

    def stock(self, goods: Goods) -> dict[str, dict[str, Any]]:
        """Levels of the goods by place."""
        items = self.operator.get("/v1/stock", params={"sku": goods.code}).raise_for_status().json()["items"]
        return {level["location"]: level for level in items}

    def at_wms(self) -> dict[str, dict[str, Any]]:
        """The warehouse's own delivery orders."""
        config = self.estate.hub.estate.connector("wms").config
        return {row["deliveryOrderCode"]: row for row in WmsBooks(config).delivery_orders()}

    def at_sap(self) -> list[str]:
        """The purchase order numbers of SAP's own sales orders, one for each order."""
        config = self.estate.hub.estate.connector("sap").config
        return [row["PurchaseOrderByCustomer"] for row in SapBooks(config).sales_orders()]


@pytest.fixture(scope="module")
def estate() -> Iterator[DemoEstate]:
    """Running, with every place and all goods known and no stock anywhere."""
    with server_folder() as folder, running_estate(folder, 7, faults={}) as running:
        place_sites(running)
        open_sites(running)
        send_goods(running)
        with running.client(running.operator_key) as client:
            last = catalogue()[-1].code
            eventually(lambda: running.hub.database.run("SELECT id FROM sku WHERE code = %s", (last,)), bool)
            assert client.get("/readyz").status_code == 200
        yield running
        embedded.stop(folder / "postgres")


@pytest.fixture(scope="module")
def opened_shop(estate: DemoEstate) -> Iterator[Shop]:
    """One for all tests of a module, so that none sells the goods of another."""
    shop = Shop(estate)
    yield shop
    shop.channel.close()
    shop.operator.close()


@pytest.fixture
def shop(opened_shop: Shop, estate: DemoEstate) -> Iterator[Shop]:
    """At the end of the test every fault is off and the pickers work."""
    shop = opened_shop
    yield shop
    for system in ("pos", "wms", "sap"):
        shop.faults(system)
    shop.pickers(paused=False)
    shop.tell(estate.sap.url, "/_rules", {"credit_limit": str(CREDIT_LIMIT_YUAN)}, "PUT")
