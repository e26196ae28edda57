"""What the systems know before the first order: places, goods, stock. And records that are wrong on purpose."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from connectors.kit.xml import render_xml
from flows.runtime.bootstrap import Hub
from hub_api import routing_rules
from hub_api.auth import command_line
from hub_api.demo import legacy, members, points, stores
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import Goods, Site, Wish, catalogue, opening_stock, sites

PACKET: Final = 25
CREDIT_LIMIT_YUAN: Final = 3600
RULES: Final = Path(__file__).with_name("rules.toml")

Task = tuple[str, Callable[[], None]]


def sap_plant(site: Site) -> str:
    """SAP's name of a place: plant and storage location."""
    number = 1 + [other.code for other in sites()].index(site.code)
    return f"{1000 + number}/0001"


def supply_tasks(estate: DemoEstate, seed: int, day: Sequence[Wish]) -> Iterator[Task]:
    """The steps that fill the estate, each with its words for the progress bar.

    The first stock arrives before its goods: it waits in quarantine and is fed again when they come.
    """
    stock = opening_stock(seed)
    yield "the rules of routing", lambda: publish_rules(estate.hub)
    if set(legacy.POINTS) <= set(estate.legacy):
        yield "the rules of points", lambda: points.publish_rules(estate.hub)
    yield "places", lambda: place_sites(estate)
    yield "stores and warehouses", lambda: open_sites(estate)
    if "drp" in estate.legacy:
        yield "the DRP's stores", lambda: stores.open_books(estate)
        yield "the DRP's shelves, before their goods", lambda: stores.stock_stores(estate, stock)
    yield "store stock at the tills, before its goods", lambda: _store_stock(estate, stock)
    yield "goods", lambda: send_goods(estate)
    yield "warehouse stock", lambda: _warehouse_stock(estate, stock)
    yield "SAP's own view of stock", lambda: _sap_stock(estate, stock)
    if "drp" in estate.legacy:
        yield "transfers between stores", lambda: stores.move_between_stores(estate, stock)
    if "crm" in estate.legacy:
        yield "members, some pushed and some not", lambda: members.enrol_members(estate, day)
        yield "members, pulled", lambda: members.pull_members(estate)
        yield "points", lambda: members.earn_points(estate)
    yield "records that are wrong on purpose", lambda: _bad_records(estate)


def _post(url: str, body: Any, method: str = "POST") -> None:
    response = httpx.request(method, url, json=body, timeout=30, trust_env=False)
    response.raise_for_status()


def publish_rules(hub: Hub) -> None:
    """Put the retailer's rulebook in force; it is the brand's first."""
    merchandiser = command_line(hub.estate.owner, hub.estate.brand)
    routing_rules.publish_rules(hub, merchandiser, RULES.read_text("utf-8"), "opening day", against=0)


def place_sites(estate: DemoEstate) -> None:
    """Tell the hub every place, with the name SAP uses for it."""
    locations = [
        {
            "code": site.code,
            "name": site.name,
            "kind": "warehouse" if site.warehouse else "store",
            "point": {"lat": site.lat, "lon": site.lon, "precision": "city"},
            "services": ["ship"] if site.warehouse else ["sell", "pickup", "return"],
            "retail_circles": [site.city],
            "capacity": 5000 if site.warehouse else 200,
            "identifiers": [{"scheme": "sap", "value": sap_plant(site)}],
        }
        for site in sites()
    ]
    with estate.client(estate.operator_key) as client:
        client.post("/v1/ingest/hub/locations?wait=true", json=locations).raise_for_status()


def open_sites(estate: DemoEstate) -> None:
    """Tell POS and WMS their sites; they tell the hub."""
    shops = [
        {"shopCode": s.code, "shopName": s.name, "lat": str(s.lat), "lng": str(s.lon)}
        for s in sites()
        if not s.warehouse
    ]
    warehouses = [
        {
            "warehouseCode": s.code,
            "warehouseName": s.name,
            "latitude": str(s.lat),
            "longitude": str(s.lon),
            "status": "Y",
        }
        for s in sites()
        if s.warehouse
    ]
    _post(f"{estate.pos.url}/_stores", shops)
    _post(f"{estate.wms.url}/_seed", {"warehouses": warehouses, "stock": []})
    _post(f"{estate.wms.url}/_report?what=warehouses", None)


def _store_stock(estate: DemoEstate, stock: dict[tuple[str, str], int]) -> None:
    items = {goods.code: goods.item for goods in catalogue()}
    open_stores = {site.code for site in sites() if not site.warehouse}
    arrivals = [
        {"shopCode": site, "goodsCode": items[sku], "qty": quantity}
        for (site, sku), quantity in stock.items()
        if site in open_stores
    ]
    for start in range(0, len(arrivals), 200):
        _post(f"{estate.pos.url}/_receive", arrivals[start : start + 200])


def send_goods(estate: DemoEstate) -> None:
    """Enter all goods into SAP, which sends them; no order may cost more than the credit limit."""
    enter_goods(estate, catalogue())
    _post(f"{estate.sap.url}/_rules", {"credit_limit": str(CREDIT_LIMIT_YUAN)}, "PUT")


def enter_goods(estate: DemoEstate, goods: Sequence[Goods]) -> None:
    """Enter these goods into SAP, which sends them."""
    _post(f"{estate.sap.url}/_catalogue", {"materials": [_material(each) for each in goods], "packet": PACKET})


