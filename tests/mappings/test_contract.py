"""Contracts: what is refused is explained, field by field, and no record breaks them."""

import gc
from typing import Any

import pytest

from canonical_model.errors import ConfigurationError
from canonical_model.ports import Contract as Policy
from mappings.contract import UNKNOWN_FIELD, apply_policy, load_contract

ORDER: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "line": {
            "type": "object",
            "properties": {
                "sku": {"type": "string", "pattern": "^[A-Z0-9]+$", "maxLength": 8},
                "qty": {"type": "integer", "minimum": 1, "maximum": 10**12},
                "place": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
            "required": ["sku", "qty"],
        }
    },
    "type": "object",
    "properties": {
        "no": {"type": "string", "minLength": 1},
        "kind": {"enum": ["sale", "return"]},
        "at": {"type": "string", "format": "date-time"},
        "rate": {"type": "number", "multipleOf": 0.01},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 1},
        "more": {"type": "object"},
    },
    "required": ["no", "lines"],
}
RECURSIVE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}}}},
}
GOOD = {"no": "A7", "kind": "sale", "at": "2026-11-03T09:30:00+08:00", "lines": [{"sku": "X1", "qty": 2}]}


def found(record: Any, schema: dict[str, Any] = ORDER) -> set[tuple[str, str]]:
    (issues,) = load_contract(schema).check_many([record])
    return {(issue.field, issue.code) for issue in issues}


def nested(depth: int, leaf: Any = None) -> Any:
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


def test_a_record_that_keeps_the_contract_has_no_issue() -> None:
    assert found(GOOD) == set()


def test_every_breach_is_named_with_its_field() -> None:
    record = {
        "kind": "gift",
        "at": "yesterday",
        "rate": 0.123,
        "lines": [{"sku": "x", "qty": "2"}, {"sku": "ABCDEFGHI"}, {"sku": "A\n", "qty": 0}, 5],
    }
    assert found(record) == {
        ("no", "contract.required"),
        ("kind", "contract.enum"),
        ("at", "contract.format"),
        ("rate", "contract.multiple_of"),
        ("lines[0].sku", "contract.pattern"),
        ("lines[0].qty", "contract.type"),
        ("lines[1].sku", "contract.max_length"),
        ("lines[1].qty", "contract.required"),
        ("lines[2].sku", "contract.pattern"),
        ("lines[2].qty", "contract.minimum"),
        ("lines[3]", "contract.type"),
    }


def test_a_breach_says_what_was_found_and_what_was_wanted() -> None:
    (issues,) = load_contract(ORDER).check_many([{"no": "A7", "lines": [{"sku": "X1", "qty": "2"}]}])
    assert [issue.detail for issue in issues] == ["is text, not integer; correct it at the source"]


def test_no_value_of_a_record_is_repeated() -> None:
    record = {"no": ["Wang Xiaoyun"], "kind": "Wang Xiaoyun", "at": "Wang Xiaoyun", "lines": "Wang Xiaoyun"}
    (issues,) = load_contract(ORDER).check_many([record])
    assert len(issues) == 4
    assert "Wang" not in str(issues)


def test_the_issues_stand_beside_their_records() -> None:
    checked = load_contract(ORDER).check_many([GOOD, {}, GOOD])
    assert [bool(issues) for issues in checked] == [False, True, False]


def test_issues_have_a_limit() -> None:
    (issues,) = load_contract(ORDER).check_many([{"no": "A7", "lines": [{} for _ in range(10_000)]}])
    assert len(issues) == 100


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/nowhere"},
        {"pattern": "("},
        {"properties": 5},
    ],
)
def test_a_wrong_schema_is_found_when_it_is_loaded(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="correct the file in schemas/"):
        load_contract(schema)


