"""How a table reads a record."""

from typing import Any

import pytest

from canonical_model.errors import RecordError
from mappings.engine import ConvertError, MapContext, Quarantined, load_mapping
from tests.mappings.tables import CONTEXT, inward, issues, outward

LINES = '[fields.lines]\neach = "Lines"\n[fields.lines.fields]\n'


def doubled(value: Any, context: MapContext) -> Any:
    return value * 2


def nothing(value: Any, context: MapContext) -> Any:
    return None


def broken(value: Any, context: MapContext) -> Any:
    return value.no_such_thing


def refusing(value: Any, context: MapContext) -> Any:
    raise ConvertError("colour.unknown", "is no colour we sell; add it to the palette")


def test_a_nested_source_becomes_a_nested_target() -> None:
    mapping = outward('[fields]\n"to.city" = "receiver.area.city"\n"to.name" = "receiver.name"')
    record = {"receiver": {"name": "Wang", "area": {"city": "杭州"}}}
    assert mapping.map(record, CONTEXT) == {"to": {"city": "杭州", "name": "Wang"}}


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_what_is_absent_or_empty_is_left_out(empty: object) -> None:
    mapping = outward('[fields]\na = "A"\n"b.c" = "B.C"\nd = { from = "D", default = 7 }')
    assert mapping.map({"A": empty, "B": {"C": empty}, "D": empty}, CONTEXT) == {"d": 7}
    assert mapping.map({"B": empty}, CONTEXT) == {"d": 7}


@pytest.mark.parametrize("value", [0, 0.0, False])
def test_zero_and_false_are_values(value: object) -> None:
    mapping = outward('[fields]\na = { from = "A", required = true }\nb = { from = "B", default = 7 }\nc = "C"')
    assert mapping.map({"A": value, "B": value, "C": value}, CONTEXT) == {"a": value, "b": value, "c": value}


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_a_required_field_that_is_empty_is_an_issue(empty: object) -> None:
    assert issues(outward('[fields]\na = { from = "A.B", required = true }'), {"A": {"B": empty}}) == [
        ("A.B", "value.missing")
    ]


def test_a_converter_may_find_that_there_is_nothing() -> None:
    table = '[fields]\na = { from = "A", with = "nothing" }\nb = { from = "A", with = "nothing", default = 1 }'
    assert outward(table, nothing=nothing).map({"A": "x"}, CONTEXT) == {"b": 1}
    required = outward('[fields]\na = { from = "A", with = "nothing", required = true }', nothing=nothing)
    assert issues(required, {"A": "x"}) == [("A", "value.missing")]


def test_codes_are_looked_up_after_the_converter() -> None:
    table = '[codes.size]\nXX = "large"\n[fields]\nsize = { from = "S", with = "doubled", codes = "size" }'
    assert outward(table, doubled=doubled).map({"S": "X"}, CONTEXT) == {"size": "large"}


@pytest.mark.parametrize(("code", "meaning"), [("1", "on"), (1, "on"), (True, "yes"), (0, "off")])
def test_numbers_and_booleans_are_looked_up_as_their_json_text(code: object, meaning: str) -> None:
    table = '[codes.c]\n1 = "on"\n0 = "off"\ntrue = "yes"\n[fields]\nv = { from = "V", codes = "c" }'
    assert outward(table).map({"V": code}, CONTEXT) == {"v": meaning}


@pytest.mark.parametrize("code", ["x", 2, 1.0, ["1"], {"1": 1}])
def test_an_unknown_code_is_an_issue_even_where_there_is_a_default(code: object) -> None:
    table = '[codes.c]\n1 = "on"\n[fields]\nv = { from = "V", codes = "c", default = "on" }'
    assert issues(outward(table), {"V": code}) == [("V", "code.unknown")]


def test_a_position_counts_from_one_and_the_whole_record_is_in_reach() -> None:
    mapping = outward(f'[fields]\n{LINES}no = "#"\nsku = "Sku"\norder = "$.Head.No"')
    record = {"Head": {"No": "A7"}, "Lines": [{"Sku": "x"}, {"Sku": "y"}]}
    lines = [{"no": 1, "sku": "x", "order": "A7"}, {"no": 2, "sku": "y", "order": "A7"}]
    assert mapping.map(record, CONTEXT) == {"lines": lines}


