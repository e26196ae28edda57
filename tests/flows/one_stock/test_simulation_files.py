"""Files are read as they are meant, or refused with everything that is wrong in them by file, line and column."""

import csv
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from canonical_model.errors import ConfigurationError, RecordError
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.simulation import Line, Node, World, simulate
from flows.one_stock.simulation_files import read_rules, read_world
from flows.rule_document import MAX_BYTES
from tests.flows.one_stock.worlds import worlds

ORDERS = "order_no,sku,qty,dest_lat,dest_lon\n"
NODES = "node,lat,lon\nS1,31.2,121.5\n"
STOCK = "node,sku,qty\nS1,A,5\n"
ORDER = ORDERS + "1,A,1,31,121\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(orders: str | bytes = ORDER, nodes: str | bytes = NODES, stock: str | bytes = STOCK) -> World:
    for name, text in (("orders.csv", orders), ("nodes.csv", nodes), ("stock.csv", stock)):
        Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return read_world(Path("orders.csv"), Path("nodes.csv"), Path("stock.csv"))


def refused(**texts: str | bytes) -> list[str]:
    """The places of all issues."""
    with pytest.raises(RecordError) as error:
        read(**texts)
    return [issue.field for issue in error.value.issues]


@pytest.mark.usefixtures("folder")
def test_orders_stand_where_they_first_appear_and_equal_rows_add_up() -> None:
    world = read(
        orders="order_no,sku,qty,price_minor,dest_lat,dest_lon,channel,member,placed_at,remark\n"
        "0012,衬衫,1,500,31,121,shop,S1,2026-03-01T23:30:00+08:00,\n"
        "7,A,2,,30,120,,,,\n"
        '0012,"A, ""L""",3,,31,121,shop,S1,2026-03-01T23:30:00+08:00,"gift, please"\n'
        "0012,衬衫,2,400,31,121,shop,S1,2026-03-01T23:30:00+08:00,\n",
        stock='node,sku,qty\nS1,"A, ""L""",5\nS1,A,0\nS1,衬衫,1\nS1,衬衫,2\n',
    )
    assert [order.order_no for order in world.orders] == ["0012", "7"]
    first, second = world.orders
    assert [(world.skus[line.sku_id], *line[1:]) for line in first.lines] == [("衬衫", 3, 1300), ('A, "L"', 3, 0)]
    assert (first.channel, first.member, first.day) == ("shop", "S1", date(2026, 3, 1))
    assert (second.channel, second.member, second.day, second.lat, second.lon) == ("", "", None, 30.0, 120.0)
    held = {world.skus[sku_id]: places for sku_id, places in world.stock.items()}
    assert held == {'A, "L"': {1: 5}, "衬衫": {1: 3}}


@pytest.mark.usefixtures("folder")
def test_a_promise_counts_from_the_day_of_the_order() -> None:
    world = read(
        orders="order_no,sku,qty,dest_lat,dest_lon,placed_at,promised_at\n"
        "1,A,1,31,121,2026-03-01T23:30:00+08:00,2026-03-04\n2,A,1,31,121,,\n"
    )
    assert [order.promised_days for order in world.orders] == [3, None]


@pytest.mark.usefixtures("folder")
def test_places_may_say_more_about_themselves() -> None:
    world = read(nodes="kind,node,lat,lon,capacity,rating,state\nwarehouse,S1,31,121,20,4.5,SH\n,0002,30,120,,,\n")
    assert world.nodes == [
        Node(1, "0002", 30.0, 120.0, None, None, "store"),
        Node(2, "S1", 31.0, 121.0, 4.5, 20, "warehouse"),
    ]


def _shuffled(text: str, seed: int) -> str:
    heading, *rows = text.splitlines()
    random.Random(seed).shuffle(rows)
    return "\n".join([heading, *rows, ""])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_places_and_stock_changes_no_plan(seed: int) -> None:
    """Twelve places stand at two points, so that ties are many."""
    nodes = "node,lat,lon\n" + "".join(f"N{n:02},{30 + n % 2},120\n" for n in range(12))
    stock = "node,sku,qty\n" + "".join(
        f"N{n:02},S{sku},{(n * 7 + sku * 3) % 5}\n" for n in range(12) for sku in range(6)
    )
    orders = ORDERS + "".join(f"{n},S{(n + k) % 6},{1 + (n + k) % 4},31,121\n" for n in range(25) for k in range(3))
    book = Rulebook("parcel_cost = 8\nper_km = 0.006\nmax_parcels = 4\n")
    before, after = (
        [outcome.decision for outcome in simulate(read(orders, *files), book)]
        for files in ((nodes, stock), (_shuffled(nodes, seed), _shuffled(stock, seed)))
    )
    assert any(len(decision.plan.parcels) > 1 for decision in before)
    assert [(decision.action, decision.plan) for decision in after] == [(d.action, d.plan) for d in before]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("file", ["orders", "nodes", "stock"])
