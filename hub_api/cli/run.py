"""``yipan run``: durable runs of flows."""

from typing import Annotated

import typer

from flows.runtime import runs
from flows.runtime.runs import RunFilter
from hub_api import operations
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows

app = typer.Typer(no_args_is_help=True, help="List, show, retry, resume, cancel and settle runs.")

RunId = Annotated[int, typer.Argument(help="The id that `run list` shows.")]


@app.command("list")
def list_(
    flow: Annotated[str | None, typer.Option(help="Only of this flow, such as one_stock.fulfil_order.")] = None,
    state: Annotated[str | None, typer.Option(help="ready, running, waiting, parked, done or undone.")] = None,
    key: Annotated[str | None, typer.Option(help="Only of this business key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with opened_hub() as hub, hub.database.unit() as uow:
        wanted = RunFilter(hub.estate.owner, hub.estate.brand, flow=flow, state=state, key=key)
        rows = runs.list_runs(uow, wanted, limit=limit)
    columns = ("id", "flow", "business_key", "state", "outcome", "waiting_for", "attempt", "error", "updated_at")
    show_rows(rows, as_json=as_json, columns=columns)


@app.command("show")
def show_(run_id: RunId, as_json: AsJson = False) -> None:
    """Show one run with its history and its outside writes."""
    with opened_hub() as hub, hub.database.unit() as uow:
        run = operations.read_run(uow, hub.estate.owner, hub.estate.brand, run_id)
    show(run, as_json=as_json)


@app.command()
def retry(run_id: RunId, as_json: AsJson = False) -> None:
    """Let a parked run try its step again."""
    with opened_hub() as hub:
        show(operations.retry(hub, operator(hub), run_id, None), as_json=as_json)


@app.command()
def resume(
    run_id: RunId,
    step: Annotated[str, typer.Option(help="The earlier step to go on from; its result and later ones are forgotten.")],
    as_json: AsJson = False,
) -> None:
    """Let a parked run go on again from an earlier step."""
    with opened_hub() as hub:
        show(operations.retry(hub, operator(hub), run_id, step), as_json=as_json)


@app.command()
def cancel(run_id: RunId, as_json: AsJson = False) -> None:
    """Ask a run to stop and take back what it did."""
    with opened_hub() as hub:
        show(operations.cancel(hub, operator(hub), run_id), as_json=as_json)


@app.command()
def settle(
    run_id: RunId,
    effect_id: Annotated[int, typer.Argument(help="The id of the outside write, from `run show`.")],
    landed: Annotated[bool, typer.Option("--landed/--not-landed", help="What you found out over there.")],
    outside_id: Annotated[str | None, typer.Option(help="The destination's own number of what landed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an outside write in doubt landed."""
    with opened_hub() as hub:
        outcome = operations.settle(hub, operator(hub), run_id, effect_id, landed=landed, outside_id=outside_id)
    show(outcome, as_json=as_json)