def test_a_list_of_one_element_stays_a_list() -> None:
    mapping = outward(f'[fields]\n{LINES}sku = "Sku"')
    assert mapping.map({"Lines": [{"Sku": "x"}]}, CONTEXT) == {"lines": [{"sku": "x"}]}


def test_a_lone_object_where_a_list_belongs_is_an_issue() -> None:
    assert issues(outward(f'[fields]\n{LINES}sku = "Sku"'), {"Lines": {"Sku": "x"}}) == [("Lines", "type.list")]


def test_lists_nest() -> None:
    table = '[fields.parcels]\neach = "P"\n[fields.parcels.fields.items]\neach = "I"\n'
    mapping = outward(f'{table}[fields.parcels.fields.items.fields]\nsku = {{ from = "S", required = true }}')
    assert mapping.map({"P": [{"I": [{"S": 1}, {"S": 2}]}]}, CONTEXT) == {
        "parcels": [{"items": [{"sku": 1}, {"sku": 2}]}]
    }
    assert issues(mapping, {"P": [{}, {"I": [{"S": 1}, {}]}]}) == [("P[1].I[1].S", "value.missing")]


def test_every_issue_of_a_record_is_named_with_its_place() -> None:
    table = f"""[fields]
total = {{ from = "Head.Total", with = "yuan_to_minor", required = true }}
city = "Head.Place.City"
{LINES}sku = {{ from = "Sku", required = true }}
quantity = {{ from = "Qty", with = "whole_quantity", required = true }}"""
    record = {"Head": {"Total": "1.999", "Place": ["x"]}, "Lines": [{"Sku": "a", "Qty": "2"}, 5, {"Qty": -1}]}
    assert issues(outward(table), record) == [
        ("Head.Total", "amount.precision"),
        ("Head.Place", "type.object"),
        ("Lines[1]", "type.object"),
        ("Lines[2].Sku", "value.missing"),
        ("Lines[2].Qty", "quantity.negative"),
    ]


def test_a_key_with_special_characters_is_quoted_in_paths_and_places() -> None:
    mapping = outward("""[fields]\na = '"@id"."b c"'\n""")
    assert mapping.map({"@id": {"b c": 1}}, CONTEXT) == {"a": 1}
    assert issues(mapping, {"@id": 5}) == [('"@id"', "type.object")]


@pytest.mark.parametrize("record", [None, 3, "text", [], [{"A": 1}], True])
def test_a_record_that_is_no_object_is_an_issue(record: object) -> None:
    assert issues(outward('[fields]\na = "A"'), record) == [("", "type.object")]


def test_a_converter_that_stumbles_is_an_issue_of_its_field() -> None:
    mapping = outward(
        '[fields]\na = { from = "A", with = "broken" }\nb = { from = "B", with = "refusing" }',
        broken=broken,
        refusing=refusing,
    )
    assert issues(mapping, {"A": "13800000000", "B": "x"}) == [("A", "value.invalid"), ("B", "colour.unknown")]
    (result,) = mapping.map_many([{"A": "13800000000"}], CONTEXT)
    assert isinstance(result, Quarantined)
    assert "13800000000" not in result.issues[0].detail


def test_a_jmespath_that_fails_is_an_issue_and_shows_no_value() -> None:
    mapping = outward("[fields]\na = \"join('/', [A, B])\"")
    (result,) = mapping.map_many([{"A": "secret", "B": 1}], CONTEXT)
    assert isinstance(result, Quarantined)
    assert [issue.code for issue in result.issues] == ["path.failed"]
    assert "secret" not in result.issues[0].detail


def test_issues_have_a_limit() -> None:
    mapping = outward(f'[fields]\n{LINES}sku = {{ from = "Sku", required = true }}')
    found = issues(mapping, {"Lines": [{} for _ in range(10_000)]})
    assert len(found) == 101
    assert found[-1] == ("", "issues.more")


