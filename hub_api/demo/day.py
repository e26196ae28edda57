"""``yipan demo``: start the estate, fill it, sell for a day with faults on, then compare the books.

The exit code is 0 only if every system's books agree with the hub, record by record.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from canonical_model.errors import TransientError
from flows.ingest.pull import pull
from flows.runtime import embedded
from flows.runtime.settings import get_settings
from hub_api.cli.output import progress, say
from hub_api.demo import legacy, members, points, points_books, report, stores
from hub_api.demo.books import Comparison, compare_books, read_levels, read_orders
from hub_api.demo.estate import FAULTS, DemoEstate, running_estate
from hub_api.demo.points_plan import MonthPlan, month_of_points
from hub_api.demo.retailer import Wish, wishes
from hub_api.demo.sales import Sent, cancel_some, release_credit, send_orders
from hub_api.demo.supply import supply_tasks
from hub_api.demo.visitor import invite
from hub_api.worker import stop_signal

BY_SOAP: Final = 100
QUIET_S: Final = 1.0
DRAIN_TIMEOUT_S: Final = 240.0
POLL_S: Final = 0.25


def run_demo(*, orders: int, seed: int, serve: bool, as_json: bool) -> int:
    """The whole day; the exit code: 0 if the books agree, 1 if not. With ``serve`` the hub stays up until stopped."""
    started = time.monotonic()
    folder = get_settings().data_dir / "demo"
    with ExitStack() as stack:
        bar = stack.enter_context(progress(as_json=as_json))
        starting = bar.add_task("starting PostgreSQL, the hub and the systems", total=1)
        systems = _systems(folder, bar)
        estate = stack.enter_context(running_estate(folder, seed, faults=FAULTS, systems=systems))
        bar.advance(starting)
        day = wishes(seed, orders)
        _supply(bar, estate, seed, day)
        if "crm" in systems:
            day = members.with_cards(estate, day)
        sent = _sell(bar, estate, day)
        _drain(bar, estate, "seeing every parcel through")
        parked = report.parked_runs(estate)
        release_credit(estate, parked)
        _drain(bar, estate, "seeing the released orders through")
        if "drp" in systems:
            _close_tills(bar, estate)
        month, month_began = month_of_points(seed), time.monotonic()
        refused = _live_month(bar, estate, month)
        month_took_s = round(time.monotonic() - month_began, 1)
        found = read_orders(estate)
        comparisons = _compare(bar, lambda: list(_comparisons(estate, day, found, month)))
        document: dict[str, Any] = {
            "systems": list(systems),
            "incoming": report.incoming(estate),
            "quarantine": report.quarantined(estate),
            "orders": report.outcomes(found, parked),
            "by_soap": sent.by_soap,
            "repeats": {"answered_alike": sent.repeated, "refused": sent.refused_repeats},
            "cancel_asked": len(sent.cancel_asked),
            "points": {
                "runs": points_books.ends(estate),
                "refused": refused,
                "seconds": month_took_s,
                "tried_again": points_books.tried_again(estate),
                "owing": points_books.owing(estate),
                "programmes": points_books.statements(estate),
            },
            "books": [
                {"books": c.title, "records": c.compared, "differences": list(c.differences)} for c in comparisons
            ],
            "agree": not any(c.differences for c in comparisons),
        }
        story = report.longest_story(estate, found)
        bar.stop()
        document["seconds"] = round(time.monotonic() - started, 1)
        _show(document, parked, story, comparisons, as_json=as_json)
        if serve:
            _stay_up(estate, as_json=as_json)
    return 0 if document["agree"] else 1


def _systems(folder: Path, bar: Progress) -> Sequence[str]:
    """All of them; without the DRP, whose books are read by ODBC, where ODBC is not installed."""
    if legacy.odbc_is_there(embedded.start(folder / "postgres")):
        return legacy.ALL
    bar.console.print("without the DRP: it is read by ODBC; as root: apt-get install unixodbc odbc-postgresql")
    return tuple(name for name in legacy.ALL if name != "drp")


def _close_tills(bar: Progress, estate: DemoEstate) -> None:
    line = bar.add_task("closing time: tills report to the DRP", total=1)
    stores.close_tills(estate)
    _drain(bar, estate, None)
    bar.advance(line)


def _live_month(bar: Progress, estate: DemoEstate, month: MonthPlan) -> dict[str, int]:
    line = bar.add_task("a month of points for three brands", total=month.deeds())
    with points.PointsShops(estate) as shops:
        points.open_points(estate, shops, month)
        return points.live_month(
            estate, shops, month, advance=lambda: bar.advance(line), drain=lambda: _drain(bar, estate, None)
        )


def _comparisons(
    estate: DemoEstate, day: Sequence[Wish], found: Sequence[dict[str, Any]], month: MonthPlan
) -> Iterator[Comparison]:
    yield from compare_books(estate, day, found)
    if "drp" in estate.legacy:
        yield from stores.compare_stores(estate, read_levels(estate))
    yield from members.compare_members(estate)
    yield points_books.compare_parcels(estate, day, found)
    yield from points_books.compare_points(estate, month)


def _show(
    document: dict[str, Any],
    parked: Sequence[report.Row],
    story: report.Story | None,
    comparisons: Sequence[Comparison],
    *,
    as_json: bool,
) -> None:
    if as_json:
        typer.echo(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console()
    report.print_report(
        console,
        received=document["incoming"],
        causes=document["quarantine"],
        ended=document["orders"],
        parked=parked,
        story=story,
        points=document["points"],
        comparisons=comparisons,
    )
    verdict = "the books agree" if document["agree"] else "the books do not agree"
    total = sum(document["orders"].values())
    console.print(
        f"\n{total} orders, {document['by_soap']} of them by SOAP, {document['seconds']} s: [bold]{verdict}[/bold]"
    )


def _stay_up(estate: DemoEstate, *, as_json: bool) -> None:
    """Say where the console is and as whom to sign in; wait until asked to stop."""
    visitor = invite(estate)
    text = f"console: {visitor.url}\nlogin: {visitor.login}\npassword: {visitor.password}\nCtrl-C ends everything."
    with stop_signal() as stop:
        say(text, asdict(visitor), as_json=as_json)
        stop.wait()


def _supply(bar: Progress, estate: DemoEstate, seed: int, day: Sequence[Wish]) -> None:
    tasks = list(supply_tasks(estate, seed, day))
    line = bar.add_task("filling the systems", total=len(tasks) + 1)
    for words, task in tasks:
        bar.update(line, description=words)
        task()
        _drain(bar, estate, None)
        bar.advance(line)
    pull(estate.hub, "sap", "stock")
    _drain(bar, estate, None)
    bar.update(line, description="the systems are filled", advance=1)


def _sell(bar: Progress, estate: DemoEstate, day: Sequence[Wish]) -> Sent:
    line = bar.add_task("a day of orders, with faults on", total=len(day))
    sent = send_orders(estate, day, lambda: bar.advance(line), by_soap=BY_SOAP)
    cancel_some(estate, day, sent)
    return sent


def _compare(bar: Progress, compare: Callable[[], list[Comparison]]) -> list[Comparison]:
    line = bar.add_task("reading everybody's books", total=1)
    comparisons = compare()
    bar.advance(line)
    return comparisons


def _drain(bar: Progress, estate: DemoEstate, words: str | None) -> None:
    """Wait until no simulator has anything to push and no run has anything to do; parked runs wait for a person."""
    line = bar.add_task(words, total=None) if words else None
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    quiet_since: float | None = None
    while time.monotonic() < deadline:
        if _busy(estate):
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif words is None or time.monotonic() - quiet_since >= QUIET_S:
            if line is not None:
                bar.update(line, total=1, completed=1)
            return
        time.sleep(POLL_S if words else 0.05)
    raise TransientError(
        f"after {DRAIN_TIMEOUT_S:.0f} s there is still work to do; look at `yipan run list` and {estate.folder}/hub.log"
    )


def _busy(estate: DemoEstate) -> bool:
    for simulator in estate.simulators:
        state = httpx.get(f"{simulator.url}/_outgoing", timeout=30, trust_env=False).json()
        if state["pending"]:
            return True
    (row,) = estate.hub.database.run(
        "SELECT count(*) AS n FROM flow_run AS run WHERE state IN ('ready', 'running')"
        " OR (state = 'waiting' AND flow <> 'ingest.refeed' AND NOT EXISTS (SELECT FROM flow_run AS child"
        " WHERE child.parent_id = run.id AND child.state = 'parked'))"
    )
    return bool(row["n"])
