"""What the demo says at the end: tables for people, one JSON document for scripts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from flows.runtime import telemetry
from flows.runtime.telemetry import SpanNode
from hub_api.demo.books import Comparison
from hub_api.demo.estate import DemoEstate

MESSAGES_PAGE: Final = 500
SHOWN_DIFFERENCES: Final = 5
MAX_SPANS: Final = 60

Row = Mapping[str, Any]
Story = tuple[Row, list[SpanNode]]


def incoming(estate: DemoEstate) -> list[dict[str, Any]]:
    """Messages and records by system and stream, from the hub's API."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    with estate.client(estate.operator_key) as client:
        before: str | None = None
        while True:
            query = {"limit": str(MESSAGES_PAGE)} | ({} if before is None else {"before": before})
            page = client.get("/v1/messages", params=query).raise_for_status().json()
            for message in page["items"]:
                total = totals.setdefault((message["system"], message["stream"]), Counter())
                total.update({name: message[name] for name in ("records", "accepted", "quarantined", "ignored")})
                total["messages"] += 1
            before = page["next"]
            if before is None:
                break
    return [{"system": system, "stream": stream, **total} for (system, stream), total in sorted(totals.items())]


def quarantined(estate: DemoEstate) -> list[dict[str, Any]]:
    """Open quarantine, by cause."""
    with estate.client(estate.operator_key) as client:
        return list(client.get("/v1/quarantine").raise_for_status().json()["items"])


def parked_runs(estate: DemoEstate) -> list[dict[str, Any]]:
    """Runs that ask for a person."""
    with estate.client(estate.operator_key) as client:
        return list(client.get("/v1/runs", params={"state": "parked", "limit": 500}).raise_for_status().json()["items"])


def outcomes(orders: Sequence[Row], parked: Sequence[Row]) -> dict[str, int]:
    """Orders by how they ended. A parked order is counted as parked only."""
    stuck = {run["input"].get("order_id") for run in parked}
    counts: Counter[str] = Counter()
    for order in orders:
        shipped = [parcel for parcel in order["parcels"] if parcel["status"] == "shipped"]
        if order["id"] in stuck:
            counts["parked"] += 1
        elif order["status"] == "shipped":
            counts["split" if len(shipped) > 1 else "whole"] += 1
        else:
            counts[order["status"]] += 1
    return dict(counts)


def longest_story(estate: DemoEstate, orders: Sequence[Row]) -> Story | None:
    """A split order and the span tree of its trace, as kept by the hub."""
    split = [order for order in orders if len(order["parcels"]) > 1 and order["traceparent"]]
    for order in sorted(split, key=lambda order: len(order["parcels"]), reverse=True):
        with estate.hub.database.unit() as uow:
            spans = telemetry.get_trace(uow.connection, telemetry.trace_id_of(order["traceparent"]))
        if spans:
            return order, telemetry.trace_tree(spans)
    return None


def print_report(
    console: Console,
    *,
    received: Sequence[Row],
    causes: Sequence[Row],
    ended: Mapping[str, int],
    parked: Sequence[Row],
    story: Story | None,
    points: Mapping[str, Any],
    comparisons: Sequence[Comparison],
) -> None:
    """Everything, in the order a newcomer asks."""
    _table(console, "What came in", received, ("system", "stream", "messages", "records", "accepted", "quarantined"))
    _table(console, "What is in quarantine, and why", causes, ("system", "stream", "cause", "records"))
    _table(console, "What became of the orders", [{"end": k, "orders": v} for k, v in sorted(ended.items())])
    reasons = Counter((run["flow"], (run["error"] or {}).get("code", "")) for run in parked)
    if reasons:
        rows = [{"flow": flow, "reason": reason, "runs": n} for (flow, reason), n in sorted(reasons.items())]
        _table(console, "What asked for a person: the block was lifted in SAP and the runs went on", rows)
    if story:
        order, roots = story
        console.print(f"\n[bold]One order, {order['order_no']}, from push to write-back[/bold]")
        for root in roots:
            console.print(_tree(root))
    _points(console, points)
    _table(
        console,
        "Books: every system's own records against the hub's",
        [{"books": c.title, "records": c.compared, "differences": len(c.differences)} for c in comparisons],
    )
    for comparison in comparisons:
        for difference in comparison.differences[:SHOWN_DIFFERENCES]:
            console.print(f"  [red]{comparison.title}[/red]: {difference}", highlight=False, soft_wrap=True)


def _points(console: Console, points: Mapping[str, Any]) -> None:
    title = f"The month of points: how its runs ended; {points['tried_again']} steps were tried again"
    _table(console, title, points["runs"], ("flow", "ended", "runs"))
    _table(
        console,
        f"What became of the points, and what is left to honour; {points['owing']} members owe some",
        [
            {
                "programme": row["programme"],
                "issuer": row["issuer"],
                **{name: row[name] for name in ("issued", "spent", "expired")},
                "exchanged": row["exchanged_out"],
                "clawed": row["clawed_back"],
                "left": row["outstanding"],
                "yuan": f"{row['liability_minor'] / 100:.2f}",
            }
            for row in points["programmes"]
        ],
    )


def _table(console: Console, title: str, rows: Sequence[Row], columns: Sequence[str] | None = None) -> None:
    names = columns or (list(rows[0]) if rows else [])
    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row.get(name, 0)) for name in names))
    console.print(f"\n[bold]{title}[/bold]")
    console.print(table)


def _tree(root: SpanNode) -> Tree:
    tree, shown = Tree(_label(root)), [0]

    def grow(branch: Tree, node: SpanNode) -> None:
        for child in node.children:
            shown[0] += 1
            if shown[0] <= MAX_SPANS:
                grow(branch.add(_label(child)), child)

    grow(tree, root)
    return tree


def _label(node: SpanNode) -> str:
    span = node.span
    took_ms = (span.ended_at - span.started_at).total_seconds() * 1000
    mark = "" if span.status != "error" else " [red]failed[/red]"
    return f"{span.name} [dim]{took_ms:.0f} ms[/dim]{mark}"
