"""Mapping records a second: our compiled table beside hand-written Python, jmespath and jsonata.

The work is a channel's order with six lines: 30 mapped fields, two converters, one code table, nested objects and
a list. All contenders call the same two converter functions and must give equal results before anything is timed;
the table is benchmarks/order_in.toml.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jmespath
from jsonata import Jsonata

from benchmarks import harness
from mappings.converters import local_time, yuan_to_minor
from mappings.engine import MapContext, parse_mapping

Record = dict[str, Any]

TABLE = Path(__file__).with_name("order_in.toml")
CONTEXT = MapContext("yunshang", "yunshang", "shop", "Asia/Shanghai", "message", datetime(2026, 11, 3, tzinfo=UTC))
KINDS = {"JYCK": "delivery", "ZTCK": "carry_out", "THRK": "return"}
LINES = 6


def make_orders(count: int) -> list[Record]:
    """Different orders; optional fields are missing now and then."""
    rng = random.Random(7)
    return [_order(number, rng) for number in range(count)]


def _order(number: int, rng: random.Random) -> Record:
    lines = [_line(line_no, rng) for line_no in range(1, LINES + 1)]
    goods = sum(float(line["amount"]) for line in lines)
    order: Record = {
        "orderNo": f"WX{number:08}",
        "orderType": rng.choice(sorted(KINDS)),
        "createTime": "2026-11-03 09:30:00",
        "placedTime": f"2026-11-03 09:{rng.randrange(60):02}:{rng.randrange(60):02}",
        "shop": {"channel": "wechat", "nick": "云裳旗舰店", "store": "0012"},
        "amounts": {"goods": f"{goods:.2f}", "discount": "0.00", "total": f"{goods + 8:.2f}"},
        "receiver": {
            "name": "王小云",
            "mobile": "13800000000",
            "street": "湖滨路 1 号",
            "area": {"province": "浙江省", "city": "杭州市", "district": "上城区", "code": "330102"},
        },
        "orderLines": lines,
    }
    if rng.random() < 0.8:
        order["amounts"]["freight"] = "8.00"
    if rng.random() < 0.5:
        order["receiptNo"] = f"R{number}"
    return order


def _line(line_no: int, rng: random.Random) -> Record:
    fen = rng.randrange(990, 99_900)
    line: Record = {
        "lineNo": line_no,
        "item": {"code": f"SKU{rng.randrange(10_000):05}", "unit": "EA"},
        "qty": 1,
        "listPrice": f"{(fen + 200) / 100:.2f}",
        "amount": f"{fen / 100:.2f}",
    }
    if rng.random() < 0.8:
        line["discount"] = "2.00"
    return line


KNOWN = frozenset(
    {"orderNo", "orderType", "createTime", "placedTime", "shop", "amounts", "receiver", "orderLines"}
    | {"currency", "receiptNo", "reason"}
)


def hand_written(order: Record) -> Record:
    """What a careful engineer writes for this one shape: required fields checked, optional ones left out."""
    shop, amounts = order["shop"], order["amounts"]
    result: Record = {
        "owner": CONTEXT.owner,
        "brand": CONTEXT.brand,
        "source": {
            "system": CONTEXT.system,
            "id": order["orderNo"].strip() or _refuse("orderNo"),
            "occurred_at": local_time(order["createTime"], CONTEXT),
            "message_id": CONTEXT.message_id,
        },
        "order_no": order["orderNo"],
        "kind": KINDS[order["orderType"]],
        "seller": shop["nick"] or _refuse("shop.nick"),
        "placed_at": local_time(order["placedTime"], CONTEXT),
        "currency": order.get("currency") or "CNY",
        "goods_minor": yuan_to_minor(amounts["goods"], CONTEXT),
        "freight_minor": yuan_to_minor(amounts["freight"], CONTEXT) if amounts.get("freight") else 0,
        "discount_minor": yuan_to_minor(amounts["discount"], CONTEXT) if amounts.get("discount") else 0,
        "total_minor": yuan_to_minor(amounts["total"], CONTEXT),
        "lines": [
            {
                "line_no": line["lineNo"] or _refuse("lineNo"),
                "sku": line["item"]["code"] or _refuse("item.code"),
                "quantity": line["qty"] or _refuse("qty"),
                "unit": line["item"].get("unit") or "EA",
                "list_minor": yuan_to_minor(line["listPrice"], CONTEXT) if line.get("listPrice") else 0,
                "discount_minor": yuan_to_minor(line["discount"], CONTEXT) if line.get("discount") else 0,
                "amount_minor": yuan_to_minor(line["amount"], CONTEXT),
            }
            for line in order["orderLines"] or _refuse("orderLines")
        ],
    }
    if value := shop.get("channel"):
        result["channel"] = value
    if value := shop.get("store"):
        result["store"] = value
    if value := shop.get("till"):
        result["till"] = value
    if value := order.get("receiptNo"):
        result["receipt_no"] = value
    if value := order.get("reason"):
        result["reason"] = value
    if receiver := order.get("receiver"):
        result["receiver"] = _hand_written_receiver(receiver)
    if not order.keys() <= KNOWN:
        result["extensions"] = {key: value for key, value in order.items() if key not in KNOWN}
    return result


def _hand_written_receiver(receiver: Record) -> Record:
    result = {}
    if value := receiver.get("name"):
        result["name"] = value
    if value := receiver.get("mobile"):
        result["mobile"] = value
    if value := receiver.get("street"):
        result["street"] = value
    if area := receiver.get("area"):
        if value := area.get("province"):
            result["province"] = value
        if value := area.get("city"):
            result["city"] = value
        if value := area.get("district"):
            result["district"] = value
        if value := area.get("code"):
            result["region_code"] = value
    return result


def _refuse(field: str) -> Any:
    raise ValueError(f"{field} is required")


ORDER_PATHS = {
    "channel": "shop.channel",
    "order_no": "orderNo",
    "seller": "shop.nick",
    "store": "shop.store",
    "till": "shop.till",
    "receipt_no": "receiptNo",
    "reason": "reason",
}
ORDER_AMOUNTS = {
    "goods_minor": "amounts.goods",
    "freight_minor": "amounts.freight",
    "discount_minor": "amounts.discount",
    "total_minor": "amounts.total",
}
RECEIVER_PATHS = {
    "name": "receiver.name",
    "mobile": "receiver.mobile",
    "province": "receiver.area.province",
    "city": "receiver.area.city",
    "district": "receiver.area.district",
    "street": "receiver.street",
    "region_code": "receiver.area.code",
}
LINE_PATHS = {"line_no": "lineNo", "sku": "item.code", "quantity": "qty"}
LINE_AMOUNTS = {"list_minor": "listPrice", "discount_minor": "discount", "amount_minor": "amount"}


def jmespath_mapper() -> Callable[[Record], Record]:
    """One compiled JMESPath a field, as a generic mapper without code generation would do it."""
    order_paths, order_amounts = _compiled(ORDER_PATHS), _compiled(ORDER_AMOUNTS)
    receiver_paths = _compiled(RECEIVER_PATHS)
    line_paths, line_amounts = _compiled(LINE_PATHS), _compiled(LINE_AMOUNTS)
    unit, lines, currency = (jmespath.compile(path) for path in ("item.unit", "orderLines", "currency"))
    kind, created, placed = (jmespath.compile(path) for path in ("orderType", "createTime", "placedTime"))

    def line(element: Record) -> Record:
        return _found(line_paths, element) | _amounts(line_amounts, element) | {"unit": unit.search(element) or "EA"}

    def order(record: Record) -> Record:
        result = _found(order_paths, record) | _amounts(order_amounts, record)
        return result | {
            "owner": CONTEXT.owner,
            "brand": CONTEXT.brand,
            "source": {
                "system": CONTEXT.system,
                "id": result["order_no"],
                "occurred_at": local_time(created.search(record), CONTEXT),
                "message_id": CONTEXT.message_id,
            },
            "kind": KINDS[kind.search(record)],
            "placed_at": local_time(placed.search(record), CONTEXT),
            "currency": currency.search(record) or "CNY",
            "receiver": _found(receiver_paths, record),
            "lines": [line(element) for element in lines.search(record)],
        }

    return order


def _compiled(paths: dict[str, str]) -> list[tuple[str, Any]]:
    return [(target, jmespath.compile(path)) for target, path in paths.items()]


def _found(paths: list[tuple[str, Any]], record: Record) -> Record:
    found = ((target, path.search(record)) for target, path in paths)
    return {target: value for target, value in found if value is not None and value != ""}


def _amounts(paths: list[tuple[str, Any]], record: Record) -> Record:
    found = ((target, path.search(record)) for target, path in paths)
    return {target: 0 if value is None else yuan_to_minor(value, CONTEXT) for target, value in found}


JSONATA = """
{
  "owner": "yunshang", "brand": "yunshang",
  "source": {"system": "shop", "id": orderNo, "occurred_at": $time(createTime), "message_id": "message"},
  "channel": shop.channel, "order_no": orderNo, "kind": $lookup($kinds, orderType), "seller": shop.nick,
  "placed_at": $time(placedTime), "currency": currency ? currency : "CNY",
  "goods_minor": $fen(amounts.goods), "freight_minor": amounts.freight ? $fen(amounts.freight) : 0,
  "discount_minor": amounts.discount ? $fen(amounts.discount) : 0, "total_minor": $fen(amounts.total),
  "store": shop.store, "till": shop.till, "receipt_no": receiptNo, "reason": reason,
  "receiver": receiver.{
    "name": name, "mobile": mobile, "province": area.province, "city": area.city, "district": area.district,
    "street": street, "region_code": area.code
  },
  "lines": orderLines.{
    "line_no": lineNo, "sku": item.code, "quantity": qty, "unit": item.unit ? item.unit : "EA",
    "list_minor": listPrice ? $fen(listPrice) : 0, "discount_minor": discount ? $fen(discount) : 0,
    "amount_minor": $fen(amount)
  }
}
"""


def jsonata_mapper() -> Callable[[Record], Record]:
    """The whole order as one JSONata expression, compiled once."""
    expression = Jsonata(JSONATA)
    expression.assign("kinds", KINDS)
    expression.register_lambda("time", lambda value: local_time(value, CONTEXT))
    expression.register_lambda("fen", lambda value: yuan_to_minor(value, CONTEXT))
    evaluate: Callable[[Record], Record] = expression.evaluate
    return evaluate


def measure(quick: bool) -> harness.Report:
    """Checks that all contenders agree, then times them side by side."""
    ours = parse_mapping(TABLE.read_text(encoding="utf-8"), where=TABLE.name)
    one_by_one = {"hand_written": hand_written, "jmespath": jmespath_mapper(), "jsonata": jsonata_mapper()}
    orders = make_orders(500)
    expected = ours.map_many(orders, CONTEXT)
    for name, map_order in one_by_one.items():
        if [map_order(order) for order in orders] != expected:
            raise SystemExit(f"{name} and the table disagree; correct one of them before comparing speed")

    def contender(map_order: Callable[[Record], Record], orders: list[Record]) -> Callable[[], int]:
        return lambda: len([map_order(order) for order in orders])

    batch = orders * (4 if quick else 20)
    contenders: dict[str, Callable[[], int]] = {"ours": lambda: len(ours.map_many(batch, CONTEXT))}
    sizes = {"hand_written": batch, "jmespath": batch[: len(batch) // 5], "jsonata": orders[:100]}
    for name, map_order in one_by_one.items():
        contenders[name] = contender(map_order, sizes[name])
    report = harness.Report(packages=("jmespath", "jsonata-python"))
    report.compare("ours", harness.interleave(contenders, rounds=9 if quick else 31), "records_per_s")
    return report


if __name__ == "__main__":
    harness.main(__doc__, measure)
