"""Rules of the house that no linter knows."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("benchmarks", "canonical_model", "connectors", "flows", "hub_api", "mappings", "vision_adapter")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70


def files() -> list[Path]:
    return [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_is_longer_than_one_can_hold_in_mind() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{file.relative_to(ROOT)}:{name}": lines
        for file in files()
        for name, lines in functions(file)
        if lines > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_every_package_folder_is_a_package() -> None:
    folders = {file.parent for file in files()}
    bare = [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]
    assert bare == []


def test_every_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {entry.split("[")[0].split(">")[0].split("=")[0] for entry in wanted}
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert {name for name in names if f"| {name} |" not in reasons} == set()


@pytest.mark.parametrize("name", ["docker", "docs"])
def test_what_is_not_code_is_not_a_package(name: str) -> None:
    assert not list((ROOT / name).rglob("__init__.py"))
