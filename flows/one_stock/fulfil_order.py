"""``one_stock.fulfil_order``: an order becomes parcels, and every parcel is seen through.

1. *reserve*: decide by the rulebook where what is still open ships from, and hold it, never oversold. Many orders
   at once. An order that others robbed of its goods meanwhile looks again; the others are not held up.
2. *await_release*: until ``release_after_s`` is over the plan may still be bettered; an order that is short may wait in
   the queue for goods.
3. *dispatch*: one ``ship_parcel`` run for each planned parcel; wait until all have ended.
4. *settle*: what a place refused, lacked, gave back or did not ship in time is open again; go back to *reserve* without
   that place. A plan that was called back before its release is made anew. Every round rules out a place or follows a
   recall, and the queue has an end, so this ends. What the rules left unfilled is cancelled.
5. *tell_channel*: the channel that sold it hears what became of it, if it has a writer for that.

At first the rules say what becomes of an order that cannot be had whole; once a part of it is on its way, what there is
goes out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.errors import TransientError
from canonical_model.order import OrderStatus
from canonical_model.ports import Record
from canonical_model.store import checkouts, orders
from flows.one_stock import reservation
from flows.one_stock.bundles import OpenLine, channel_lines
from flows.one_stock.decisions import CANCEL_REQUESTED, Ask, Planned, plan_orders
from flows.one_stock.routing.problem import Action
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Goto, Run, Start, batch_step, children, outside, step, wait_for

SHIPPED: Final = "shipped"
LATE: Final = "late"
LACKING: Final = "lacking"
RECALLED: Final = "recalled"
WAKE: Final = "wake"
BATCH: Final = 400
TRIES: Final = 5
MAX_PAUSE_S: Final = 300
CONTESTED: Final = "contested"
_CARRIED: Final = ("refused", "resourced", "waited", "pauses")


def order_id_of(run: Run) -> int:
    """The order this run is about."""
    return int(run.input["order_id"])


def _so_far(run: Run) -> dict[str, Any]:
    """What earlier rounds found out: places ``refused`` (by id, with the reason), whether parcels went out that must be
    ``resourced``, whether the order ``waited`` in the queue, and how often it had to ``pause`` because others won its
    goods. The release before kept only the places, as ``excluded``."""
    told = run.results.get("settle") or run.results.get("reserve", {}).get("so_far") or {}
    refused = {str(place): "refused" for place in told.get("excluded", ())}
    known = {name: told[name] for name in _CARRIED if name in told}
    return {"refused": refused, "resourced": bool(refused), "waited": False, "pauses": 0, **known}


def give_back_planned(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Undo of *reserve*: give back what the parcels hold that no place was asked for."""
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run), lock=True)
    reservation.give_back_planned(uow.connection, order, reason="undone")
    return {}


@batch_step(size=BATCH, undo=give_back_planned)
def reserve(runs: Sequence[Run], uow: UnitOfWork) -> list[Any]:
    """Decide and hold, all orders on one snapshot of the pool; each whole, as far as its rules allow, or not at all."""
    return [_reserved(run, planned) for run, planned in zip(runs, _plan(runs, uow), strict=True)]


def _plan(runs: Sequence[Run], uow: UnitOfWork) -> list[Planned | None]:
    asks = []
    for run in runs:
        known = _so_far(run)
        refused = {int(place): reason for place, reason in known["refused"].items()}
        asks.append(Ask(order_id_of(run), refused, resourced=known["resourced"], waited=known["waited"]))
    planned = plan_orders(
        uow.connection,
        asks,
        now=datetime.now(UTC),
        member_schemes=uow.services.estate.systems if uow.has_services else (),
    )
    return [planned[order_id_of(run)] for run in runs]


def _reserved(run: Run, planned: Planned | None) -> Goto | dict[str, Any]:
    """The step's result. An order that lost its goods to others looks again at once, up to TRIES times, then later."""
    if planned is None:
        return {"parcels": [], "unfilled": [], "action": Action.CANCEL, "wait_s": 0}
    if planned.contested:
        so_far = _so_far(run)
        tries = run.results.get("reserve", {}).get("tries", 0) + 1
        if tries < TRIES:
            return Goto("reserve", {"tries": tries, "so_far": so_far})
        pause_s = min(2 ** so_far["pauses"], MAX_PAUSE_S)
        return {"parcels": [], "unfilled": [], "action": CONTESTED, "wait_s": pause_s, "so_far": so_far}
    rules = planned.rules
    wait_s = rules.queue_retry_s if planned.action is Action.QUEUE else rules.release_after_s if planned.parcels else 0
    return {
        "parcels": planned.parcels,
        "unfilled": planned.unfilled,
        "action": planned.action,
        "wait_s": wait_s,
        "so_far": _so_far(run),
    }


def _release_s(run: Run) -> float:
    return float(run.results["reserve"]["wait_s"])


await_release = wait_for("await_release", signals=(WAKE,), timeout_s=_release_s, on_timeout=None)


@children()
def dispatch(run: Run, uow: UnitOfWork) -> Sequence[Start]:
    """One run for each parcel that is planned now; from here on the plan stands. None when the buyer has cancelled."""
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run), lock=True)
    if order["status_reason"] == CANCEL_REQUESTED:
        reservation.give_back_planned(uow.connection, order, reason="undone")
        return []
    planned = reservation.planned_parcels(order)
    if planned:
        orders.release_order(uow.connection, order["id"])
    return [_ship(run, parcel["parcel_no"]) for parcel in planned]


