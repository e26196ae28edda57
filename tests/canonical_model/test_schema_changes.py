"""The detector of breaking changes, both ways, and the published schemas it guards."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import orjson
import pytest

from canonical_model import schema_export
from canonical_model.common import Code, Entity
from canonical_model.schema_changes import breaking_changes
from canonical_model.schema_export import ENTITIES, FOLDER, file_name, problems, schema_of, write
from tests.canonical_model.examples import order

Edit = Callable[[dict[str, Any]], None]

BASE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["code"],
    "properties": {
        "code": {"type": "string", "minLength": 1, "maxLength": 120},
        "count": {"type": "integer", "minimum": 0, "maximum": 10},
        "kind": {"$ref": "#/$defs/Kind"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1, "maxItems": 5},
        "names": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "$defs": {
        "Kind": {"type": "string", "enum": ["a", "b"]},
        "Line": {"type": "object", "additionalProperties": False, "properties": {"no": {"type": "integer"}}},
    },
}


def set_at(*path: str, value: object) -> Edit:
    def edit(schema: dict[str, Any]) -> None:
        for key in path[:-1]:
            schema = schema[key]
        schema[path[-1]] = value

    return edit


def drop(*path: str) -> Edit:
    def edit(schema: dict[str, Any]) -> None:
        for key in path[:-1]:
            schema = schema[key]
        del schema[path[-1]]

    return edit


# Each edit breaks a reader one way, and is harmless undone.
BREAKING: dict[str, tuple[Edit, str]] = {
    "property removed": (drop("properties", "note"), "$/note: removed"),
    "newly required": (set_at("required", value=["code", "count"]), "$/count: newly required"),
    "null no longer allowed": (set_at("properties", "note", value={"type": "string"}), "$/note: null became string"),
    "enum narrowed": (set_at("$defs", "Kind", "enum", value=["a"]), "$/kind: 'b' is no longer allowed"),
    "free text became a list": (set_at("properties", "code", "enum", value=["x"]), "$/code: only ['x']"),
    "maximum lowered": (set_at("properties", "count", "maximum", value=9), "$/count: maximum was 10, is 9"),
    "minimum raised": (set_at("properties", "count", "minimum", value=1), "$/count: minimum was 0, is 1"),
    "text shortened": (set_at("properties", "code", "maxLength", value=20), "$/code: maxLength was 120, is 20"),
    "pattern added": (set_at("properties", "code", "pattern", value="^A"), "$/code: pattern was free, is ^A"),
    "list shortened": (set_at("properties", "lines", "maxItems", value=4), "$/lines: maxItems was 5, is 4"),
    "limit added": (set_at("properties", "note", "anyOf", value=[{"type": "string", "maxLength": 9}, {"type": "null"}]),
                    "$/note: maxLength was unlimited, is 9"),
    "map values narrowed": (set_at("properties", "names", "additionalProperties", "maxLength", value=3), "$/names/*:"),
    "line property removed": (drop("$defs", "Line", "properties", "no"), "$/lines/*/no: removed"),
    "line newly required": (set_at("$defs", "Line", "required", value=["no"]), "$/lines/*/no: newly required"),
}  # fmt: skip

COMPATIBLE: dict[str, Edit] = {
    "optional property added": set_at("properties", "extra", value={"type": "string"}),
    "number instead of integer": set_at("properties", "count", "type", value="number"),
    "null allowed": set_at("properties", "kind", value={"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}]}),
    "enum widened": set_at("$defs", "Kind", "enum", value=["a", "b", "c"]),
    "description changed": set_at("description", value="other words"),
    "default added": set_at("properties", "note", "default", value=None),
    "any value allowed": set_at("properties", "code", value={}),
    "definition renamed": set_at("properties", "kind", value={"type": "string", "enum": ["b", "a"]}),
}


def edited(edit: Edit) -> dict[str, Any]:
    schema = copy.deepcopy(BASE)
    edit(schema)
    return schema


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_found_and_located(name: str) -> None:
    edit, message = BREAKING[name]
    found = breaking_changes(BASE, edited(edit))
    assert len(found) == 1
    assert found[0].startswith(message)


@pytest.mark.parametrize("name", BREAKING)
def test_the_same_change_undone_breaks_nobody(name: str) -> None:
    edit, _ = BREAKING[name]
    assert breaking_changes(edited(edit), BASE) == []


@pytest.mark.parametrize("name", COMPATIBLE)
def test_a_compatible_change_passes(name: str) -> None:
    assert breaking_changes(BASE, edited(COMPATIBLE[name])) == []


def test_a_recursive_schema_is_refused_in_plain_words() -> None:
    loop = {"$ref": "#/$defs/Node", "$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}}}}
    with pytest.raises(ValueError, match="recursive schemas cannot be compared"):
        breaking_changes(loop, loop)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda e: e.__name__)
def test_the_published_schema_is_current_and_valid_2020_12(entity: type[Entity]) -> None:
    assert problems(entity) == []
    published = orjson.loads((FOLDER / file_name(entity)).read_bytes())
    jsonschema.Draft202012Validator.check_schema(published)


def test_a_document_of_ours_satisfies_its_published_schema() -> None:
    published = orjson.loads((FOLDER / "order.v1.json").read_bytes())
    jsonschema.Draft202012Validator(published).validate(orjson.loads(order().model_dump_json()))


class Coupon(Entity):
    """As published."""

    code: Code
    note: str | None = None


class Narrowed(Entity):
    """The same name and version, without ``note``."""

    code: Code


class Widened(Coupon):
    """The same name and version, with one more thing it can say."""

    colour: str | None = None


class Raised(Narrowed):
    """Narrower, and honest about it."""

    SCHEMA_VERSION: ClassVar[int] = 2


for _later in (Narrowed, Widened, Raised):
    _later.__name__ = "Coupon"


def test_a_breaking_change_without_a_new_version_fails_and_is_never_written(tmp_path: Path) -> None:
    assert write(Coupon, tmp_path) == []
    before = (tmp_path / "coupon.v1.json").read_bytes()
    for act in (problems, write):
        assert act(Narrowed, tmp_path) == [
            "coupon.v1.json breaks at $/note: removed; raise Coupon.SCHEMA_VERSION and keep the old file"
        ]
    assert (tmp_path / "coupon.v1.json").read_bytes() == before


def test_a_breaking_change_under_a_new_version_stands_beside_the_old_one(tmp_path: Path) -> None:
    write(Coupon, tmp_path)
    assert write(Raised, tmp_path) == []
    assert problems(Raised, tmp_path) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["coupon.v1.json", "coupon.v2.json"]


def test_a_compatible_change_is_stale_until_written(tmp_path: Path) -> None:
    write(Coupon, tmp_path)
    assert problems(Widened, tmp_path) == ["coupon.v1.json is stale; run python -m canonical_model.schema_export"]
    assert write(Widened, tmp_path) == []
    assert problems(Widened, tmp_path) == []


def test_a_missing_schema_is_named(tmp_path: Path) -> None:
    assert problems(Coupon, tmp_path) == ["coupon.v1.json is missing; run python -m canonical_model.schema_export"]


def test_the_command_fails_when_anything_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert schema_export.main(["--check"]) == 0
    monkeypatch.setattr(schema_export, "ENTITIES", (Coupon,))
    assert schema_export.main(["--check"]) == 1


def test_a_schemas_name_carries_its_version() -> None:
    assert schema_of(Coupon)["$id"] == "urn:yipan:coupon.v1.json"
