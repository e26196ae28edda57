"""``one_stock.fulfil_order``: an order becomes parcels, and every parcel is seen through.

1. *reserve*: choose places for what is still open and hold the goods, all or nothing, never oversold.
2. *dispatch*: one ``ship_parcel`` run per parcel; wait until all have ended.
3. *settle*: what a place refused, lacked or gave back is open again; go back to *reserve* without that place.
   Every round rules out at least one place, so this ends.
4. *tell_channel*: the channel that sold it hears what became of it, if it has a writer for that.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from canonical_model.order import OrderStatus
from canonical_model.ports import Record
from canonical_model.store import orders
from flows.one_stock import reservation
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Goto, Run, Start, children, outside, step

SHIPPED: Final = "shipped"


def order_id_of(run: Run) -> int:
    """The order this run is about."""
    return int(run.input["order_id"])


def _excluded(run: Run) -> frozenset[int]:
    return frozenset(run.results.get("settle", {}).get("excluded", ()))


def release_parcels(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Undo of *reserve*: give back what its parcels hold."""
    for parcel_no in run.results["reserve"]["parcels"]:
        reservation.give_back(uow.connection, run.owner, run.brand, parcel_no, reason="undone")
    return {}


@step(undo=release_parcels)
def reserve(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Hold what is still open, in as few parcels as possible: at first all of it or nothing, later what there is."""
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run), lock=True)
    if order["status_reason"] == reservation.CANCEL_REQUESTED:
        return {"parcels": [], "unfilled": []}
    reserved = reservation.reserve(uow.connection, order, excluded=_excluded(run), whole="settle" not in run.results)
    if reserved.parcels:
        orders.set_status(uow.connection, order["id"], OrderStatus.ALLOCATED)
        orders.add_event(uow.connection, order["id"], "allocated", {"parcels": reserved.parcels})
    return {"parcels": reserved.parcels, "unfilled": reserved.unfilled}


@children()
def dispatch(run: Run, uow: UnitOfWork) -> Sequence[Start]:
    """One run per parcel of this round."""
    return [
        Start(
            flow="one_stock.ship_parcel",
            owner=run.owner,
            brand=run.brand,
            key=parcel_no,
            input={"order_id": order_id_of(run), "parcel_no": parcel_no},
        )
        for parcel_no in run.results["reserve"]["parcels"]
    ]


@step()
def settle(run: Run, uow: UnitOfWork) -> Goto | dict[str, Any]:
    """Go round again for what is open, or say how the order ended."""
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run), lock=True)
    ended = [child for child in run.results["dispatch"] if child["outcome"] != SHIPPED or _lacking(child)]
    parcels = {child["key"]: orders.get_parcel(uow.connection, run.owner, run.brand, child["key"]) for child in ended}
    excluded = _excluded(run) | {parcel["location_id"] for parcel in parcels.values()}
    wanted = [demand for demand in reservation.open_demands(uow.connection, order["id"]) if demand.quantity]
    cancelled = order["status_reason"] == reservation.CANCEL_REQUESTED
    if wanted and ended and not cancelled:
        return Goto("reserve", {"excluded": sorted(excluded)})
    status, reason = _end(order, wanted, cancelled=cancelled)
    orders.cancel_open(uow.connection, order["id"])
    orders.set_status(uow.connection, order["id"], status, reason)
    orders.add_event(uow.connection, order["id"], str(status), {"reason": reason})
    return {"excluded": sorted(excluded), "status": str(status), "reason": reason}


def _lacking(child: Mapping[str, Any]) -> bool:
    return any(line["lacking"] for line in child["results"].get("consume", {}).get("lines", ()))


def _end(order: Mapping[str, Any], wanted: Sequence[Any], *, cancelled: bool) -> tuple[OrderStatus, str | None]:
    shipped = any(line["shipped"] for line in order["lines"])
    if not wanted:
        return OrderStatus.SHIPPED, None
    reason = "cancelled" if cancelled else "no_stock"
    return (OrderStatus.PARTLY_SHIPPED if shipped else OrderStatus.CANCELLED), reason


def _channel_writer(run: Run, uow: UnitOfWork) -> str | None:
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run))
    return uow.services.estate.find_writer(order["channel"], "order_status")


@outside(_channel_writer)
def tell_channel(run: Run, uow: UnitOfWork) -> Record:
    """What the channel learns: the order's end and its parcels."""
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run))
    return {
        "order_no": order["order_no"],
        "status": order["status"],
        "reason": order["status_reason"],
        "parcels": [
            {"parcel_no": p["parcel_no"], "status": p["status"], "carrier": p["carrier"], "waybill": p["waybill"]}
            for p in order["parcels"]
        ],
        "lines": [
            {"line_no": line["line_no"], "shipped": line["shipped"], "cancelled": line["cancelled"]}
            for line in order["lines"]
        ],
    }


FULFIL_ORDER: Final = Flow("one_stock.fulfil_order", version=1, steps=(reserve, dispatch, settle, tell_channel))
