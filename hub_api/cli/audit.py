"""``yipan audit``: who changed what, and whether the log is as it was written."""

from dataclasses import asdict
from typing import Annotated

import typer

from hub_api import audit
from hub_api.audit import AuditFilter
from hub_api.cli.hub import opened_hub
from hub_api.cli.output import EXIT_FAILED, AsJson, show, show_rows, working

app = typer.Typer(no_args_is_help=True, help="List and verify the audit log.")


@app.command("list")
def list_(
    actor: Annotated[str | None, typer.Option(help="Only by user:LOGIN, key:ID or cli:NAME.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as run.retry.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this, such as run:17 or user:li.")] = None,
    brand: Annotated[str | None, typer.Option(help="Of this brand; that of the estate when left out.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only entries before this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List entries, newest first."""
    with opened_hub() as hub, hub.database.unit() as uow:
        wanted = AuditFilter(hub.estate.owner, brand or hub.estate.brand, actor, action, subject)
        rows = audit.list_entries(uow, wanted, before=before, limit=limit)
    show_rows(rows, as_json=as_json, columns=("seq", "at", "actor", "action", "subject", "detail"))


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="COUNT:HASH of an earlier verify, kept elsewhere: finds a log put back whole.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the whole chain; exit code 1 names the first entry that is not as it was written."""
    with opened_hub() as hub, working("reading the chain"):
        verified = audit.verify(hub.database, head)
    document = {"intact": verified.broken is None, "entries": verified.count, "head": verified.head}
    if verified.broken is not None:
        document["broken"] = asdict(verified.broken)
    show(document, as_json=as_json)
    if verified.broken is not None:
        raise typer.Exit(EXIT_FAILED)
