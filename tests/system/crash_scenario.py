"""One small business day, played again and again on one estate, each time with fresh goods and order numbers.

Every order has goods of its own, so that no accident of timing can change what the hub chooses; and the buyers, tills
and clerks try again until they are heard, whatever is down.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import httpx
from stdnum import ean

from canonical_model.errors import TransientError
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import MINI_PROGRAM, TILL, Goods, catalogue
from hub_api.demo.supply import enter_goods
from tests.system.conftest import ENDED, NO_WMS_FAULTS
from tests.system.crash_books import Books, Play, books

STOCK = {
    "coat": {"W-SH": 5},
    "socks": {"W-SH": 5},
    "scarf": {"W-SH": 1},
    "hat": {"W-CD": 1},
    "gem": {"W-SH": 1, "W-CD": 1},
    "ghost": {"W-SH": 2, "W-CD": 2},
    "dress": {"W-SH": 2},
    "shell": {"W-SH": 1, "W-CD": 1},
    "tea": {"W-GZ": 2},
    "nuts": {"W-BJ": 3},
}
ORDERS = {
    "whole": {"coat": 1, "socks": 2},
    "split": {"scarf": 1, "hat": 1},
    "unfilled": {"gem": 3},
    "refused": {"ghost": 1},
    "cancelled": {"dress": 1},
    "recalled": {"shell": 1},
    "till": {"tea": 1},
    "lacking": {"nuts": 3},
}
PATIENCE_S = 90.0
POLL_S = 0.1
PRICE_MINOR = 4900
MARKED = (
    "sales_order", "parcel", "stock_hold", "stock_movement", "stock_shortfall", "order_event", "flow_run", "effect",
    "quarantine",
)  # fmt: skip
_OPEN_RUNS = "SELECT flow, business_key, state FROM flow_run WHERE state IN ('ready', 'running', 'waiting', 'parked')"

T = TypeVar("T")


def until(ask: Callable[[], T], accept: Callable[[T], object]) -> T:
    """The first answer that is accepted. Whoever is away is asked again; AssertionError when patience is at an end."""
    last: object = "nobody answered"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            answer = ask()
        except (TransientError, httpx.TransportError) as error:
            last = error
        else:
            if accept(answer):
                return answer
            last = answer
        time.sleep(POLL_S)
    raise AssertionError(f"this is still so after {PATIENCE_S:.0f} s: {last}")


class Scenario:
    """The day, act by act; ``play`` is the whole of it."""

    def __init__(self, estate: DemoEstate) -> None:
        self._estate = estate
        self._database = estate.hub.database
        self._channel = estate.client(estate.channel_keys[MINI_PROGRAM])
        self._numbers = itertools.count(1)
        self._day = Play("", {}, {})

    def play(self, *, after: str = "", blow: Callable[[], None] | None = None) -> Books:
        """What is in everybody's books when all have come to rest. ``blow`` falls right after the act ``after``."""
        number = next(self._numbers)
        marks = {
            table: self._database.run(f"SELECT coalesce(max(id), 0) AS last FROM {table}")[0]["last"]
            for table in MARKED
        }
        marks |= {"sales_order_line": marks["sales_order"], "message": time.time()}
        self._day = Play(f"D{number:04d}", _goods(number), marks)
        for act in self.acts():
            if act == after and blow is not None:
                blow()
        self.rest()
        return books(self._estate, self._day)

    def acts(self) -> Iterator[str]:
        """The story; what is yielded is what has just been done, not what has come of it."""
        self._send_goods()
        yield "goods entered"
        self._count_stock()
        yield "stock counted"
        self._tell("wms", "/_picking", {"paused": True}, "PUT")
        for name in ("whole", "split", "unfilled", "refused", "cancelled", "recalled"):
            self._buy(name)
            yield f"{name} order placed"
        self._ring_up("till")
        yield "till order rung up"
        self._until_booked("cancelled")
        until(lambda: self._channel.post(f"/v1/orders/{self._id('cancelled')}/cancel"), _is_success)
        yield "cancelled"
        self._until_booked("recalled")
        self._lose("shell", "W-SH")
        yield "goods lost"
        self._until_ended("cancelled")
        until(lambda: self._parcels("recalled"), lambda parcels: len(parcels) == 2)
        self._tell("wms", "/_picking", {"paused": False}, "PUT")
        yield "picking"
        for name in ORDERS.keys() - {"lacking"}:
            self._until_ended(name)
        self._tell("wms", "/_faults", {**NO_WMS_FAULTS, "lacking": 1.0, "partial": 1.0}, "PUT")
        self._buy("lacking")
        yield "lacking order placed"
        self._until_ended("lacking")
        self._tell("wms", "/_faults", NO_WMS_FAULTS, "PUT")

    def _send_goods(self) -> None:
        enter_goods(self._estate, list(self._day.goods.values()))

    def _count_stock(self) -> None:
        """Count it and tell the hub; then what one order hopes for goes missing and nobody tells."""
        codes = {name: goods.code for name, goods in self._day.goods.items()}
        known = "SELECT id FROM sku WHERE code = ANY(%s)"
        until(lambda: self._database.run(known, (list(codes.values()),)), lambda rows: len(rows) == len(codes))
        rows = [_counted(codes[name], site, n) for name, sites in STOCK.items() for site, n in sites.items()]
        self._tell("wms", "/_seed", {"warehouses": [], "stock": rows})
        self._tell("wms", "/_report?what=stock", None)
        levels = "SELECT l.id FROM stock_level l JOIN sku s ON s.id = l.sku_id WHERE s.code = ANY(%s)"
        until(lambda: self._database.run(levels, (list(codes.values()),)), lambda found: len(found) == len(rows))
        self._tell("wms", "/_seed", {"warehouses": [], "stock": [_counted(codes["ghost"], "W-SH", 0)]})

    def _buy(self, name: str) -> None:
        lines = [(self._day.goods[goods], quantity) for goods, quantity in ORDERS[name].items()]
        total = sum(goods.price_minor * quantity for goods, quantity in lines)
        body = {
            "channel": MINI_PROGRAM,
            "order_no": f"{self._day.name}-{name}",
            "seller": "C-MINI",
            "placed_at": "2026-11-11T00:00:01+08:00",
            "lines": [
                {"line_no": n, "sku": goods.code, "quantity": q, "amount_minor": goods.price_minor * q}
                for n, (goods, q) in enumerate(lines, 1)
            ],
            "goods_minor": total,
            "total_minor": total,
            "receiver": {"name": "王小明", "mobile": "13800000000", "city": "杭州市", "street": "中山路1号"},
        }
        headers = {"Idempotency-Key": f"{self._day.name}-{name}"}
        until(lambda: self._channel.post("/v1/orders?wait=true", json=body, headers=headers), _is_success)

    def _ring_up(self, name: str) -> None:
        consignee = {"name": "李芳", "phone": "13900000000", "province": "广东省", "city": "广州市", "district": ""}
        sale = {
            "saleNo": f"{self._day.name}-{name}",
            "shopCode": "S003",
            "details": [
                {"goodsCode": self._day.goods[goods].item, "qty": quantity, "price": f"{PRICE_MINOR / 100:.2f}"}
                for goods, quantity in ORDERS[name].items()
            ],
            "consignee": {**consignee, "address": "人民路8号"},
        }
        self._tell("pos", "/_sales", sale)

    def _lose(self, name: str, site: str) -> None:
        lost = {"warehouseCode": site, "itemCode": self._day.goods[name].code, "change": -1, "inventoryType": "ZP"}
        self._tell("wms", "/_adjust", lost)

    def _tell(self, system: str, path: str, body: Any, method: str = "POST") -> None:
        """One of a simulator's controls."""
        url = f"{getattr(self._estate, system).url}{path}"
        httpx.request(method, url, json=body, timeout=30, trust_env=False).raise_for_status()

    def _order(self, name: str) -> Mapping[str, Any]:
        query = "SELECT id, status FROM sales_order WHERE channel = %s AND order_no = %s"
        rows = self._database.run(query, (TILL if name == "till" else MINI_PROGRAM, f"{self._day.name}-{name}"))
        return rows[0] if rows else {"id": 0, "status": ""}

    def _id(self, name: str) -> int:
        return int(self._order(name)["id"])

    def _parcels(self, name: str) -> list[dict[str, Any]]:
        return list(self._database.run("SELECT * FROM parcel WHERE order_id = %s", (self._id(name),)))

    def _until_booked(self, name: str) -> None:
        until(lambda: self._parcels(name), lambda parcels: parcels and parcels[0]["erp_document"])

    def _until_ended(self, name: str) -> None:
        until(lambda: self._order(name), lambda order: order["status"] in ENDED)

    def rest(self) -> None:
        """Until nobody has anything left to tell or to do."""
        for simulator in self._estate.simulators:
            outgoing = partial(httpx.get, f"{simulator.url}/_outgoing", trust_env=False)
            until(outgoing, lambda answer: not answer.json()["pending"])
        until(lambda: self._database.run(_OPEN_RUNS), lambda runs: not runs)


def _is_success(answer: httpx.Response) -> bool:
    assert answer.status_code < 400 or answer.status_code >= 500, answer.text
    return answer.is_success


def _counted(code: str, site: str, quantity: int) -> dict[str, Any]:
    return {"warehouseCode": site, "itemCode": code, "inventoryType": "ZP", "quantity": quantity}


def _goods(day: int) -> dict[str, Goods]:
    """Goods that only this day knows, by their name in the scenario."""
    fresh = {}
    for number, name in enumerate(STOCK, 500_000 + day * len(STOCK)):
        body = f"690999{number}"
        fresh[name] = replace(
            catalogue()[0],
            material=f"{number:018d}",
            item=str(number),
            price_minor=PRICE_MINOR,
            gtin=body + ean.calc_check_digit(body),
        )
    return fresh