def _ship(run: Run, parcel_no: str) -> Start:
    return Start(
        flow="one_stock.ship_parcel",
        owner=run.owner,
        brand=run.brand,
        key=parcel_no,
        input={"order_id": order_id_of(run), "parcel_no": parcel_no},
    )


@step()
def settle(run: Run, uow: UnitOfWork) -> Goto | dict[str, Any]:
    """Go round again for what is open, or say how the order ended."""
    order = orders.get_order(uow.connection, run.owner, run.brand, order_id_of(run), lock=True)
    so_far = _so_far(run)
    ended = {child["key"]: why for child in run.results["dispatch"] if (why := _why(child))}
    places = {parcel["parcel_no"]: str(parcel["location_id"]) for parcel in order["parcels"]}
    refused = so_far["refused"] | _called_back(run) | {places[parcel_no]: why for parcel_no, why in ended.items()}
    action = run.results["reserve"].get("action")
    lines = orders.list_open_lines(uow.connection, [order["id"]])[order["id"]]
    wanted = any(OpenLine(*line).wanted for line in lines)
    cancelled = order["status_reason"] == CANCEL_REQUESTED
    is_open = ended or action in (Action.QUEUE, CONTESTED) or _is_taken_back(run)
    if wanted and is_open and not cancelled:
        return Goto(
            "reserve",
            {
                "refused": refused,
                "resourced": so_far["resourced"] or bool(ended),
                "waited": so_far["waited"] or action == Action.QUEUE,
                "pauses": so_far["pauses"] + 1 if action == CONTESTED else 0,
            },
        )
    status, reason = _end(order, wanted=wanted, cancelled=cancelled)
    orders.cancel_open(uow.connection, order["id"])
    orders.set_status(uow.connection, order["id"], status, reason)
    orders.add_event(uow.connection, order["id"], str(status), {"reason": reason})
    checkouts.release_for_order(uow.connection, order)
    return {"status": str(status), "reason": reason}


def _is_taken_back(run: Run) -> bool:
    """Whether this round's plan was called back before its release."""
    return bool(run.results["reserve"]["parcels"]) and not run.results["dispatch"]


def _called_back(run: Run) -> dict[str, str]:
    """The place whose goods were called back before the release, if that is what woke the order."""
    word = (run.results.get("await_release") or {}).get("payload") or {}
    return {str(word["place"]): RECALLED} if _is_taken_back(run) and "place" in word else {}


def _why(child: Mapping[str, Any]) -> str | None:
    """Why the parcel's place is not asked again; None when it sent everything."""
    told = child["results"].get("consume") or {}
    if child["outcome"] == SHIPPED:
        return LACKING if any(line["lacking"] for line in told.get("lines", ())) else None
    return LATE if told.get("reason") == LATE else str(child["outcome"] or child["state"])


def _end(order: Mapping[str, Any], *, wanted: bool, cancelled: bool) -> tuple[OrderStatus, str | None]:
    shipped = any(line["shipped"] for line in order["lines"])
    if not wanted:
        return OrderStatus.SHIPPED, None
    reason = "cancelled" if cancelled else "no_stock"
    return (OrderStatus.PARTLY_SHIPPED if shipped else OrderStatus.CANCELLED), reason


def _channel_writer(run: Run, uow: UnitOfWork) -> str | None:
    channel = orders.find_channel(uow.connection, run.owner, run.brand, order_id_of(run))
    return uow.services.estate.find_writer(channel, "order_status")


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
        "lines": channel_lines(order["lines"]),
    }


def release_parcels(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Undo of version 1's *reserve*: give back what its parcels hold."""
    for parcel_no in run.results["reserve"]["parcels"]:
        reservation.give_back(uow.connection, run.owner, run.brand, parcel_no, reason="undone")
    return {}


@step(name="reserve", undo=release_parcels)
def reserve_alone(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Version 1: one order at a time. It has no step to wait in, so the step is tried again."""
    [planned] = _plan([run], uow)
    if planned is None:
        return {"parcels": [], "unfilled": []}
    if planned.contested or planned.action is Action.QUEUE:
        what = "the goods are contested" if planned.contested else "waiting for goods"
        raise TransientError(f"order {order_id_of(run)}: {what}; trying again", code="stock.contested")
    if planned.parcels:
        orders.release_order(uow.connection, order_id_of(run))
    return {"parcels": planned.parcels, "unfilled": planned.unfilled}


@children(name="dispatch")
def dispatch_reserved(run: Run, uow: UnitOfWork) -> Sequence[Start]:
    """Version 1: one run for each parcel that this round reserved."""
    return [_ship(run, parcel_no) for parcel_no in run.results["reserve"]["parcels"]]


FULFIL_ORDER: Final = Flow(
    "one_stock.fulfil_order",
    version=2,
    steps=(reserve, await_release, dispatch, settle, tell_channel),
    retired=(
        Flow("one_stock.fulfil_order", version=1, steps=(reserve_alone, dispatch_reserved, settle, tell_channel)),
    ),
)
