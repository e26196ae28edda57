"""``yipan simulate``: what the live code decides, on files or on what was recorded. Nothing is held or stored."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import typer

from canonical_model.errors import ConfigurationError, NotFoundError, RejectedError
from canonical_model.store.replays import MAX_REPLAYED
from flows.one_stock.routed import Routed, Totals, routed
from flows.one_stock.routing.record import Names, Record, explain
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.simulation import World, simulate, simulate_one
from flows.one_stock.simulation_files import read_rules, read_world
from flows.one_stock.what_if import WhatIf, compare
from flows.one_stock.what_if_picture import draw
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, progress, show, show_rows
from hub_api.what_if import Asked
from hub_api.what_if import what_if as replay_recorded

PATIENCE_S: Final = 2.0
EVERY_S: Final = 0.1
SHOWN: Final = 20

Tell = Callable[[int, int | None], None]

app = typer.Typer(no_args_is_help=True, help="Try decisions without making them.")


@app.callback()
def _group() -> None:
    """``routing`` is a command of its own while it is the only one."""


@app.command()
def routing(
    rules: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The rulebook, a TOML file.")],
    orders: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="CSV of orders.")] = None,
    nodes: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="CSV of places.")] = None,
    stock: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="CSV of their stock.")] = None,
    independent: Annotated[bool, typer.Option("--independent", help="No order takes from the next.")] = False,
    explained: Annotated[str, typer.Option("--explain", metavar="ORDER_NO", help="Say why of one order.")] = "",
    what_if: Annotated[bool, typer.Option("--what-if", help="Compare with other rules, or what was recorded.")] = False,
    against: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="With files: the rules to compare with.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Recorded orders from then on, such as 2026-03-01T09:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Recorded orders before then.")] = None,
    channel: Annotated[str | None, typer.Option(help="Recorded orders of one channel.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_REPLAYED, help="The newest so many recorded orders.")] = 1_000,
    picture: Annotated[Path | None, typer.Option(dir_okay=False, help="Draw the comparison here, as SVG.")] = None,
    brand: Annotated[str | None, typer.Option(help="Whose recorded orders; else the estate's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Route orders by the code that routes live ones; docs/routing.md describes the files.

    With --orders, --nodes and --stock: those orders, one after another. With --what-if and no files: the orders that
    this hub recorded, decided again under --rules.
    """
    book = read_rules(rules)
    files = [file for file in (orders, nodes, stock) if file is not None]
    if picture and not what_if:
        raise _refused("--picture draws a comparison; add --what-if")
    if explained and what_if:
        raise _refused("--explain is about one way, --what-if about two; ask for one of them")
    if files and (since or until or channel or brand):
        raise _refused(
            "--since, --until, --channel and --brand choose among recorded orders; leave them out with files"
        )
    if what_if and not files:
        asked = Asked(_moment(since, "--since"), _moment(until, "--until"), channel, limit, independent)
        _show_comparison(_recorded(book, asked, brand, as_json=as_json), picture, as_json=as_json)
        return
    if orders is None or nodes is None or stock is None:
        raise _refused("name all of --orders, --nodes and --stock, or ask --what-if of recorded orders")
    if what_if != (against is not None):
        raise _refused("with files, --what-if and --against RULES come together: name the rules to compare with")
    with _patient("reading", as_json=as_json) as tell:
        world = read_world(orders, nodes, stock, lambda row: tell(row, None))
    if explained:
        _show_why(world, book, explained, independent=independent, as_json=as_json)
    elif against is not None:
        old = read_rules(against)
        before = _route(world, old, "before", independent=independent, as_json=as_json)
        after = _route(world, book, "after", independent=independent, as_json=as_json)
        prices = (old.rules(order.channel) for order in world.orders)
        priced = (order.priced_by(rules) for order, rules in zip(after, prices, strict=True))
        _show_comparison(compare(before, priced), picture, as_json=as_json)
    else:
        _show_routed(list(_route(world, book, "routing", independent=independent, as_json=as_json)), as_json=as_json)


def _refused(reason: str) -> RejectedError:
    return RejectedError(reason, code="simulate.options")


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise _refused(
            f"{option} {text!r} is no time; write 2026-03-01T09:00, of your own zone or with an offset"
        ) from None


def _route(world: World, book: Rulebook, text: str, *, independent: bool, as_json: bool) -> Iterator[Routed]:
    places = {node.id: node.code for node in world.nodes}
    with _patient(text, as_json=as_json) as tell:
        for done, outcome in enumerate(simulate(world, book, independent=independent), 1):
            yield routed(outcome.order.order_no, outcome.decision, places, world.skus, outcome.ms)
            tell(done, len(world.orders))


def _recorded(book: Rulebook, asked: Asked, brand: str | None, *, as_json: bool) -> WhatIf:
    with opened_hub() as hub, _patient("replaying", as_json=as_json) as tell:
        return replay_recorded(hub, operator(hub, brand), book.text, asked, told=tell)


