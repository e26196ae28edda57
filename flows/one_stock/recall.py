"""Parcels called back: because the buyer cancelled, or because goods we promised are not there.

``recall_parcel`` asks the place to cancel. Its yes tells the parcel's own run, which gives the goods back; its no
("already picked") ends as ``refused`` and the parcel goes on. Before the order's release no place need be asked: the
whole plan is given back at once, and the order plans anew. ``cancel_order`` recalls every parcel of an order;
``resolve_shortfall`` recalls the newest unpicked ones until the goods suffice, and their orders choose again; what a
checkout keeps is given up for it too.
"""

from collections.abc import Sequence
from typing import Any, Final

from canonical_model.errors import TransientError
from canonical_model.order import OrderStatus, ParcelStatus
from canonical_model.ports import Receipt, Record
from canonical_model.store import checkouts, orders, stock
from flows.one_stock import reservation
from flows.one_stock.decisions import CANCEL_REQUESTED
from flows.one_stock.documents import find_location
from flows.one_stock.fulfil_order import WAKE
from flows.one_stock.ship_parcel import RECALLED
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, OnReject, Run, Start, children, outside, step

FULFIL_ORDER: Final = "one_stock.fulfil_order"
TOO_LATE: Final = "too_late"
FINAL: Final = frozenset(
    {OrderStatus.SHIPPED, OrderStatus.PARTLY_SHIPPED, OrderStatus.COMPLETED, OrderStatus.CANCELLED}
)


def _parcel(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    return dict(orders.get_parcel(uow.connection, run.owner, run.brand, str(run.input["parcel_no"])))


@step(first_wait_s=0.2, max_wait_s=30.0)
def look(run: Run, uow: UnitOfWork) -> Finish | dict[str, Any]:
    """Only a parcel that the place has accepted can be called back; wait for its answer first. One that it was not
    asked for yet is given back with the rest of its plan; one that it refused, or that was given up, need not be."""
    order_id = _parcel(run, uow)["order_id"]
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id, lock=True)
    parcel = _parcel(run, uow)
    if parcel["status"] == ParcelStatus.PLANNED and order["released_at"] is None:
        reservation.give_back_planned(uow.connection, order, reason=RECALLED)
        _wake(run, uow, order_id, {"reason": RECALLED, "place": parcel["location_id"]})
        return Finish(RECALLED)
    if parcel["status"] == ParcelStatus.PLANNED:
        raise TransientError(f"{parcel['parcel_no']}: the place has not answered yet", code="parcel.planned")
    if parcel["status"] in (ParcelStatus.REFUSED, ParcelStatus.CANCELLED):
        return Finish(RECALLED)
    if parcel["status"] != ParcelStatus.ACCEPTED:
        return Finish(TOO_LATE)
    return {"location_id": parcel["location_id"]}


def _cancel_writer(run: Run, uow: UnitOfWork) -> str:
    place = find_location(uow, run.owner, run.brand, run.results["look"]["location_id"])
    return f"{place['fulfilled_by']}.cancel_order"


def _called_back(run: Run, uow: UnitOfWork, receipt: Receipt) -> dict[str, Any]:
    runs.signal(
        uow,
        owner=run.owner,
        brand=run.brand,
        flow="one_stock.ship_parcel",
        key=str(run.input["parcel_no"]),
        name=RECALLED,
        signal_key=run.business_key,
        payload={"reason": run.input["reason"]},
    )
    return {"document": receipt.outside_id}


@outside(_cancel_writer, answered=_called_back, on_reject=OnReject.RESOURCE)
def ask_place(run: Run, uow: UnitOfWork) -> Record:
    """Ask the place to cancel the parcel."""
    parcel = _parcel(run, uow)
    place = find_location(uow, run.owner, run.brand, parcel["location_id"])
    return {
        "parcel_no": parcel["parcel_no"],
        "wms_document": parcel["wms_document"],
        "location": place["code"],
        "reason": run.input["reason"],
    }


def _recalls(run: Run, parcel_nos: Sequence[str], reason: str) -> list[Start]:
    return [
        Start(
            flow="one_stock.recall_parcel",
            owner=run.owner,
            brand=run.brand,
            key=f"{parcel_no}:{run.flow}:{run.business_key}",
            input={"parcel_no": parcel_no, "reason": reason},
        )
        for parcel_no in parcel_nos
    ]