def _material(goods: Goods) -> dict[str, Any]:
    material: dict[str, Any] = {
        "number": goods.material,
        "type": "HAWA",
        "unit": "ST",
        "old_number": goods.item,
        "ean": goods.gtin,
        "name": goods.name,
        "name_en": f"{goods.english}, {goods.size}",
        "style": goods.style,
        "colour": goods.colour,
        "size": goods.size,
        "retail_price": f"{goods.price_minor // 100}.{goods.price_minor % 100:02d}",
        "currency": "CNY",
    }
    if goods.shelf_life_days is not None:
        material |= {"shelf_life": str(goods.shelf_life_days), "shelf_life_period": "D", "group": "SNACK"}
    return material


def _warehouse_stock(estate: DemoEstate, stock: dict[tuple[str, str], int]) -> None:
    rows = [
        {"warehouseCode": site, "itemCode": sku, "inventoryType": "ZP", "quantity": quantity}
        for (site, sku), quantity in stock.items()
        if site.startswith("W-")
    ]
    _post(f"{estate.wms.url}/_seed", {"warehouses": [], "stock": rows})
    _post(f"{estate.wms.url}/_report?what=stock", None)


def _sap_stock(estate: DemoEstate, stock: dict[tuple[str, str], int]) -> None:
    """SAP counts the same shelves and is a little behind: an observation, never added to anything."""
    places = {site.code: sap_plant(site).split("/") for site in sites()}
    materials = {goods.code: goods.material for goods in catalogue()}
    rows = [
        {
            "material": materials[sku],
            "plant": places[site][0],
            "storage_location": places[site][1],
            "stock_type": "01",
            "batch": "",
            "quantity": str(quantity + 1),
            "unit": "ST",
        }
        for (site, sku), quantity in stock.items()
    ]
    _post(f"{estate.sap.url}/_stock", rows, "PUT")


def _bad_records(estate: DemoEstate) -> None:
    now = datetime.now(UTC) + timedelta(hours=8)
    _push(estate.pos.url, "sales", "bad-sales-1", "application/json", _bad_sales(now))
    _push(estate.pos.url, "stock", "bad-stock-1", "application/json", _bad_changes(now))
    _push(estate.wms.url, "stock", "bad-count-1", "text/xml; charset=utf-8", render_xml("request", _bad_counts(now)))
    _post(
        f"{estate.sap.url}/_catalogue",
        {
            "materials": [
                {**_material(catalogue()[0]), "number": "000000000000990001", "ean": "6901234000017"},
                {**_material(catalogue()[1]), "number": "000000000000990002", "unit": "QQQ", "ean": "6901234990022"},
            ],
            "packet": 2,
        },
    )


def _push(url: str, stream: str, key: str, media_type: str, body: Any) -> None:
    arguments: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    response = httpx.post(
        f"{url}/_push",
        params={"stream": stream, "key": key},
        headers={"Content-Type": media_type},
        timeout=30,
        trust_env=False,
        **arguments,
    )
    response.raise_for_status()


def _bad_sales(now: datetime) -> dict[str, Any]:
    def sale(number: int, **wrong: Any) -> dict[str, Any]:
        line = {"seqNo": 1, "goodsCode": catalogue()[0].item, "unit": "件", "qty": 1, "amt": "899.00"}
        head = {
            "saleNo": f"BAD-{number}",
            "shopCode": "S001",
            "posNo": "01",
            "saleTime": f"{now:%Y-%m-%d %H:%M:%S}",
            "saleType": "0",
            "goodsAmt": "899.00",
            "freightAmt": "0.00",
            "wholeDisc": "0.00",
            "totalAmt": "899.00",
            "payments": [{"payWay": "WX", "amt": "899.00", "payNo": f"42{number}"}],
        }
        return {**head, **wrong, "details": [{**line, **wrong.get("details", {})}]}

    sales = [
        sale(1, details={"qty": 0.5}),
        sale(2, details={"unit": "秒差距"}),
        sale(3, details={"goodsCode": "999999"}),
        sale(4, totalAmt="900.00"),
        sale(5, saleTime="今天"),
        sale(6, details={"qty": 10**29}),
    ]
    return {"batchNo": "bad-sales-1", "data": sales}


def _bad_changes(now: datetime) -> dict[str, Any]:
    rows = [
        {
            "changeNo": f"BAD-C{number}",
            "shopCode": shop,
            "goodsCode": catalogue()[0].item,
            "stockType": "1",
            "changeQty": 1,
            "changeType": "RECEIVE",
            "changeTime": f"{now:%Y-%m-%d %H:%M:%S}",
        }
        for number, shop in enumerate(("S999", "S998"))
    ]
    return {"batchNo": "bad-stock-1", "data": rows}


def _bad_counts(now: datetime) -> dict[str, Any]:
    rows = [
        {"itemCode": catalogue()[0].code, "inventoryType": "ZP", "quantity": "-3"},
        {"itemCode": "NO-SUCH-GOODS", "inventoryType": "ZP", "quantity": "5"},
        {"itemCode": catalogue()[1].code, "inventoryType": "??", "quantity": "5"},
    ]
    return {
        "outBizCode": "bad-count-1",
        "warehouseCode": "W-SH",
        "checkTime": f"{now:%Y-%m-%d %H:%M:%S}",
        "items": {"item": rows},
    }
