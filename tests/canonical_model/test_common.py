"""Rules that every entity inherits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canonical_model.common import Entity
from canonical_model.schema_export import ENTITIES
from tests.canonical_model.examples import SOURCED, WHEN, confirmation, order, product, stock_fact

EXAMPLES = (product(), stock_fact(), order(), confirmation())
SOURCE: dict[str, Any] = SOURCED["source"]


@pytest.mark.parametrize("entity", EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_entity_survives_json(entity: Entity) -> None:
    assert type(entity).model_validate_json(entity.model_dump_json()) == entity


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda e: e.__name__)
def test_every_entity_says_whose_it_is_and_where_it_came_from(entity: type[Entity]) -> None:
    required = entity.model_json_schema()["required"]
    assert {"owner", "brand", "source"} <= set(required)
    assert "extensions" in entity.model_fields


def test_what_has_no_field_yet_is_kept_in_extensions() -> None:
    kept = {"vbeln": "0080001234", "nested": {"list": [1, None, "三"]}}
    assert json.loads(product(extensions=kept).model_dump_json())["extensions"] == kept


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        product(colour="red")


def test_an_entity_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        product().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("when", ["2026-03-08T10:15:00", "2026-03-08 10:15:00", "2026-03-08"])
def test_a_time_without_an_offset_is_refused(when: str) -> None:
    with pytest.raises(ValidationError, match="source.occurred_at"):
        product(source={**SOURCE, "occurred_at": when})
    with pytest.raises(ValidationError, match="as_of"):
        stock_fact(as_of=when)
    with pytest.raises(ValidationError, match="placed_at"):
        order(placed_at=when)
    with pytest.raises(ValidationError, match="shipped_at"):
        confirmation(shipped_at=when)


def test_the_offset_of_the_source_is_kept() -> None:
    assert product().source.occurred_at.isoformat() == WHEN


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_nul_is_refused_in_codes_and_texts(before: str, after: str) -> None:
    for field in ("code", "name", "owner"):
        with pytest.raises(ValidationError, match=field):
            product(**{field: f"a{before}\x00{after}z"})


@pytest.mark.parametrize("code", ["", "   ", "x" * 121])
def test_a_code_has_one_to_a_hundred_and_twenty_characters(code: str) -> None:
    with pytest.raises(ValidationError, match="code"):
        product(code=code)


def test_a_code_keeps_its_zeros_and_loses_its_padding() -> None:
    assert product(code=" 000123 ").code == "000123"


@pytest.mark.parametrize("number", [12, 12.0, None])
def test_a_number_is_not_a_code(number: object) -> None:
    with pytest.raises(ValidationError, match="code"):
        product(code=number)


def test_a_text_has_a_limit() -> None:
    assert product(name="长" * 2_000)
    with pytest.raises(ValidationError, match="name"):
        product(name="长" * 2_001)
