"""Every mapping table's own examples, and how they are judged."""

import orjson
import pytest

from mappings.engine import available, load_mapping, parse_mapping, run_examples

TABLES = available()
each_table = pytest.mark.parametrize(("connector", "name"), TABLES, ids=["/".join(table) for table in TABLES])

TABLE = """
version = "1"
direction = "in"
entity = "location"
[source]
id = "code"
[fields]
code = "code"
name = "name"
capacity = { from = "capacity", with = "whole_quantity" }
kind = { const = "store" }
[[examples]]
name = "one store"
in = '{"code": "0012", "name": "West Lake", "capacity": "3"}'
"""
RESULT = {"code": "0012", "name": "West Lake", "capacity": 3, "kind": "store", "source": {"id": "0012"}}


def failures(line: str, table: str = TABLE) -> list[str]:
    return run_examples(parse_mapping(table + line))


def out(**changes: object) -> str:
    return f"out = '{orjson.dumps(RESULT | changes).decode()}'"


@each_table
def test_the_examples_of_a_table_hold(connector: str, name: str) -> None:
    assert run_examples(load_mapping(connector, name)) == []


@each_table
def test_a_table_shows_what_it_makes_of_a_record(connector: str, name: str) -> None:
    assert any(example.out is not None for example in load_mapping(connector, name).examples)


def test_the_tables_of_every_connector_are_found() -> None:
    assert {"hub", "pos", "sap", "wms"} <= {connector for connector, _ in TABLES}


def test_what_the_context_supplies_need_not_be_said() -> None:
    assert failures(out()) == []


def test_an_example_that_says_something_else_fails_by_name() -> None:
    (failure,) = failures(out(name="East Lake"))
    assert "one store" in failure
    assert "East Lake" in failure


def test_an_example_that_expects_issues_of_a_good_record_fails() -> None:
    (failure,) = failures('issues = ["quantity.negative"]')
    assert "but it mapped to" in failure


def test_an_example_that_expects_other_issues_fails() -> None:
    (failure,) = failures('issues = ["value.missing"]', TABLE.replace('"3"', '"-3"'))
    assert "quantity.negative" in failure


def test_a_result_that_is_no_canonical_entity_fails() -> None:
    (failure,) = failures(out(kind="shop"), TABLE.replace('const = "store"', 'const = "shop"'))
    assert "not a valid location" in failure
