"""``yipan rules``: shown, checked, published and listed where the hub runs."""

from pathlib import Path
from typing import Final

from tests.hub_api.test_cli import Yipan

RULES: Final = "parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 2\n"
REASON: Final = "fewer parcels in spring"


def test_a_rulebook_is_checked_published_shown_and_listed(yipan: Yipan, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("\ufeff" + RULES, "utf-8")
    assert yipan("rules", "show", "--json").json["version"] == 0
    checked = yipan("rules", "check", str(file), "--json").json
    assert {"channel": "base", "rule": "max_parcels", "before": 4, "after": 2} in checked["changes"]
    assert "+max_parcels = 2" in yipan("rules", "check", str(file)).out
    assert yipan("rules", "publish", str(file), "--reason", REASON, "--json").json == {"version": 1}
    assert yipan("rules", "show").out == RULES
    assert "in force" in yipan("rules", "check", str(file)).out
    (head,) = yipan("rules", "history", "--json").json
    assert (head["version"], head["note"], head["published_by"].partition(":")[0]) == (1, REASON, "cli")
    assert REASON in yipan("rules", "history").out
    (entry,) = yipan("audit", "list", "--action", "rules.publish", "--json").json
    assert entry["subject"] == "rules:1"


def test_rules_that_are_wrong_are_refused_with_all_that_is_wrong(yipan: Yipan, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("parcel_cost = -1\nper_km = 'far'\nmax_parcels = 2\n")
    said = yipan("rules", "check", str(file), "--json")
    assert (said.code, [issue["field"] for issue in said.json["issues"]]) == (4, ["parcel_cost", "per_km"])
    assert "per_km" in yipan("rules", "check", str(file)).out
    published = yipan("rules", "publish", str(file), "--reason", REASON, "--json")
    assert (published.code, len(published.json["errors"])) == (4, 2)
    file.write_text(RULES)
    assert yipan("rules", "publish", str(file), "--reason", "short").code == 4
    assert yipan("rules", "publish", str(file), "--reason", REASON, "--against", "7").code == 4
    assert yipan("rules", "show", "--version", "1").code == 4
    assert yipan("rules", "history", "--json").json == []
