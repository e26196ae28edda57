"""The DRP's side of the day: what stores have, what their tills report to it at closing time, what is moved between
them. And the comparisons that prove its figure counts, once, while the others' lie beside it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import httpx

from connectors.drp.books import DrpBooks
from connectors.pos.books import PosBooks
from flows.ingest.pull import pull
from hub_api.demo.books import Comparison, Row, differences
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import catalogue, sites

TRANSFERS: Final = 6
SHIPPED: Final = "30"
RECEIVED: Final = "50"
SELLABLE: Final = "01"
_STATUS: Final = {"20": "approved", SHIPPED: "shipped", RECEIVED: "received"}


def open_books(estate: DemoEstate) -> None:
    """Write stores and warehouses into the DRP, and let the hub read them."""
    stores = [
        {"STORE_CODE": s.code, "STORE_NAME": s.name, "LNG": str(s.lon), "LAT": str(s.lat), "TRADE_AREA": s.city}
        for s in sites()
        if not s.warehouse
    ]
    warehouses = [
        {"WH_CODE": s.code, "WH_NAME": s.name, "LNG": str(s.lon), "LAT": str(s.lat), "DAY_CAPACITY": "5000"}
        for s in sites()
        if s.warehouse
    ]
    _post(estate, "/_seed", {"stores": stores, "warehouses": warehouses})
    _pull(estate, "stores", "warehouses")


def stock_stores(estate: DemoEstate, stock: Mapping[tuple[str, str], int]) -> None:
    """Write the stores' opening stock into the DRP, and let the hub read it."""
    items = {goods.code: goods.item for goods in catalogue()}
    stores = {site.code for site in sites() if not site.warehouse}
    rows = [
        {"STORE_CODE": site, "SKU_CODE": items[sku], "QTY": f"{quantity}.000"}
        for (site, sku), quantity in stock.items()
        if site in stores
    ]
    _post(estate, "/_seed", {"stock": rows})
    _pull(estate, "stock")


def move_between_stores(estate: DemoEstate, stock: Mapping[tuple[str, str], int]) -> None:
    """Plan a few transfers; some leave, some of these arrive."""
    stores = [site.code for site in sites() if not site.warehouse]
    items = {goods.code: goods.item for goods in catalogue()}
    rich = [(site, sku) for (site, sku), quantity in stock.items() if site in stores and quantity > 3]
    wishes = [
        {
            "FROM_CODE": site,
            "TO_CODE": stores[(stores.index(site) + 1) % len(stores)],
            "LINES": [{"SKU_CODE": items[sku], "QTY": "2.000"}],
        }
        for site, sku in rich[:: max(1, len(rich) // TRANSFERS)][:TRANSFERS]
    ]
    bills = _post(estate, "/_transfers", wishes).json()
    for number, bill in enumerate(bills):
        for status in (SHIPPED, RECEIVED)[: number % 3]:
            _post(estate, f"/_transfers/{bill}", {"STATUS": status}, "PUT")


def close_tills(estate: DemoEstate) -> None:
    """Closing time: the tills report to the DRP what was carried out of each store, and the hub reads its figures."""
    config = estate.hub.estate.connector("pos").config
    bills = [
        {
            "billNo": sale["saleNo"],
            "storeCode": sale["shopCode"],
            "lines": [{"skuCode": line["goodsCode"], "qty": line["qty"]} for line in sale["details"]],
        }
        for sale in PosBooks(config).sales()
        if not sale.get("consignee")
    ]
    _post(estate, "/_sales", bills)
    _pull(estate, "stock", "transfers")


def compare_stores(estate: DemoEstate, levels: Sequence[Row]) -> Iterator[Comparison]:
    """The DRP's shelves and transfers against the hub's; every shelf in one book only."""
    books = DrpBooks(estate.hub.estate.connector("drp").config)
    codes = {goods.item: goods.code for goods in catalogue()}
    shelves = {
        (row["STORE_CODE"], codes[row["SKU_CODE"]]): int(Decimal(row["QTY"]))
        for row in books.stock()
        if row["STOCK_TYPE"] == SELLABLE
    }
    ours = {(level["location"], level["sku"]): level["on_hand"] for level in levels if level["system"] == "drp"}
    yield differences("store stock: DRP and hub", shelves, ours)
    theirs = {
        row["BILL_NO"]: (row["FROM_CODE"], row["TO_CODE"], _STATUS.get(row["STATUS"], row["STATUS"]))
        for row in books.transfers()
    }
    yield differences("transfers: DRP and hub", theirs, _transfers(estate))
    yield _counted_once(estate, levels)


def _transfers(estate: DemoEstate) -> dict[str, tuple[str, str, str]]:
    rows = estate.hub.database.run(
        "SELECT number, here.code AS from_code, there.code AS to_code, status FROM transfer"
        " JOIN location AS here ON here.id = from_location_id JOIN location AS there ON there.id = to_location_id"
    )
    return {row["number"]: (row["from_code"], row["to_code"], row["status"]) for row in rows}


def _counted_once(estate: DemoEstate, levels: Sequence[Row]) -> Comparison:
    """Shelves that several systems report: one of them counts, the others' figures are beside it and in no sum."""
    counted = Counter((level["location"], level["sku"], level["quality"]) for level in levels)
    beside = estate.hub.database.run(
        "SELECT o.system, l.code AS location, count(*) AS n FROM stock_observation o"
        " JOIN location l ON l.id = o.location_id GROUP BY 1, 2"
    )
    authority = {level["location"]: level["system"] for level in levels}
    wrong = [f"{place}: counted {n} times" for place, n in counted.items() if n > 1]
    wrong += [
        f"{row['location']}: {row['system']} counts it and observes it"
        for row in beside
        if authority.get(row["location"]) == row["system"]
    ]
    wrong += [
        f"{name} reported shelves, and none of its figures is kept"
        for name in ("pos", "sap")
        if name not in {row["system"] for row in beside}
    ]
    return Comparison("shelves counted once, other systems' figures beside", len(counted), tuple(wrong))


def _pull(estate: DemoEstate, *streams: str) -> None:
    for stream in streams:
        report = pull(estate.hub, "drp", stream)
        if report.error is not None:
            raise report.error


def _post(estate: DemoEstate, path: str, body: Any, method: str = "POST") -> httpx.Response:
    response = httpx.request(method, f"{estate.legacy['drp'].url}{path}", json=body, timeout=60, trust_env=False)
    return response.raise_for_status()
