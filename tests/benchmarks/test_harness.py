"""The benchmarks' harness: same words everywhere, contenders side by side."""

import json

import pytest

from benchmarks import harness


def test_every_contender_works_once_a_round() -> None:
    turns: list[str] = []

    def contender(name: str) -> int:
        turns.append(name)
        return 10

    rates = harness.interleave({name: lambda name=name: contender(name) for name in "abc"}, rounds=3)  # type: ignore[misc]
    assert "".join(turns) == "abcbcacab"
    assert {name: len(values) for name, values in rates.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    report = harness.Report()
    report.compare("ours", {"ours": [10.0, 20.0, 40.0], "peer": [10.0, 10.0, 10.0]}, "rows_per_s")
    assert report.figures == {"ours_rows_per_s": 20.0, "peer_rows_per_s": 10.0}
    assert report.ratios == {"peer": 2.0}


def test_json_is_one_object_with_figures_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    def measure(quick: bool) -> harness.Report:
        asked.append(quick)
        return harness.Report(figures={"ours_rows_per_s": 123_456.0}, ratios={"peer": 2.00049}, packages=("orjson",))

    harness.main("A benchmark.", measure, ["--quick", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert asked == [True]
    assert result["figures"] == {"ours_rows_per_s": 123_500.0}
    assert result["ratios"] == {"peer": 2.0}
    assert {"python", "cpus", "orjson"} <= result["environment"].keys()