def test_good_records_of_a_batch_go_through_beside_bad_ones() -> None:
    mapping = outward('[fields]\nq = { from = "Q", with = "whole_quantity" }')
    results = mapping.map_many([{"Q": 1}, {"Q": -1}, {"Q": 3}], CONTEXT)
    assert results[0] == {"q": 1}
    assert isinstance(results[1], Quarantined)
    assert (results[1].position, results[1].record) == (1, {"Q": -1})
    assert results[2] == {"q": 3}


def test_map_raises_with_every_issue() -> None:
    with pytest.raises(RecordError) as caught:
        outward('[fields]\na = { from = "A", required = true }\nb = { from = "B", required = true }').map({}, CONTEXT)
    assert [issue.field for issue in caught.value.issues] == ["A", "B"]


def test_results_share_no_default_with_one_another() -> None:
    mapping = outward('[fields]\ntags = { from = "T", default = ["new"] }')
    first, second = mapping.map({}, CONTEXT), mapping.map({}, CONTEXT)
    first["tags"].append("old")
    assert second == {"tags": ["new"]}


class TestInward:
    def test_the_context_supplies_owner_brand_and_source(self) -> None:
        result = inward('[fields]\norder_no = "No"').map({"No": 12}, CONTEXT)
        assert result == {
            "owner": "yunshang",
            "brand": "yunshang",
            "order_no": 12,
            "source": {
                "system": "shop",
                "id": "12",
                "occurred_at": "2026-11-03T01:30:00+00:00",
                "message_id": "m-1",
            },
        }

    def test_a_table_may_map_the_brand_itself(self) -> None:
        assert inward('[fields]\nbrand = "Label"').map({"No": "1", "Label": "qingshan"}, CONTEXT)["brand"] == "qingshan"

    def test_a_record_without_an_identity_is_an_issue(self) -> None:
        assert issues(inward('[fields]\na = "A"'), {"A": 1}) == [("No", "value.missing")]

    def test_what_no_rule_reads_is_kept_as_extensions(self) -> None:
        mapping = inward('[fields]\na = "join(\'/\', [A.x, B])"\nc = "C[0]"')
        record = {"No": "1", "A": {"x": "p", "y": "q"}, "B": "r", "C": ["s"], "Z": {"deep": [1]}, "x": 2}
        assert mapping.map(record, CONTEXT)["extensions"] == {"Z": {"deep": [1]}, "x": 2}

    def test_what_a_list_reads_of_the_whole_record_is_no_extension(self) -> None:
        mapping = inward(f'[fields]\n{LINES}shop = "$.Shop"\ny = "Y"')
        result = mapping.map({"No": "1", "Shop": "s", "Lines": [{"Y": 1}], "Y": 2}, CONTEXT)
        assert result["extensions"] == {"Y": 2}

    def test_extensions_of_the_table_stand_beside_what_nobody_read(self) -> None:
        mapping = inward('[fields]\n"extensions.till" = "Till"')
        assert mapping.map({"No": "1", "Till": "02", "Z": 1}, CONTEXT)["extensions"] == {"till": "02", "Z": 1}

    def test_extensions_that_are_no_object_are_an_issue(self) -> None:
        mapping = inward('[fields]\nextensions = "X"')
        assert mapping.map({"No": "1", "X": {"a": 1}, "Z": 1}, CONTEXT)["extensions"] == {"a": 1, "Z": 1}
        assert issues(mapping, {"No": "1", "X": [1]}) == [("extensions", "type.object")]


class TestVersion:
    TABLE = '[fields]\na = { from = "A", with = "doubled" }'

    def test_it_names_the_table_and_its_text(self) -> None:
        version = outward(self.TABLE, doubled=doubled).version
        assert version.startswith("1+")
        assert version == outward(self.TABLE, doubled=doubled).version
        assert version != outward(f"{self.TABLE} # changed", doubled=doubled).version

    def test_it_changes_with_the_converters_of_the_connector(self) -> None:
        assert outward(self.TABLE, doubled=doubled).version != outward(self.TABLE, doubled=broken).version


def test_a_mapping_is_loaded_once() -> None:
    assert load_mapping("wms", "stock_in") is load_mapping("wms", "stock_in")
