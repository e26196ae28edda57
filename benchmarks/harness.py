"""What the benchmarks share: arguments, measuring side by side, and one JSON object as the result.

harness.main(__doc__, measure)      # measure(quick: bool) -> Report
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version


@dataclass
class Report:
    """Results of one benchmark.

    figures: this run's own measurements, the unit last in the name (``ours_records_per_s``).
    ratios: ours against each peer or limit in the same run; above 1 is faster than the peer.
    packages: distributions whose versions matter.
    """

    figures: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    packages: Sequence[str] = ()

    def compare(self, ours: str, rates: Mapping[str, Sequence[float]], unit: str) -> None:
        """Adds the median rate of every contender, and the median ratio of ``ours`` to each other one."""
        for name, values in rates.items():
            self.figures[f"{name}_{unit}"] = statistics.median(values)
            if name != ours:
                self.ratios[name] = statistics.median(us / them for us, them in zip(rates[ours], values, strict=True))


def interleave(contenders: Mapping[str, Callable[[], int]], *, rounds: int) -> dict[str, list[float]]:
    """Rates (units of work a second) of each contender, one a round.

    A contender does some work and returns how many units that was. Every round runs all of them, starting with
    another one each time: a machine that speeds up or slows down meanwhile does so for all.
    """
    names = list(contenders)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            done = contenders[name]()
            rates[name].append(done / (time.perf_counter() - started))
    return rates


def environment(packages: Sequence[str] = ()) -> dict[str, float | str]:
    """Where the run took place."""
    place: dict[str, float | str] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count() or 0,
    }
    return place | {name: version(name) for name in packages}


def main(doc: str | None, measure: Callable[[bool], Report], arguments: Sequence[str] | None = None) -> None:
    """The command line of a benchmark: ``--quick`` measures less, ``--json`` prints one JSON object."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a shorter run, at most a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    report = measure(options.quick)
    result: dict[str, Mapping[str, float | str]] = {
        "figures": {name: _rounded(value) for name, value in report.figures.items()},
        "ratios": {name: _rounded(value) for name, value in report.ratios.items()},
        "environment": environment(report.packages),
    }
    if options.json:
        json.dump(result, sys.stdout)
        print()
        return
    for title, values in result.items():
        print(title)
        for name, value in values.items():
            print(f"  {name:<44} {f'{value:>16,}' if isinstance(value, int | float) else value}")


def _rounded(value: float) -> float:
    """Four significant digits: more would claim what a shared machine cannot keep."""
    return float(f"{value:.4g}")
