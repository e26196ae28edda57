"""``yipan order reoptimise``: better plans for orders that wait for their release."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.one_stock import reoptimise as one_stock
from flows.one_stock.routing.batch import DEFAULT_SEARCH
from hub_api import audit
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, working

app = typer.Typer()


@app.command()
def reoptimise(
    limit: Annotated[
        int, typer.Option(min=1, max=one_stock.MAX_ORDERS, help="Orders at most, the oldest first.")
    ] = 500,
    as_json: AsJson = False,
) -> None:
    """Plan all orders that wait for their release together: less unfilled, then less cost; no order gets less."""
    with opened_hub() as hub:
        access = operator(hub)
        with working("looking for better plans"):
            report = one_stock.reoptimise(
                hub.database,
                access.owner,
                access.brand,
                now=datetime.now(UTC),
                limit=limit,
                search=DEFAULT_SEARCH,
                member_schemes=list(hub.estate.systems),
            )
        with hub.database.unit() as uow:
            audit.record(uow, access, "order.reoptimise", "orders", {"changed": report.changed})
            uow.commit()
    show(asdict(report), as_json=as_json)
