"""``yipan system``: the connected systems."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from hub_api import estate_view
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows
from hub_api.estate_view import SystemState

app = typer.Typer(no_args_is_help=True, help="List systems with their streams and lanes; pause and resume them.")

Name = Annotated[str, typer.Argument(help="The system's name in the estate file.")]
COLUMNS = ("name", "connector", "health", "last_message_at", "backlog", "open_quarantine", "in_doubt", "advice")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every system and how it is."""
    with opened_hub() as hub:
        rows = [_plain(state) for state in estate_view.systems(hub, operator(hub))]
    show_rows(rows, as_json=as_json, columns=COLUMNS)


@app.command("show")
def show_(name: Name, as_json: AsJson = False) -> None:
    """Show one system with its streams and lanes."""
    with opened_hub() as hub:
        state = estate_view.system(hub, operator(hub), name)
    show(_plain(state), as_json=as_json)


@app.command()
def pause(name: Name, as_json: AsJson = False) -> None:
    """Send nothing more to it until it is resumed; what it sends is still taken."""
    with opened_hub() as hub:
        state = estate_view.pause_system(hub, operator(hub), name)
    show(_plain(state), as_json=as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Send to it again, at once."""
    with opened_hub() as hub:
        state = estate_view.resume_system(hub, operator(hub), name)
    show(_plain(state), as_json=as_json)


def _plain(state: SystemState) -> dict[str, Any]:
    return asdict(state)
