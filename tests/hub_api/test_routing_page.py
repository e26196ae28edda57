"""docs/routing.md says what the code does, and every command on it runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from flows.one_stock.routing import filters, problem
from flows.one_stock.routing.rulebook import Filters, Rulebook, Rules, TierName
from flows.one_stock.simulation_files import MAX_LINES, MAX_NODES, MAX_ORDER_ROWS, MAX_STOCK_ROWS
from tests.hub_api.test_cli import Yipan, yipan

__all__ = ["yipan"]

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "routing.md").read_text("utf-8")
EXAMPLES = DOCS / "examples" / "routing"


def commands() -> list[list[str]]:
    """Every command of the page, as words."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    section = PAGE.split(f"{heading}\n")[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.group().splitlines()[2:]]


def test_every_command_runs(yipan: Yipan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (enter, *words) = commands()
    assert enter == ["cd", "docs/examples/routing"]
    shutil.copytree(EXAMPLES, tmp_path / "routing")
    monkeypatch.chdir(tmp_path / "routing")
    for program, *rest in words:
        assert program == "yipan"
        said = yipan(*rest)
        assert said.code == 0, (rest, said.err)
        assert said.out, rest
    assert "<svg" in Path("before_after.svg").read_text("utf-8")


def test_every_rule_is_on_the_page_with_its_default() -> None:
    written = {rule.strip("`"): default.strip("`") for rule, default, _ in rows_of("## The rulebook")}
    assert list(written) == list(Rules.model_fields)
    rules = Rulebook("parcel_cost = 1\nper_km = 1\nmax_parcels = 1\n").rules()
    for name, default in written.items():
        value = getattr(rules, name)
        if default and name != "tiers":
            said = (
                f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()
            )
            assert said == default, name
    assert [tier.by for tier in rules.tiers] == [written["tiers"]]
    assert (rules.budget.nodes, rules.budget.iterations, rules.budget.emergency_ms) == (500, 200, 5_000)


def test_every_filter_and_every_tier_is_on_the_page() -> None:
    words = [row[0].strip("`") for row in rows_of("### Filters")]
    known = {value for name, value in vars(filters).items() if name.isupper() and isinstance(value, str)}
    assert set(words) == known | {problem.NO_STOCK}
    named = set(re.findall(r"`filters\.(\w+)`", PAGE))
    assert named == set(Filters.model_fields)
    assert [row[0].strip("`") for row in rows_of("### Tiers")] == [str(tier) for tier in TierName]


def test_the_limits_of_files_are_on_the_page() -> None:
    assert [row[3] for row in rows_of("## Simulate")] == [
        f"{limit:,}" for limit in (MAX_ORDER_ROWS, MAX_NODES, MAX_STOCK_ROWS)
    ]
    assert f"at most {MAX_LINES:,} SKUs" in PAGE


def test_the_examples_of_rules_are_rulebooks() -> None:
    for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL):
        flash = Rulebook(text).rules("flash")
        assert (flash.max_parcels, flash.on_short, flash.filters.min_rating) == (2, "cancel", 4.0)
    assert Rulebook((EXAMPLES / "rules_whole.toml").read_text("utf-8")).channels == ["flash", "live"]
