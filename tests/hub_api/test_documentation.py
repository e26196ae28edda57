"""The reference pages say what the code does."""

import re
from pathlib import Path

from flows.runtime.settings import Settings
from hub_api import auth
from hub_api.cli import output
from hub_api.rest import problems

DOCS = Path(__file__).parents[2] / "docs"


def section(page: str, title: str) -> str:
    """The text under a heading of that page."""
    return (DOCS / page).read_text("utf-8").split(f"## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert first_column(section("configuration.md", "Settings")) == list(Settings.model_fields)


def test_every_documented_default_is_the_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`|(unset)) \|", section("configuration.md", "Settings"), re.MULTILINE)
    documented = {name: None if unset else value for name, value, unset in rows}
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert documented == {name: None if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                          for name, value in defaults.items()}  # fmt: skip


def test_every_documented_scope_exists() -> None:
    for scopes in re.findall(r"^\| (`.*?`) \|", section("configuration.md", "API keys and scopes"), re.MULTILINE):
        for scope in re.findall("`([^`]+)`", scopes):
            assert auth.is_scope(scope.replace("SYSTEM", "pos")), scope


def test_every_exit_code_is_documented() -> None:
    codes = {value for name, value in vars(output).items() if name.startswith("EXIT_")}
    documented = re.findall(r"^\| (\d) \|", section("configuration.md", "Exit codes of the command line"), re.MULTILINE)
    assert {int(code) for code in documented} == codes | {0, 2}


def test_every_problem_type_is_documented() -> None:
    families = re.findall(
        "`([^`]+)`", " ".join(re.findall(r"^\| (`.*?) \|", section("api.md", "Refusals"), re.MULTILINE))
    )
    used = {kind for _, kind, _ in problems.KINDS} | set(problems.KIND_OF_STATUS.values())
    assert set(families) - {"type", "urn:yipan:problem:"} == used
