"""``yipan soap``: accounts of systems that push by SOAP with a user name."""

from typing import Annotated

import typer

from hub_api.cli.hub import opened_hub
from hub_api.cli.output import AsJson, show, show_rows
from hub_api.soap import accounts

app = typer.Typer(no_args_is_help=True, help="The SOAP door.")
account = typer.Typer(no_args_is_help=True, help="Create, list and revoke accounts for WS-Security UsernameTokens.")
app.add_typer(account, name="account")


@account.command()
def create(
    name: Annotated[str, typer.Argument(help="The user name that the system will send.")],
    scope: Annotated[list[str], typer.Option(help="ingest:SYSTEM; repeat for more.")],
    brand: Annotated[str | None, typer.Option(help="The brand; that of the estate when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create an account and print its password: it is shown this once."""
    with opened_hub() as hub:
        password = accounts.create_account(
            hub.database, owner=hub.estate.owner, brand=brand or hub.estate.brand, name=name, scopes=scope
        )
    show({"name": name, "password": password, "scopes": scope}, as_json=as_json)


@account.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every account, without its password."""
    with opened_hub() as hub:
        rows = accounts.list_accounts(hub.database)
    show_rows(rows, as_json=as_json, columns=("name", "brand", "scopes", "created_at", "revoked_at"))


@account.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The name that `soap account list` shows.")], as_json: AsJson = False
) -> None:
    """End an account now."""
    with opened_hub() as hub:
        accounts.revoke_account(hub.database, name)
    show({"revoked": name}, as_json=as_json)
