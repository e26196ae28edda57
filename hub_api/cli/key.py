"""``yipan key``: API keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from hub_api import auth
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows
from hub_api.roles import ROLES, scopes_of

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke API keys.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as the system that will hold it.")],
    scope: Annotated[list[str] | None, typer.Option(help="ingest:SYSTEM, orders:read, …; repeat for more.")] = None,
    role: Annotated[list[str] | None, typer.Option(help=f"With the scopes of: {', '.join(ROLES)}.")] = None,
    channel: Annotated[str | None, typer.Option(help="The sales channel that the key speaks for.")] = None,
    brand: Annotated[str | None, typer.Option(help="The brand; that of the estate when left out.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; never when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it: its secret is shown this once."""
    scopes = sorted({*(scope or ()), *scopes_of(role or ()), *([f"channel:{channel}"] if channel else ())})
    with opened_hub() as hub:
        key = auth.create_key(
            hub.database,
            owner=hub.estate.owner,
            brand=brand or hub.estate.brand,
            name=name,
            scopes=scopes,
            expires_at=datetime.now(UTC) + timedelta(days=days) if days else None,
            by=operator(hub, brand),
        )
    show({"key": key, "name": name, "scopes": scopes}, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every key, without its secret."""
    with opened_hub() as hub:
        rows = auth.list_keys(hub.database)
    show_rows(
        rows, as_json=as_json, columns=("id", "name", "brand", "scopes", "created_at", "expires_at", "revoked_at")
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `key list` shows.")], as_json: AsJson = False
) -> None:
    """End a key now."""
    with opened_hub() as hub:
        auth.revoke_key(hub.database, key_id)
    show({"revoked": key_id}, as_json=as_json)


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="The id that `key list` shows.")],
    grace_hours: Annotated[float, typer.Option(min=0, max=720, help="How long the old key still opens.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Create a key in the place of another, and end the old one after a while."""
    with opened_hub() as hub:
        key = auth.rotate_key(hub.database, key_id, grace=timedelta(hours=grace_hours))
    show({"key": key, "replaces": key_id, "grace_hours": grace_hours}, as_json=as_json)
