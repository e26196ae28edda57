"""``yipan stock``: what may be promised, what is kept back, what changes, and what should lie elsewhere."""

from typing import Annotated, Any, Final, Literal

import typer

from canonical_model.errors import RejectedError
from flows.one_stock.supply import Limits
from hub_api import availability, supply
from hub_api.availability import Wanted
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows

app = typer.Typer(no_args_is_help=True, help="Show what may be promised; keep units back; warnings and suggestions.")

USUAL: Final = Limits()

Channel = Annotated[str | None, typer.Option(help="Whose rules and safety count.")]
Weeks = Annotated[float, typer.Option(min=0, max=1_000)]


@app.command("show")
def show_(
    skus: Annotated[list[str], typer.Argument(help="The hub's SKU codes; bundles too.")],
    channel: Channel = None,
    region: Annotated[str, typer.Option(help="Only places within this GB/T 2260 code, such as 330000.")] = "",
    by: Annotated[Literal["place", "region"], typer.Option(help="Tell the figures apart.")] = "place",
    as_json: AsJson = False,
) -> None:
    """Show what may be promised of SKUs, place by place or region by region."""
    with opened_hub() as hub, hub.database.unit() as uow:
        answer = availability.read_availability(uow, operator(hub), Wanted(skus, channel, region, by=by))
    if answer["unknown"]:
        raise RejectedError(f"there is no SKU {answer['unknown'][0]!r}; send the product first", code="sku.unknown")
    if as_json:
        show(answer, as_json=True)
        return
    rows = [
        {"sku": item["sku"], "of": part.get("location") or part.get("region_code") or "", **part}
        for item in answer["items"]
        for part in [{"name": "all", "available": item["available"]}, *(item["places"] or item["regions"] or ())]
    ]
    show_rows(rows, as_json=False, columns=("sku", "of", "name", "available"))


@app.command()
def safety(
    sku: Annotated[str, typer.Argument(help="The hub's SKU code.")],
    units: Annotated[int | None, typer.Argument(min=0, help="Left out: as the channel's rules say.")] = None,
    place: Annotated[str | None, typer.Option(help="Keep them at this place, from every order.")] = None,
    channel: Annotated[str | None, typer.Option(help="Keep them from this channel.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep units of a SKU back, at a place or from a channel."""
    with opened_hub() as hub:
        done = availability.set_safety(hub, operator(hub), sku=sku, units=units, place=place, channel=channel)
    show(done, as_json=as_json)


@app.command()
def changes(
    after: Annotated[
        int | None, typer.Option(min=0, help="`next` of the page before; where it is now if left out.")
    ] = None,
    channel: Channel = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what changed, in sequence."""
    with opened_hub() as hub, hub.database.unit() as uow:
        page = availability.read_changes(uow, operator(hub), channel=channel, after=after, limit=limit)
    show({**page, "items": [_plain(item) for item in page["items"]]}, as_json=as_json)


@app.command()
def warnings(
    short_weeks: Weeks = USUAL.short_weeks,
    target_weeks: Weeks = USUAL.target_weeks,
    over_weeks: Weeks = USUAL.over_weeks,
    idle_units: Annotated[int, typer.Option(min=0)] = USUAL.idle_units,
    stale_after_h: Annotated[float, typer.Option(min=0)] = USUAL.stale_after_h,
    after: Annotated[int, typer.Option(min=0, help="`next` of the page before.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    as_json: AsJson = False,
) -> None:
    """Show places that run short of a SKU, or have too much."""
    limits = Limits(short_weeks, target_weeks, over_weeks, idle_units, stale_after_h)
    with opened_hub() as hub, hub.database.unit() as uow:
        page = supply.list_warnings(uow, operator(hub), limits, after=after, limit=limit)
    show(page, as_json=as_json)


@app.command()
def suggestions(
    skus: Annotated[list[str] | None, typer.Argument(help="Only these SKUs.")] = None,
    allocate: Annotated[int | None, typer.Option(min=1, help="Spread so many units of one SKU.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="The place to spread them from.")] = None,
    short_weeks: Weeks = USUAL.short_weeks,
    target_weeks: Weeks = USUAL.target_weeks,
    over_weeks: Weeks = USUAL.over_weeks,
    min_units: Annotated[int, typer.Option(min=0, help="Fewer are not worth a parcel.")] = USUAL.min_units,
    after: Annotated[int, typer.Option(min=0, help="`next` of the page before.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show transfers that would help, or how to spread goods from one place."""
    limits = Limits(short_weeks, target_weeks, over_weeks, min_units=min_units)
    with opened_hub() as hub, hub.database.unit() as uow:
        if allocate is None and source is None:
            page = supply.list_transfers(uow, operator(hub), limits, skus=skus or (), after=after)
        elif allocate is None or source is None or skus is None or len(skus) != 1:
            raise RejectedError("to spread goods, give one SKU, --allocate and --from", code="suggestions.allocate")
        else:
            page = supply.suggest_allocation(uow, operator(hub), limits, sku=skus[0], source=source, quantity=allocate)
    show(page, as_json=as_json)


def _plain(item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else {name: getattr(item, name) for name in item.__dataclass_fields__}