@pytest.mark.parametrize(
    "text", ["\0" * 300_000, "node," * 30_000, 'order_no,sku,qty,dest_lat,dest_lon,node,lat,lon\n"' + "x" * 110_000]
)
def test_a_line_that_does_not_end_is_refused(file: str, text: str) -> None:
    assert f"{file}.csv:{text.count(chr(10)) + 1}" in refused(**{file: text})


@pytest.mark.usefixtures("folder")
def test_an_endless_file_is_refused() -> None:
    read()
    with pytest.raises(RecordError) as error:
        read_world(Path("orders.csv"), Path("/dev/zero"), Path("stock.csv"))
    assert error.value.issues[0].code == "csv.too_long"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "written",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace(",", " , ").encode(),
    ],
)
def test_byte_order_marks_line_ends_and_spaces_do_not_matter(written: Any) -> None:
    world = read(orders=written(ORDER), nodes=written(NODES), stock=written(STOCK))
    assert (world.orders[0].lines, world.stock, world.nodes[0].code) == ((Line(0, 1),), {0: {1: 5}}, "S1")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (",A,1,31,121", ["order_no"]),
        ("1,,1,31,121", ["sku"]),
        ("1,A,0,31,121", ["qty"]),
        ("1,A,-1,31,121", ["qty"]),
        ("1,A,1.5,31,121", ["qty"]),
        ("1,A,1_000,31,121", ["qty"]),
        ("1,A,many,north,east", ["qty", "dest_lat", "dest_lon"]),
        ("1,A,1,91,121", ["dest_lat"]),
        ("1,A,1,31,-180.5", ["dest_lon"]),
        ("1,A,1,nan,inf", ["dest_lat", "dest_lon"]),
        ("1,A,1,,121", ["dest_lat"]),
        ("1,A,9999999999,31,121", ["qty"]),
        (f"1,A,{'9' * 5000},31,121", ["qty"]),
        (f"{'x' * 121},A,1,31,121", ["order_no"]),
    ],
)
def test_a_wrong_field_is_told_by_file_line_and_column(row: str, columns: list[str]) -> None:
    assert refused(orders=ORDERS + "0,A,1,31,121\n" + row + "\n") == [f"orders.csv:3:{name}" for name in columns]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("texts", "places"),
    [
        ({"orders": ""}, ["orders.csv:1"]),
        ({"orders": "\n\n"}, ["orders.csv:1"]),
        ({"orders": ORDERS}, ["orders.csv"]),
        ({"nodes": "node,lat,lon\n"}, ["nodes.csv"]),
        ({"orders": "order_no;sku;qty\n"}, [f"orders.csv:1:{name}" for name in ORDERS.strip().split(",")]),
        ({"stock": "node,sku,qty,qty\n"}, ["stock.csv:1:qty"]),
        ({"stock": STOCK + "S1,A\n"}, ["stock.csv:3"]),
        ({"stock": STOCK + "S1,A,1,2\n"}, ["stock.csv:3"]),
        ({"stock": STOCK + "S2,A,1\n"}, ["stock.csv:3:node"]),
        ({"stock": STOCK + "S1,A,-3\n"}, ["stock.csv:3:qty"]),
        ({"stock": STOCK + 'S1,"A,1\n'}, ["stock.csv:3"]),
        ({"stock": STOCK.encode() + "S1,衬衫,1\n".encode("gbk")}, ["stock.csv:3"]),
        ({"stock": STOCK.encode("utf-16")}, ["stock.csv:1"]),
        ({"stock": STOCK + "S1,\x00,1\n"}, ["stock.csv:3:sku"]),
        ({"stock": STOCK + f"S1,{'x' * 200_000},1\n"}, ["stock.csv:3"]),
        ({"nodes": NODES + "S1,30,120\n"}, ["nodes.csv:3:node"]),
        ({"nodes": "node,lat,lon,rating,capacity\nS1,95,x,6,-1\n", "stock": STOCK}, [
            "nodes.csv:2:lat", "nodes.csv:2:lon", "nodes.csv:2:rating", "nodes.csv:2:capacity",
        ]),
        ({"orders": ORDERS.strip() + ",placed_at\n1,A,1,31,121,yesterday\n"}, ["orders.csv:2:placed_at"]),
        ({"orders": ORDERS.strip() + ",promised_at\n1,A,1,31,121,2026-03-04\n"}, ["orders.csv:2:promised_at"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_by_line_and_column(texts: dict[str, str | bytes], places: list[str]) -> None:
    assert refused(**texts) == places


@pytest.mark.usefixtures("folder")
def test_rows_of_an_order_that_go_to_different_places_are_told_with_the_first() -> None:
    with pytest.raises(RecordError) as error:
        read(orders=ORDERS + "1,A,1,31,121\n2,A,1,32,122\n1,B,1,31.5,121\n")
    (issue,) = error.value.issues
    assert issue.field == "orders.csv:4:dest_lat"
    assert issue.detail == (
        "order '1' has '31.5' here and '31.0' on line 2; write the same in every row of an order,"
        " or give it another order_no"
    )


@pytest.mark.usefixtures("folder")
def test_reading_ends_at_twenty_issues_over_all_files() -> None:
    rows = "S1,A,x\n" * 15
    assert len(refused(stock="node,sku,qty\n" + rows, orders=ORDERS + "1,A,x,31,121\n" * 15)) == 20


@pytest.mark.usefixtures("folder")
def test_a_row_is_told_by_the_line_where_it_begins() -> None:
    assert refused(stock='node,sku,qty\nS1,"A\n\nB",x\nS1,C,y\n') == [
        "stock.csv:2:sku",
        "stock.csv:2:qty",
        "stock.csv:5:qty",
    ]


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="none.csv cannot be read"):
        read_world(folder / "none.csv", folder / "none.csv", folder / "none.csv")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds())
def test_a_world_written_to_files_is_read_back(world: World, folder: Path) -> None:
    nodes = [(n.code, n.lat, n.lon, n.rating, n.capacity, n.kind) for n in world.nodes]
    codes = {node.id: node.code for node in world.nodes}
    stock = [
        (codes[place], world.skus[sku], units) for sku, held in world.stock.items() for place, units in held.items()
    ]
    orders = [
        (
            *(order.order_no, world.skus[line.sku_id], line.quantity, line.value_minor // line.quantity),
            *(order.lat, order.lon, order.channel, order.member, order.day),
        )
        for order in world.orders
        for line in order.lines
    ]
    write(folder / "n.csv", "node,lat,lon,rating,capacity,kind", nodes)
    write(folder / "s.csv", "node,sku,qty", stock)
    write(folder / "o.csv", "order_no,sku,qty,price_minor,dest_lat,dest_lon,channel,member,placed_at", orders)
    found = read_world(folder / "o.csv", folder / "n.csv", folder / "s.csv")
    assert found.nodes == world.nodes
    assert in_codes(found) == in_codes(world)


def write(file: Path, heading: str, rows: Any) -> None:
    with file.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows([heading.split(","), *rows])


def in_codes(world: World) -> tuple[object, ...]:
    """A world whose SKUs are told by their codes, whatever their ids."""
    stock = {world.skus[sku_id]: held for sku_id, held in world.stock.items() if held}
    orders = [
        (
            *(order.order_no, order.lat, order.lon, order.channel, order.member, order.day),
            *((world.skus[line.sku_id], *line[1:]) for line in order.lines),
        )
        for order in world.orders
    ]
    return stock, orders


def test_a_rulebook_is_read_and_what_is_wrong_told_by_its_file(folder: Path) -> None:
    file = Path("rules.toml")
    file.write_bytes(b"\xef\xbb\xbfparcel_cost = 1\r\nper_km = 2\r\nmax_parcels = 3\r\n")
    assert read_rules(file).rules().per_km == 2
    for text, place in (
        (b"parcel_cost = -1\nper_km = 2\nmax_parcels = 3\n", "rules.toml:parcel_cost"),
        (b"parcel_cost: 1", "rules.toml"),
        ("# 规则".encode("gbk"), "rules.toml"),
        (b"#" * (MAX_BYTES + 1), "rules.toml"),
    ):
        file.write_bytes(text)
        with pytest.raises(RecordError) as error:
            read_rules(file)
        assert [issue.field for issue in error.value.issues] == [place]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_rules(folder / "none.toml")
