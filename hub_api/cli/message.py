"""``yipan message``: what came in."""

from typing import Annotated

import typer

from hub_api import messages, repair
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows, working
from hub_api.messages import MessageFilter
from hub_api.results import read_results

app = typer.Typer(no_args_is_help=True, help="List, show and replay received messages.")

MessageId = Annotated[str, typer.Argument(help="The id that `message list` shows.")]


@app.command("list")
def list_(
    system: Annotated[str | None, typer.Option(help="Only of this system.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only of this stream.")] = None,
    state: Annotated[str | None, typer.Option(help="received, applied or unreadable.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List messages, newest first."""
    wanted = MessageFilter(system, stream, state)
    with opened_hub() as hub, hub.database.unit() as uow:
        rows = messages.list_messages(uow, hub.estate.owner, hub.estate.brand, wanted, before=None, limit=limit)
    columns = ("id", "system", "stream", "state", "records", "accepted", "quarantined", "ignored", "received_at")
    show_rows(rows, as_json=as_json, columns=columns)


@app.command("show")
def show_(message_id: MessageId, as_json: AsJson = False) -> None:
    """Show one message and what became of each record."""
    with opened_hub() as hub, hub.database.unit() as uow:
        message = messages.get_message(uow, hub.estate.owner, hub.estate.brand, message_id)
        message |= read_results(uow, message)
    show(message, as_json=as_json)


@app.command()
def replay(message_id: MessageId, as_json: AsJson = False) -> None:
    """Ingest a stored message once more, with the mapping as it is now."""
    with opened_hub() as hub, working("ingesting once more"):
        started = repair.replay(hub, operator(hub), message_id)
        carried = hub.runner.run_now(started["run_id"])
    show({**started, "state": carried.state, "results": carried.results}, as_json=as_json)