def _show_routed(orders: list[Routed], *, as_json: bool) -> None:
    totals = Totals()
    for order in orders:
        totals.add(order)
    if as_json:
        found = {
            "orders": [order.document() for order in orders],
            "totals": {**totals.document(), "load": totals.load()},
        }
        show(found, as_json=True)
        return
    rows = [
        {
            "order": order.order_no,
            "from": " ".join(parcel.node for parcel in order.parcels),
            "km": _figure(order.distance_km),
            "cost": _figure(order.cost),
            "gap": f"{order.gap:.2%}",
            "unfilled": order.unfilled_units or "",
        }
        for order in orders[:SHOWN]
    ]
    show_rows(rows, as_json=False, columns=("order", "from", "km", "cost", "gap", "unfilled"))
    if len(orders) > SHOWN:
        typer.echo(f"  … and {len(orders) - SHOWN:,} more; --json prints all")
    typer.echo()
    show({name: _figure(value) for name, value in totals.document().items()}, as_json=False)
    typer.echo()
    show_rows(totals.load()[:SHOWN], as_json=False, columns=("node", "parcels", "units"))


def _show_comparison(found: WhatIf, picture: Path | None, *, as_json: bool) -> None:
    if picture is not None:
        try:
            picture.write_text(draw(found), "utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{picture} cannot be written: {error.strerror}", code="file.unwritable"
            ) from error
    document = found.document()
    if as_json:
        show(document, as_json=True)
        return
    before, after = document["totals"]["before"], document["totals"]["after"]
    rows = [
        {
            "": name,
            "before": _figure(before[name]),
            "after": _figure(after[name]),
            "change": _change(before[name], after[name]),
        }
        for name in (
            "cost",
            "parcels",
            "distance_km",
            "units",
            "unfilled_units",
            "complete",
            "partial",
            "unserved",
            "split",
        )
    ]
    typer.echo(f"{before['orders']:,} orders, {found.changed:,} of them otherwise")
    if found.unreadable:
        typer.echo(f"{found.unreadable:,} more were left out: the records of their decisions cannot be read")
    show_rows(rows, as_json=False, columns=("", "before", "after", "change"))
    typer.echo()
    load = [
        {"node": row["node"], "before": row["before"]["parcels"], "after": row["after"]["parcels"]}
        for row in document["load"][:SHOWN]
    ]
    show_rows(load, as_json=False, columns=("node", "before", "after"))


def _show_why(world: World, book: Rulebook, order_no: str, *, independent: bool, as_json: bool) -> None:
    found = simulate_one(world, book, order_no, independent=independent)
    if found is None:
        raise NotFoundError(f"there is no order {order_no!r} in the file", code="order.unknown")
    names = Names({node.id: (node.code, "") for node in world.nodes}, dict(enumerate(world.skus)))
    record = Record(found.problem, found.rules, book.version, found.order.channel, found.decision)
    why = {"order_no": order_no, **explain(record, names)}
    if as_json:
        show(why, as_json=True)
        return
    lines, parcels, tiers = why.pop("lines"), why.pop("parcels"), why["tiers"]
    show(why, as_json=False)
    typer.echo()
    shown = [
        {
            "from": parcel["place"],
            "km": _figure(parcel["km"]),
            "cost": _figure(parcel["cost"]),
            "goods": ", ".join(f"{line['sku']} x {line['quantity']}" for line in parcel["lines"]),
        }
        for parcel in parcels
    ]
    show_rows(shown, as_json=False, columns=("from", "km", "cost", "goods"))
    for line in lines:
        typer.echo(f"\n{line['sku']}: {line['quantity']} wanted, {line['unfilled']} unfilled")
        rows = [
            {**place, "km": _figure(place["km"]), **{tier: _figure(place["scores"].get(tier)) for tier in tiers}}
            for place in line["places"]
        ]
        show_rows(rows, as_json=False, columns=("place", "km", "stock", "removed_by", *tiers, "chosen"))


@contextmanager
def _patient(text: str, *, as_json: bool) -> Iterator[Tell]:
    """Tells how far something is once it has taken PATIENCE_S; call it with how many are done, and of how many."""
    due = monotonic() + PATIENCE_S
    with ExitStack() as stack:
        bar, task = None, None

        def tell(done: int, total: int | None) -> None:
            nonlocal bar, task, due
            if as_json or (now := monotonic()) < due:
                return
            due = now + EVERY_S
            if bar is None or task is None:
                bar = stack.enter_context(progress(as_json=as_json))
                task = bar.add_task(text)
            bar.update(task, completed=done, total=total)

        yield tell


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.3g}" if abs(value) < 1 else f"{value:,.2f}"


def _change(before: float, after: float) -> str:
    return f"{(after - before) / before:+.1%}" if before else _figure(after - before)
