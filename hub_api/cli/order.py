"""``yipan order``: why an order ships from where it does."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from hub_api import orders
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows

app = typer.Typer(help="Orders.", no_args_is_help=True)

SUMMARY = ("round", "cause", "decided_at", "action", "cost", "gap", "stopped", "rules", "parcels")
COLUMNS = ("line_no", "sku", "place", "km", "stock", "removed_by", "scores", "chosen")


@app.callback()
def group() -> None:
    """Orders."""


@app.command()
def explain(
    channel: Annotated[str, typer.Argument(help="The channel that sold it.")],
    order_no: Annotated[str, typer.Argument(help="The channel's own number.")],
    as_json: AsJson = False,
) -> None:
    """Tell every decision about an order: for each line the places considered, what removed them, the choice."""
    with opened_hub() as hub, hub.database.unit() as uow:
        access = operator(hub)
        told = orders.read_decisions(uow, access, orders.find_order_id(uow, access, channel, order_no))
    if as_json:
        show({"items": told}, as_json=True)
        return
    for decision in told:
        parcels = "; ".join(_parcel(parcel) for parcel in decision["parcels"]) or "none"
        rules = f"version {decision['rules']['version']}"
        told_first = {**decision, "parcels": parcels, "rules": rules}
        show({name: told_first[name] for name in SUMMARY}, as_json=False)
        show_rows(list(_rows(decision)), as_json=False, columns=COLUMNS)


def _parcel(parcel: Mapping[str, Any]) -> str:
    lines = ", ".join(f"{line['quantity']} × {line['sku']}" for line in parcel["lines"])
    return f"{parcel['place']}: {lines}"


def _rows(decision: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for each line and place, the chosen first, then the nearest."""
    for line in decision["lines"]:
        for place in sorted(line["places"], key=lambda each: (-each["chosen"], each["km"] is None, each["km"] or 0.0)):
            scores = " ".join(f"{tier}={score:.2f}" for tier, score in place["scores"].items())
            yield {**place, "line_no": line["line_no"], "sku": line["sku"], "scores": scores}
