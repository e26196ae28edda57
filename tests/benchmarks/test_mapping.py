"""The contenders of the mapping benchmark do the same work, and it is real work."""

from benchmarks import mapping as benchmark
from canonical_model.order import Order
from mappings.converters import local_time, text, yuan_to_minor
from mappings.engine import Quarantined, parse_mapping
from mappings.table import EachRule, Tree, parse_table


def test_every_contender_makes_the_same_orders() -> None:
    orders = benchmark.make_orders(20)
    expected = parse_mapping(benchmark.TABLE.read_text("utf-8")).map_many(orders, benchmark.CONTEXT)
    for contender in (benchmark.hand_written, benchmark.jmespath_mapper(), benchmark.jsonata_mapper()):
        assert [contender(order) for order in orders] == expected


def test_the_orders_are_valid_and_nested() -> None:
    mapping = parse_mapping(benchmark.TABLE.read_text("utf-8"))
    for order in mapping.map_many(benchmark.make_orders(20), benchmark.CONTEXT):
        assert not isinstance(order, Quarantined)
        assert len(order["lines"]) == 6
        if order["kind"] == "delivery":
            Order.model_validate(order)


def test_the_table_has_thirty_fields() -> None:
    converters = {"local_time": local_time, "text": text, "yuan_to_minor": yuan_to_minor}
    table = parse_table(benchmark.TABLE.read_text("utf-8"), where="order_in.toml", converters=converters)
    assert count(table.fields) >= 30


def count(tree: Tree) -> int:
    nested = (rule.fields if isinstance(rule, EachRule) else rule for rule in tree.values())
    return sum(count(rule) if isinstance(rule, dict) else 1 for rule in nested)
