"""``yipan db``: the hub's PostgreSQL."""

from typing import Any

import typer

from flows.runtime import embedded, schema
from flows.runtime.bootstrap import POSTGRES_FOLDER, database_url
from flows.runtime.database import Database
from flows.runtime.settings import Settings, get_settings
from hub_api.cli.output import AsJson, progress, show

app = typer.Typer(no_args_is_help=True, help="Start, stop, look at or upgrade the hub's PostgreSQL.")


@app.command()
def start(as_json: AsJson = False) -> None:
    """Start the embedded server (unless YIPAN_DATABASE_URL names another) and bring it to this release."""
    upgrade(as_json=as_json)


@app.command()
def stop(as_json: AsJson = False) -> None:
    """Stop the embedded server; an external one is left alone."""
    settings = get_settings()
    if settings.database_url is None:
        embedded.stop(settings.data_dir / POSTGRES_FOLDER)
    show(_status(settings), as_json=as_json)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say which server is used and whether it answers."""
    show(_status(get_settings()), as_json=as_json)


@app.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the database to the tables and functions of this release."""
    settings = get_settings()
    with progress(as_json=as_json) as bar:
        bar.add_task("starting and upgrading PostgreSQL", total=None)
        schema.upgrade(database_url(settings))
    show(_status(settings), as_json=as_json)


def _status(settings: Settings) -> dict[str, Any]:
    if settings.database_url is not None:
        version = _version(settings.database_url.get_secret_value())
        return {"server": "external", "running": True, "version": version}
    folder = settings.data_dir / POSTGRES_FOLDER
    if not embedded.running(folder):
        return {"server": "embedded", "running": False, "folder": str(folder)}
    version = _version(embedded.start(folder))
    return {"server": "embedded", "running": True, "version": version, "folder": str(folder)}


def _version(url: str) -> str:
    database = Database(url, pool_size=2).open()
    try:
        (row,) = database.run("SHOW server_version")
        return str(row["server_version"])
    finally:
        database.close()