class TestHostileRecords:
    @pytest.mark.parametrize("schema", [ORDER, RECURSIVE, {"uniqueItems": True}, {"enum": [1]}, {"not": {}}])
    def test_a_depth_bomb_is_an_issue_or_nothing_but_never_a_crash(self, schema: dict[str, Any]) -> None:
        bomb = nested(100_000)
        for record in (bomb, [bomb, bomb], {"no": bomb, "more": bomb, "lines": [bomb]}):
            load_contract(schema).check_many([record])
        gc.collect()

    def test_a_record_deeper_than_a_recursive_schema_may_follow_is_refused(self) -> None:
        assert found(nested(150, {}), RECURSIVE) == set()
        assert found(nested(150, 5), RECURSIVE) == {(".".join("a" * 150), "contract.type")}
        assert found(nested(250, {}), RECURSIVE) == {("", "contract.depth")}

    @pytest.mark.parametrize("number", [10**30, -(10**30), 10**4000, 1e308, float("nan"), float("inf")])
    def test_a_huge_number_is_over_the_limit(self, number: float) -> None:
        assert {field for field, _ in found({"no": "A7", "lines": [{"sku": "X1", "qty": number}]})} == {"lines[0].qty"}

    @pytest.mark.parametrize("record", ["\ud800", {"\ud800": 1}, {1: 2}, {"no": object(), "lines": []}])
    def test_what_json_cannot_say_is_an_issue(self, record: Any) -> None:
        assert found(record) != set()


class TestPolicy:
    EXTRA = GOOD | {
        "z": 1,
        "more": {"free": 1},
        "lines": [{"sku": "X1", "qty": 2, "u": 1, "place": {"city": "杭州", "v": 2}}],
    }

    @pytest.mark.parametrize("policy", [Policy.FREEZE, Policy.QUARANTINE])
    def test_an_unknown_field_is_named_wherever_it_is(self, policy: Policy) -> None:
        assert found(self.EXTRA, apply_policy(ORDER, policy)) == {
            ("z", UNKNOWN_FIELD),
            ("lines[0].u", UNKNOWN_FIELD),
            ("lines[0].place.v", UNKNOWN_FIELD),
        }

    def test_an_ignored_field_passes(self) -> None:
        assert found(self.EXTRA, apply_policy(ORDER, Policy.IGNORE_EXTRA)) == set()

    def test_an_ignored_field_passes_where_the_schema_itself_is_closed(self) -> None:
        closed = apply_policy(ORDER, Policy.QUARANTINE)
        assert found(self.EXTRA, apply_policy(closed, Policy.IGNORE_EXTRA)) == set()

    @pytest.mark.parametrize("policy", list(Policy))
    def test_a_record_without_unknown_fields_passes_under_every_policy(self, policy: Policy) -> None:
        assert found(GOOD, apply_policy(ORDER, policy)) == set()

    @pytest.mark.parametrize("policy", list(Policy))
    def test_the_rest_of_the_contract_holds_under_every_policy(self, policy: Policy) -> None:
        assert ("no", "contract.required") in found({"lines": []}, apply_policy(ORDER, policy))

    def test_a_composed_object_knows_the_fields_of_all_its_parts(self) -> None:
        schema = {
            "allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/b"}],
            "$defs": {"b": {"properties": {"b": {}}}},
        }
        assert found({"a": 1, "b": 2, "c": 3}, apply_policy(schema, Policy.QUARANTINE)) == {("c", UNKNOWN_FIELD)}

    def test_fields_that_fit_a_pattern_are_known(self) -> None:
        schema: dict[str, Any] = {"properties": {"a": {}}, "patternProperties": {"^x_": {}}}
        assert found({"a": 1, "x_1": 2, "y": 3}, apply_policy(schema, Policy.FREEZE)) == {("y", UNKNOWN_FIELD)}

    def test_forms_that_are_told_apart_by_being_closed_stay_so(self) -> None:
        schema = {"oneOf": [{"properties": {name: {}}, "additionalProperties": False} for name in "ab"]}
        assert found({"a": 1}, apply_policy(schema, Policy.IGNORE_EXTRA)) == set()

    def test_a_field_may_be_called_like_a_keyword(self) -> None:
        schema = {"properties": {"additionalProperties": False, "properties": {"type": "string"}}}
        opened = load_contract(apply_policy(schema, Policy.IGNORE_EXTRA))
        assert opened.check({"additionalProperties": 1}) != ()

    def test_the_schema_itself_is_left_as_it_was(self) -> None:
        before = repr(ORDER)
        for policy in Policy:
            apply_policy(ORDER, policy)
        assert repr(ORDER) == before
