"""Orders, places and stock from CSV files, and rules from a TOML file. docs/routing.md describes them.

Rows of one place and SKU add up, and so do rows of one order and SKU; in which order places and stock are written
changes nothing. An order stands where it first appears; every
row of it says the same about where it goes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from canonical_model.errors import ConfigurationError, Issue, RecordError
from flows.one_stock.csv_sheet import (
    Column,
    Issues,
    code,
    day,
    number_between,
    read_rows,
    units,
    units_above_0,
)
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.simulation import Line, Node, Order, World
from flows.rule_document import MAX_BYTES

MAX_ORDER_ROWS: Final = 2_000_000
MAX_NODES: Final = 20_000
MAX_STOCK_ROWS: Final = 10_000_000
MAX_LINES: Final = 5_000

_HEAD: Final = (
    Column("dest_lat", number_between(-90, 90)),
    Column("dest_lon", number_between(-180, 180)),
    Column("channel", code, optional=True, default=""),
    Column("member", code, optional=True, default=""),
    Column("placed_at", day, optional=True),
    Column("promised_at", day, optional=True),
)
_ORDERS: Final = (
    Column("order_no", code),
    Column("sku", code),
    Column("qty", units_above_0),
    Column("price_minor", units, optional=True, default=0),
    *_HEAD,
)
_NODES: Final = (
    Column("node", code),
    Column("lat", number_between(-90, 90)),
    Column("lon", number_between(-180, 180)),
    Column("rating", number_between(0, 5), optional=True),
    Column("capacity", units, optional=True),
    Column("kind", code, optional=True, default="store"),
)
_STOCK: Final = (Column("node", code), Column("sku", code), Column("qty", units))

Told = Callable[[int], None]


@dataclass(slots=True)
class _Draft:
    """An order as far as it has been read: where it began, and units and value by SKU id."""

    line: int
    head: list[Any]
    lines: dict[int, tuple[int, int]] = field(default_factory=dict)


def read_world(orders: Path, nodes: Path, stock: Path, told: Told = lambda _line: None) -> World:
    """The three files as one world; ``told`` hears of every row of stock and orders.

    RecordError: what is wrong with them, up to MAX_ISSUES issues, each with ``file:line:column``.
    """
    reader = _Reader(told)
    found = reader.nodes(nodes)
    held = reader.stock(stock, found)
    asked = reader.orders(orders)
    reader.issues.raise_any()
    return World(tuple(reader.skus), found, held, asked)


def read_rules(file: Path) -> Rulebook:
    """The rulebook of a TOML file. RecordError: what is wrong with it, each issue with ``file:field``."""
    text = read_text(file)
    try:
        return Rulebook(text)
    except RecordError as error:
        raise RecordError(
            [Issue(f"{file}:{issue.field}".rstrip(":"), issue.code, issue.detail) for issue in error.issues]
        ) from error


def read_text(file: Path) -> str:
    """The text of a rulebook's file, a byte order mark removed. RecordError when it is too long, or not UTF-8."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise RecordError([Issue(str(file), "rules.too_long", f"a rulebook has at most {MAX_BYTES:,} bytes")])
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError([Issue(str(file), "rules.encoding", "this is not UTF-8; save it as UTF-8")]) from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}", code="file.unreadable") from error


class _Reader:
    def __init__(self, told: Told) -> None:
        self.issues = Issues()
        self.skus: dict[str, int] = {}
        self._told = told

    def nodes(self, file: Path) -> list[Node]:
        found: dict[str, Node] = {}
        for line, (node, *rest) in read_rows(file, _NODES, self.issues, max_rows=MAX_NODES):
            if node in found:
                self.issues.add(file, line, "node", "node.twice", f"{node!r} is there already; name each place once")
            found[node] = Node(0, node, *rest)
        if not found and not self.issues:
            self.issues.add(file, None, None, "csv.empty", "there is no place here; write a row for each")
        return [replace(found[node], id=number) for number, node in enumerate(sorted(found), 1)]

    def stock(self, file: Path, nodes: list[Node]) -> dict[int, dict[int, int]]:
        ids = {node.code: node.id for node in nodes}
        all_known = not self.issues
        stock: dict[str, dict[int, int]] = {}
        for line, (node, sku, quantity) in read_rows(file, _STOCK, self.issues, max_rows=MAX_STOCK_ROWS):
            self._told(line)
            place_id = ids.get(node)
            if place_id is not None and quantity:
                held = stock.setdefault(sku, {})
                held[place_id] = held.get(place_id, 0) + quantity
            elif place_id is None and all_known:
                detail = f"{node!r} is none of the nodes; add it to them, or remove the row"
                self.issues.add(file, line, "node", "node.unknown", detail)
        self.skus = {sku: number for number, sku in enumerate(sorted(stock))}
        return {number: dict(sorted(stock[sku].items())) for sku, number in self.skus.items()}

    def orders(self, file: Path) -> list[Order]:
        drafts: dict[str, _Draft] = {}
        for line, (order_no, sku, quantity, price, *head) in read_rows(
            file, _ORDERS, self.issues, max_rows=MAX_ORDER_ROWS
        ):
            self._told(line)
            draft = drafts.get(order_no)
            if draft is None:
                draft = drafts[order_no] = _Draft(line, head)
                if head[-1] is not None and head[-2] is None:
                    detail = "a promise counts from placed_at; write that too, or leave this empty"
                    self.issues.add(file, line, "promised_at", "order.promise", detail)
            elif draft.head != head:
                self._differs(file, line, order_no, draft, head)
            before, worth = draft.lines.get(sku_id := self._sku(sku), (0, 0))
            draft.lines[sku_id] = before + quantity, worth + quantity * price
            if len(draft.lines) > MAX_LINES:
                detail = f"order {order_no!r} has over {MAX_LINES:,} SKUs; split it"
                self.issues.add(file, line, "order_no", "order.too_long", detail)
        if not drafts and not self.issues:
            self.issues.add(file, None, None, "csv.empty", "there is no order here; write a row for each of its SKUs")
        return [_order(order_no, draft) for order_no, draft in drafts.items()]

    def _differs(self, file: Path, line: int, order_no: str, draft: _Draft, head: list[Any]) -> None:
        for column, was, now in zip(_HEAD, draft.head, head, strict=True):
            if was != now:
                detail = (
                    f"order {order_no!r} has {str(now)!r} here and {str(was)!r} on line {draft.line};"
                    " write the same in every row of an order, or give it another order_no"
                )
                self.issues.add(file, line, column.name, "order.differs", detail)

    def _sku(self, sku: str) -> int:
        return self.skus.setdefault(sku, len(self.skus))


def _order(order_no: str, draft: _Draft) -> Order:
    lat, lon, channel, member, placed_on, promised_on = draft.head
    promised_days = (promised_on - placed_on).days if promised_on and placed_on else None
    lines = tuple(Line(sku_id, quantity, value) for sku_id, (quantity, value) in draft.lines.items())
    return Order(order_no, lat, lon, lines, channel, member, placed_on, promised_days)
