"""``yipan rules``: the rulebook by which a brand's orders are routed."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from canonical_model.store.rulebooks import MAX_PAGE, list_rulebooks
from flows.one_stock.simulation_files import read_text
from hub_api import routing_rules
from hub_api.cli import output
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson

app = typer.Typer(no_args_is_help=True, help="Show, check and publish routing rules.")

Brand = Annotated[str | None, typer.Option(help="Whose rules; else the estate's brand.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A rulebook, a TOML file.")]


@app.command()
def show(
    version: Annotated[int | None, typer.Option(min=0, help="Another version than the one in force.")] = None,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Print a rulebook as it was published; version 0 is what a brand without one has."""
    with opened_hub() as hub:
        found = routing_rules.rules_state(hub, operator(hub, brand), version)
    shown = {name: getattr(found, name) for name in ("version", "latest", "fingerprint", "note", "published_by")}
    published = found.published_at.isoformat() if found.published_at else None
    output.say(found.text.rstrip("\n"), {**shown, "published_at": published, "text": found.text}, as_json=as_json)


@app.command()
def check(file: File, brand: Brand = None, as_json: AsJson = False) -> None:
    """Say what is wrong with a rulebook, or what it would change; nothing is stored. Exit code 4: it is wrong."""
    text = read_text(file)
    with opened_hub() as hub:
        found = routing_rules.check_rules(hub, operator(hub, brand), text)
    if as_json:
        output.show(asdict(found), as_json=True)
    elif found.issues:
        output.show_rows([asdict(issue) for issue in found.issues], as_json=False, columns=("field", "detail"))
    elif not found.lines:
        typer.echo(f"this is version {found.against}, which is in force")
    else:
        changes = [asdict(change) for change in found.changes]
        output.show_rows(changes, as_json=False, columns=("channel", "rule", "before", "after"))
        typer.echo("\n".join(["", *found.lines]))
    if found.issues:
        raise typer.Exit(output.EXIT_REJECTED)


@app.command()
def publish(
    file: File,
    reason: Annotated[str, typer.Option(help="Why; the audit log keeps it.")],
    against: Annotated[int | None, typer.Option(min=0, help="Only while this version is in force.")] = None,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Put a rulebook in force from the next decision on. The same text again is the same version."""
    text = read_text(file)
    with opened_hub() as hub:
        access = operator(hub, brand)
        before = routing_rules.rules_state(hub, access).latest if against is None else against
        version = routing_rules.publish_rules(hub, access, text, reason, against=before)
    output.say(f"version {version} is in force", {"version": version}, as_json=as_json)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="The newest so many.")] = 50,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """List the versions, newest first."""
    with opened_hub() as hub:
        access = operator(hub, brand)
        with hub.database.unit() as uow:
            found = list_rulebooks(uow.connection, access.owner, access.brand, limit=limit)
    rows = [asdict(head) for head in found]
    output.show_rows(rows, as_json=as_json, columns=("version", "published_at", "published_by", "note", "fingerprint"))
