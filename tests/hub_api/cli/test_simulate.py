"""``yipan simulate routing`` on files: figures for programs, tables for people, one clear line for every error."""

import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from lxml import etree

from tests.hub_api.test_cli import Said, Yipan

EXAMPLES: Final = Path(__file__).parents[3] / "docs" / "examples" / "routing"
FILES: Final = ("--orders", "orders.csv", "--nodes", "nodes.csv", "--stock", "stock.csv", "--rules", "rules.toml")


@pytest.fixture
def routing(yipan: Yipan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command in a folder with the example's files."""
    shutil.copytree(EXAMPLES, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")

    def run(*words: str) -> Said:
        return yipan("simulate", "routing", *words)

    return run


def test_it_prints_every_order_with_its_parcels_and_the_totals(routing: Any) -> None:
    found = routing(*FILES, "--json").json
    assert [order["order_no"] for order in found["orders"]] == [f"M10{number:02d}" for number in range(1, 12)]
    for order in found["orders"]:
        assert list(order) == ["order_no", "parcels", "cost", "gap", "ms", "unfilled"]
        for parcel in order["parcels"]:
            assert list(parcel) == ["node", "lines", "distance_km"]
        cost = sum(8.0 + 0.006 * parcel["distance_km"] for parcel in order["parcels"])
        assert order["cost"] == pytest.approx(cost)
    wanted = {"sku": "0301", "qty": 9}
    (short,) = [order for order in found["orders"] if order["unfilled"]]
    sent = sum(line["qty"] for parcel in short["parcels"] for line in parcel["lines"])
    assert sent + short["unfilled"][0]["qty"] == wanted["qty"]
    assert found["totals"]["orders"] == 11
    assert found["totals"]["cost"] == pytest.approx(sum(order["cost"] for order in found["orders"]))
    assert sum(row["parcels"] for row in found["totals"]["load"]) == found["totals"]["parcels"]


def test_independent_orders_all_find_the_stock_untouched(routing: Any) -> None:
    first = routing(*FILES, "--independent", "--json").json
    Path("orders.csv").write_text(reversed_orders(Path("orders.csv").read_text("utf-8")), "utf-8")
    second = routing(*FILES, "--independent", "--json").json
    assert without_ms(first) == without_ms(second)
    assert second["orders"][0]["order_no"] == "M1011"


def reversed_orders(text: str) -> str:
    head, *rows = text.splitlines()
    return "\n".join([head, *sorted(rows, key=lambda row: row[:5], reverse=True)]) + "\n"


def without_ms(found: Any) -> dict[str, Any]:
    return {order["order_no"]: {**order, "ms": None} for order in found["orders"]}


def test_people_get_tables(routing: Any) -> None:
    said = routing(*FILES)
    assert "M1001" in said.out
    assert "distance_km" in said.out
    why = routing(*FILES, "--explain", "M1006")
    assert "DC-KS" in why.out
    assert "no_stock" in why.out


def test_an_explanation_names_every_place(routing: Any) -> None:
    why = routing(*FILES, "--explain", "M1006", "--json").json
    assert (why["order_no"], why["action"]) == ("M1006", "allocate")
    for line in why["lines"]:
        assert len(line["places"]) == 8
        assert sum(place["chosen"] for place in line["places"]) + line["unfilled"] == line["quantity"]
        assert all(place["removed_by"] or place["scores"] for place in line["places"])
    unknown = routing(*FILES, "--explain", "M2000")
    assert (unknown.code, unknown.err.strip()) == (4, "yipan: there is no order 'M2000' in the file")


def test_two_rulebooks_are_compared_and_drawn(routing: Any) -> None:
    words = (*FILES[:-1], "rules_whole.toml", "--what-if", "--against", "rules.toml")
    found = routing(*words, "--picture", "p.svg", "--json").json
    assert len(found["orders"]) == 11
    assert found["changed"] == sum(order["changed"] for order in found["orders"]) > 0
    for side in ("before", "after"):
        parcels = [order[side]["parcels"] for order in found["orders"]]
        assert sum(parcels) == found["totals"][side]["parcels"] == sum(row[side]["parcels"] for row in found["load"])
    drawn = Path("p.svg").read_text("utf-8")
    root = etree.fromstring(drawn.encode())
    words_drawn = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Parcels", "Distance of all parcels, km", "Units that nobody could send", "DC-KS"} <= words_drawn
    assert "script" not in drawn
    assert "before" in routing(*words).out
    same = routing(*FILES, "--what-if", "--against", "rules.toml", "--json").json
    assert same["changed"] == 0
    unwritable = routing(*words, "--picture", "none/p.svg")
    assert (unwritable.code, "cannot be written" in unwritable.err) == (3, True)


def test_files_that_are_wrong_are_told_by_file_line_and_column(routing: Any) -> None:
    with Path("stock.csv").open("a", encoding="utf-8") as file:
        file.write("XX,0012,1\nSH01,0012,-1\n")
    said = routing(*FILES, "--json")
    assert said.code == 4
    assert [error["field"] for error in said.json["errors"]] == ["stock.csv:30:node", "stock.csv:31:qty"]
    spoken = routing(*FILES)
    assert (spoken.code, spoken.out) == (4, "")
    assert "stock.csv:30:node" in spoken.err


@pytest.mark.parametrize(
    "words",
    [
        ("--rules", "rules.toml"),
        FILES[2:],
        (*FILES, "--what-if"),
        (*FILES, "--against", "rules.toml"),
        (*FILES, "--picture", "p.svg"),
        (*FILES, "--what-if", "--against", "rules.toml", "--explain", "M1001"),
        (*FILES, "--channel", "shop"),
        ("--rules", "rules.toml", "--what-if", "--since", "yesterday"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(routing: Any, words: tuple[str, ...]) -> None:
    said = routing(*words)
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("yipan: ")


def test_a_file_that_is_not_there_is_wrong_usage(routing: Any) -> None:
    assert routing(*FILES[:-1], "none.toml").code == 2


def test_what_was_recorded_is_replayed(routing: Any) -> None:
    found = routing("--rules", "rules.toml", "--what-if", "--since", "2026-03-01", "--picture", "p.svg", "--json").json
    assert (found["orders"], found["load"], found["changed"]) == ([], [], 0)
    assert "<svg" in Path("p.svg").read_text("utf-8")
