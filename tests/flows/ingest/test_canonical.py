"""What the fast way takes, pydantic takes as it is; everything else pydantic decides."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import ConfigurationError
from canonical_model.ports import EntityName
from canonical_model.stock import StockFact
from flows.ingest.canonical import ENTITIES, checker

NOON = "2026-03-01T12:00:00+08:00"
GOOD: dict[str, Any] = {
    "owner": "o",
    "brand": "b",
    "source": {"system": "s", "id": "1", "occurred_at": NOON, "message_id": "m"},
    "sku": "TEE",
    "location": "W1",
    "kind": "snapshot",
    "quantity": 3,
    "as_of": NOON,
}

check = checker(EntityName.STOCK)

times = st.sampled_from(
    [
        NOON,
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.123456-05:00",
        "2026-02-30T12:00:00Z",
        "2026-02-28T23:59:60Z",
        "2026-13-01T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:00",
        "2026-03-01",
        "2026-03-01T12:00:00+25:00",
        "2026-03-01T12:00:00+14:00",
        "２０２６-03-01T12:00:00Z",
        1700000000,
        None,
    ]
)
words = st.sampled_from(
    ["TEE", " TEE", "TEE ", "", " ", "T E", "T\tE", "T\x00", "\x00", "仓库 一", "\u3000x", "T" * 120, "T" * 121, 7]
)
numbers = st.one_of(
    st.integers(-5, 5), st.sampled_from([10**12, 10**12 + 1, -(10**12), 2**70, 1.0, 1.5, True, "1", None])
)
facts = st.fixed_dictionaries(
    {},
    optional={
        "sku": words,
        "location": words,
        "kind": st.sampled_from(["snapshot", "delta", "guess"]),
        "quantity": numbers,
        "quality": st.sampled_from(["sellable", "defective", "nice"]),
        "as_of": times,
        "sequence": numbers,
        "reason": words,
        "batch": words,
        "order_refs": st.lists(words, max_size=2),
        "produced_on": st.sampled_from(["2026-03-01", "2026-02-30"]),
        "extensions": st.sampled_from([{}, {"a": 1}, [], None]),
        "unknown": words,
        "source": st.fixed_dictionaries(
            {"system": st.just("s"), "message_id": st.just("m"), "id": words, "occurred_at": times}
        ),
    },
).map(lambda changed: {**GOOD, **changed})


@given(st.lists(facts, min_size=1, max_size=4))
def test_the_fast_way_accepts_nothing_that_pydantic_would_not(values: list[dict[str, Any]]) -> None:
    for value, checked in zip(values, check(values), strict=True):
        try:
            expected = StockFact.model_validate(value)
        except ValueError:
            assert isinstance(checked, tuple)
            assert checked
        else:
            assert not isinstance(checked, tuple)
            assert StockFact.model_validate(checked) == expected


@given(facts)
def test_a_normal_form_stays_one(value: dict[str, Any]) -> None:
    (once,) = check([value])
    if not isinstance(once, tuple):
        (twice,) = check([once])
        assert StockFact.model_validate(twice) == StockFact.model_validate(once)


def test_what_is_in_normal_form_is_passed_on_untouched() -> None:
    assert check([GOOD, GOOD])[1] is GOOD


def test_every_issue_of_a_value_is_told() -> None:
    (issues,) = check([{**GOOD, "quantity": -1, "sku": "", "as_of": "noon"}])
    assert isinstance(issues, tuple)
    assert {issue.field for issue in issues} == {"sku", "as_of"}


def test_an_entity_that_is_not_ingested_yet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(cast(dict[EntityName, Any], ENTITIES), EntityName.POINTS)
    with pytest.raises(ConfigurationError, match="points"):
        checker(EntityName.POINTS)