@step()
def request(run: Run, uow: UnitOfWork) -> Finish | dict[str, Any]:
    """Note the wish on the order, so that nothing more of it is reserved, and wake its run, should that wait."""
    order = orders.get_order(uow.connection, run.owner, run.brand, int(run.input["order_id"]), lock=True)
    if order["status"] in FINAL:
        return Finish(TOO_LATE)
    orders.set_status(uow.connection, order["id"], order["status"], CANCEL_REQUESTED)
    orders.add_event(uow.connection, order["id"], CANCEL_REQUESTED, {})
    checkouts.release_for_order(uow.connection, order)
    _wake(run, uow, order["id"], {"reason": CANCEL_REQUESTED})
    live = [p["parcel_no"] for p in order["parcels"] if p["status"] in (ParcelStatus.PLANNED, ParcelStatus.ACCEPTED)]
    return {"parcels": live}


def _wake(run: Run, uow: UnitOfWork, order_id: int, word: dict[str, Any]) -> None:
    key = str(order_id)
    if runs.find_run(uow, run.owner, run.brand, FULFIL_ORDER, key) is not None:
        runs.signal(
            uow,
            owner=run.owner,
            brand=run.brand,
            flow=FULFIL_ORDER,
            key=key,
            name=WAKE,
            signal_key=f"{run.flow}:{run.business_key}",
            payload=word,
        )


@children()
def recall_all(run: Run, uow: UnitOfWork) -> Sequence[Start]:
    """Every parcel that has not left."""
    return _recalls(run, run.results["request"]["parcels"], "cancelled")


@step()
def conclude(run: Run, uow: UnitOfWork) -> Finish:
    """Say whether everything came back; what did not is on its way to the buyer."""
    kept = [child["key"].split(":")[0] for child in run.results["recall_all"] if child["outcome"] != RECALLED]
    outcome = "cancel_refused" if kept else "cancelled"
    orders.add_event(uow.connection, int(run.input["order_id"]), outcome, {"kept": kept})
    return Finish(outcome, {"kept": kept})


@step()
def choose_holds(run: Run, uow: UnitOfWork) -> Finish | dict[str, Any]:
    """The newest unpicked holds that cover what is missing. A checkout among them is given up at once, whole: its order
    is planned when it comes, from what there is then."""
    level_id, given_up = int(run.input["level_id"]), list[str]()
    holds = stock.recallable_holds(uow.connection, level_id)
    while kept := [hold["reference"] for hold in holds if hold["order_id"] is None]:
        ended = checkouts.give_up(uow.connection, run.owner, run.brand, kept)
        given_up += ended
        holds = stock.recallable_holds(uow.connection, level_id)
        if not ended:
            break
    parcels = sorted({hold["reference"] for hold in holds if hold["order_id"] is not None})
    if parcels:
        return {"parcels": parcels, "given_up": given_up}
    if not given_up:
        return Finish("nothing_to_recall")
    covered = stock.find_open_shortfall(uow.connection, level_id) is None
    return Finish("resolved" if covered else "uncovered", {"given_up": given_up})


@children()
def recall_chosen(run: Run, uow: UnitOfWork) -> Sequence[Start]:
    """Call their parcels back; their orders choose again."""
    return _recalls(run, run.results["choose_holds"]["parcels"], "shortfall")


@step()
def count(run: Run, uow: UnitOfWork) -> Finish:
    """Close the shortfall if the goods suffice now; what could not be recalled stays open and visible."""
    refused = [child["key"].split(":")[0] for child in run.results["recall_chosen"] if child["outcome"] != RECALLED]
    return Finish("uncovered" if refused else "resolved", {"refused": refused})


@step()
def recalled(run: Run, uow: UnitOfWork) -> Finish:
    """The parcel is called back."""
    return Finish(RECALLED)


RECALL_PARCEL: Final = Flow("one_stock.recall_parcel", version=1, steps=(look, ask_place, recalled))
CANCEL_ORDER: Final = Flow("one_stock.cancel_order", version=1, steps=(request, recall_all, conclude))
RESOLVE_SHORTFALL: Final = Flow("one_stock.resolve_shortfall", version=1, steps=(choose_holds, recall_chosen, count))
