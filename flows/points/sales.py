"""What the hub's own orders start: a sale earns when the goods are the buyer's, a return takes back.

The brand's programmes that have a rule for the channel on the day of the sale; of members that are known. A group
without a points rulebook starts nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from canonical_model.order import OrderKind
from canonical_model.store import orders
from flows.points import store
from flows.points.dates import local_date
from flows.points.requests import claw_back_start, earn_start
from flows.points.rulebook import PointsRulebook
from flows.points.rules import rules_of
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.runs import start_runs

Order = Mapping[str, Any]


def start_for_orders(uow: UnitOfWork, owner: str, brand: str, order_ids: Sequence[int]) -> None:
    """New orders that nothing is sent for: sales that the buyer carried out earn, returns take back."""
    if not order_ids:
        return
    rules = rules_of(uow.connection, owner)
    if not _of_brand(rules, brand):
        return
    found = store.list_orders(uow.connection, order_ids)
    carried_out = [order for order in found if order["kind"] not in (OrderKind.RETURN, OrderKind.DELIVERY)]
    holders = _holders(uow, carried_out)
    starts: list[Start] = []
    for order in carried_out:
        lines = [_line(line, 0, line["quantity"]) for line in order["lines"]]
        starts += _earns(rules, order, lines, holders.get(order["id"]), None)
    for order in found:
        if order["kind"] == OrderKind.RETURN:
            starts += _claw_backs(uow, rules, order)
    start_runs(uow, starts)


def start_for_parcel(uow: UnitOfWork, owner: str, brand: str, order_id: int, parcel_no: str) -> None:
    """A parcel that was booked as shipped just now: what it brings earns."""
    rules = rules_of(uow.connection, owner)
    if not _of_brand(rules, brand):
        return
    [order] = store.list_orders(uow.connection, [order_id])
    parcel = orders.get_parcel(uow.connection, owner, brand, parcel_no)
    shipped = {line["line_no"]: line["shipped"] for line in parcel["lines"] if line["shipped"]}
    lines = [
        _line(line, line["shipped"] - shipped[line["line_no"]], line["shipped"])
        for line in order["lines"]
        if line["line_no"] in shipped
    ]
    start_runs(uow, _earns(rules, order, lines, _holders(uow, [order]).get(order_id), parcel_no))


def _of_brand(rules: PointsRulebook, brand: str) -> list[str]:
    return [name for name in rules.programmes if rules.programme(name).brand == brand]


def _line(line: Mapping[str, Any], before: int, after: int) -> dict[str, Any]:
    """The units of a line after the first ``before``; all parts of a line add up to its amount."""
    share_before, share_after = (line["amount_minor"] * units // line["quantity"] for units in (before, after))
    return {
        "line_no": line["line_no"],
        "sku": line["sku_code"],
        "quantity": after - before,
        "amount_minor": share_after - share_before,
    }


def _earns(
    rules: PointsRulebook, order: Order, lines: Sequence[Mapping[str, Any]], holder: str | None, part: str | None
) -> list[Start]:
    """One for each programme; none of a buyer who is no member, nor of lines that cost less than nothing."""
    if holder is None or not lines or any(line["amount_minor"] < 0 for line in lines):
        return []
    body = {
        "holder": holder,
        "order_no": order["order_no"],
        "channel": order["channel"],
        "part": part,
        "happened_at": order["placed_at"].isoformat(),
        "lines": list(lines),
    }
    return [
        earn_start(order["owner"], order["brand"], {"programme": name, **body}, order["traceparent"])
        for name in _earning(rules, order["brand"], order["channel"], order["placed_at"])
    ]


def _earning(rules: PointsRulebook, brand: str, channel: str, at: datetime) -> list[str]:
    """The brand's programmes in which a sale of that channel earned on that day."""
    day = local_date(rules.zone, at)
    return [
        name
        for name in _of_brand(rules, brand)
        if any(
            rule.covers(day) and (not rule.channels or channel in rule.channels) for rule in rules.programme(name).earn
        )
    ]


def _holders(uow: UnitOfWork, found: Sequence[Order]) -> dict[int, str]:
    """The buyers that are members, by order; a number of the order's own system is trusted before those of others."""
    systems = uow.services.estate.systems
    codes: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for order in found:
        if order["member_code"]:
            codes[order["owner"], order["brand"], order["system"]].add(order["member_code"])
    known = {
        company: store.find_holders(
            uow.connection, *company[:2], [company[2], *(each for each in systems if each != company[2])], wanted
        )
        for company, wanted in codes.items()
    }
    return {
        order["id"]: holder
        for order in found
        if (holder := known.get((order["owner"], order["brand"], order["system"]), {}).get(order["member_code"]))
    }


def _claw_backs(uow: UnitOfWork, rules: PointsRulebook, order: Order) -> list[Start]:
    """For each programme in which the sale earned, if its buyer is a member."""
    sold_under = order["returns_order_no"]
    sale_id = orders.find_order_id(uow.connection, order["owner"], order["brand"], order["channel"], sold_under)
    if sale_id is None:
        return []
    [sale] = store.list_orders(uow.connection, [sale_id])
    if not sale["member_code"]:
        return []
    body = {
        "order_no": sold_under,
        "channel": order["channel"],
        "return_no": order["order_no"],
        "happened_at": order["placed_at"].isoformat(),
        "sale_id": sale_id,
        "lines": [{"sku_id": line["sku_id"], "quantity": line["quantity"]} for line in order["lines"]],
    }
    return [
        claw_back_start(order["owner"], order["brand"], {"programme": name, **body}, order["traceparent"])
        for name in _earning(rules, order["brand"], order["channel"], sale["placed_at"])
    ]
