"""``yipan``: one command for everything an integrator or operator does."""

import logging
import sys
from typing import Annotated, Final

import typer

from canonical_model.errors import HubError
from flows.runtime.settings import get_settings
from hub_api.cli import (
    audit,
    connector,
    db,
    key,
    mapping,
    message,
    order,
    points,
    quarantine,
    reoptimise,
    rules,
    run,
    search,
    simulate,
    soap,
    stock,
    system,
    user,
)
from hub_api.cli.output import AsJson, fail, say

OUR_LOGGERS: Final = ("connectors", "flows", "hub_api", "mappings")

app = typer.Typer(
    name="yipan",
    help="Yipan Hub: one canonical model over the systems a retailer already has.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.add_typer(db.app, name="db")
app.add_typer(connector.app, name="connector")
app.add_typer(mapping.app, name="mapping")
app.add_typer(message.app, name="message")
app.add_typer(quarantine.app, name="quarantine")
order.app.add_typer(reoptimise.app)
app.add_typer(order.app, name="order")
app.add_typer(stock.app, name="stock")
app.add_typer(points.app, name="points")
app.add_typer(run.app, name="run")
app.add_typer(key.app, name="key")
app.add_typer(user.app, name="user")
app.add_typer(soap.app, name="soap")
app.add_typer(audit.app, name="audit")
app.add_typer(system.app, name="system")
app.add_typer(rules.app, name="rules")
app.add_typer(simulate.app, name="simulate")
app.add_typer(search.app)


@app.command()
def demo(
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders the day has.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 7,
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards, with a login for the console.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a day of orders through a simulated estate with faults on, then compare the books."""
    from hub_api.demo.day import run_demo

    raise typer.Exit(run_demo(orders=orders, seed=seed, serve=serve, as_json=as_json))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes any free one.")] = 8080,
    work: Annotated[bool, typer.Option(help="Carry runs on in this process too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Open the API; with --no-work, workers run elsewhere."""
    from hub_api.server import serve as serve_api

    serve_api(
        get_settings(),
        host=host,
        port=port,
        work=work,
        ready=lambda url: say(f"the hub answers at {url}", {"url": url}, as_json=as_json),
    )


@app.command()
def worker(as_json: AsJson = False) -> None:
    """Carry runs on until stopped."""
    from hub_api.worker import run_worker

    run_worker(get_settings(), ready=lambda: say("the worker is ready", {"worker": "ready"}, as_json=as_json))


def main() -> None:
    """The console script; docs/configuration.md lists the exit codes."""
    try:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
        for name in OUR_LOGGERS:
            logging.getLogger(name).setLevel(get_settings().log_level)
        app()
    except HubError as error:
        sys.exit(fail(error))
