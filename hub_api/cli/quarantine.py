"""``yipan quarantine``: records that could not be taken."""

from typing import Annotated

import typer

from flows.runtime import quarantine
from flows.runtime.quarantine import Selection
from hub_api import repair
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows, working

app = typer.Typer(no_args_is_help=True, help="List, show, feed again and discard quarantined records.")

RowIds = Annotated[list[int] | None, typer.Argument(help="Ids that `quarantine list --records` shows.")]
System = Annotated[str | None, typer.Option(help="Only of this system.")]
Stream = Annotated[str | None, typer.Option(help="Only of this stream.")]
Cause = Annotated[str | None, typer.Option(help="Only of this cause, such as sku.unknown.")]
Message = Annotated[str | None, typer.Option(help="Only of this message.")]


@app.command("list")
def list_(
    system: System = None,
    stream: Stream = None,
    cause: Cause = None,
    message: Message = None,
    records: Annotated[bool, typer.Option(help="List records instead of counting causes.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """Count open records by cause, or list them."""
    with opened_hub() as hub, hub.database.unit() as uow:
        selection = Selection(hub.estate.owner, hub.estate.brand, None, system, stream, cause, message)
        if records:
            rows = quarantine.list_rows(uow.connection, selection, limit=limit)
            columns = ("id", "system", "stream", "source_id", "cause", "issues", "created_at")
        else:
            rows = quarantine.list_causes(uow.connection, selection)
            columns = ("system", "stream", "cause", "records", "oldest", "newest", "example_id")
    show_rows(rows, as_json=as_json, columns=columns)


@app.command("show")
def show_(row_id: Annotated[int, typer.Argument(help="The record's id.")], as_json: AsJson = False) -> None:
    """Show one record with its raw value, personal fields masked."""
    with opened_hub() as hub, hub.database.unit() as uow:
        row = repair.read_quarantined(uow, hub.estate.owner, hub.estate.brand, row_id)
    show(row, as_json=as_json)


@app.command()
def refeed(
    ids: RowIds = None,
    system: System = None,
    stream: Stream = None,
    cause: Cause = None,
    message: Message = None,
    dry_run: Annotated[bool, typer.Option(help="Only tell what would become of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Feed records again with the mapping as it is now."""
    with opened_hub() as hub, working("feeding again"):
        selection = Selection(hub.estate.owner, hub.estate.brand, ids or None, system, stream, cause, message)
        report = repair.refeed(hub, operator(hub), selection, dry_run=dry_run)
        if not dry_run:
            carried = hub.runner.run_now(report["run_id"])
            report |= {"state": carried.state, **carried.results.get("feed", {})}
    show(report, as_json=as_json)


@app.command()
def discard(
    ids: RowIds = None,
    system: System = None,
    stream: Stream = None,
    cause: Cause = None,
    message: Message = None,
    as_json: AsJson = False,
) -> None:
    """End records for good."""
    with opened_hub() as hub:
        selection = Selection(hub.estate.owner, hub.estate.brand, ids or None, system, stream, cause, message)
        report = repair.discard(hub, operator(hub), selection)
    show(report, as_json=as_json)
