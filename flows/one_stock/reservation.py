"""Turns open order lines into held parcels, and gives them back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import TransientError
from canonical_model.location import Service
from canonical_model.order import ParcelStatus
from canonical_model.store import locations, orders, stock
from flows.one_stock.geography import distance_km
from flows.one_stock.policy import FAR_AWAY_KM, Demand, Place, Plan, PlannedParcel, choose_places

CANCEL_REQUESTED: Final = "cancel_requested"
TRIES: Final = 5
LIVE: Final = frozenset({ParcelStatus.PLANNED, ParcelStatus.ACCEPTED, ParcelStatus.SHIPPED})


@dataclass(frozen=True, slots=True)
class Reserved:
    """Parcel numbers now held, and per line what nobody can promise."""

    parcels: list[str]
    unfilled: list[dict[str, int]]


def open_demands(connection: Connection[DictRow], order_id: int) -> list[Demand]:
    """What each line still wants: ordered, less cancelled, less what parcels under way or shipped carry."""
    lines = orders.list_lines(connection, order_id)
    carried: dict[int, int] = {}
    for parcel in orders.list_parcels(connection, order_id):
        if parcel["status"] in LIVE:
            for line in parcel["lines"]:
                carried[line["line_no"]] = carried.get(line["line_no"], 0) + line["quantity"] - line.get("lacking", 0)
    return [
        Demand(
            line["line_no"],
            line["sku_id"],
            max(0, line["quantity"] - line["cancelled"] - carried.get(line["line_no"], 0)),
        )
        for line in lines
    ]


def reserve(
    connection: Connection[DictRow], order: Mapping[str, Any], *, excluded: frozenset[int], whole: bool
) -> Reserved:
    """Plan and hold. Another order may win the goods in between; then look again, up to TRIES times.

    ``whole``: hold nothing unless everything can be had. Raises TransientError when the goods stay contested.
    """
    demands = [demand for demand in open_demands(connection, order["id"]) if demand.quantity]
    for _ in range(TRIES):
        levels, plan = _plan(connection, order, demands, excluded)
        unfilled = [{"line_no": d.line_no, "quantity": d.quantity} for d in plan.unfilled]
        if (unfilled and whole) or not plan.parcels:
            return Reserved([], unfilled)
        parcels = _numbered(connection, order, plan)
        if _hold(connection, order, parcels, levels):
            return Reserved(list(parcels), unfilled)
    raise TransientError(f"order {order['order_no']}: the goods are contested; trying again", code="stock.contested")


def give_back(connection: Connection[DictRow], owner: str, brand: str, parcel_no: str, *, reason: str) -> None:
    """Release what a parcel holds and close it; nothing happens the second time."""
    stock.release(connection, owner=owner, brand=brand, reference=parcel_no, reason=reason)
    status = ParcelStatus.REFUSED if reason == "refused" else ParcelStatus.CANCELLED
    orders.set_parcel(connection, owner, brand, parcel_no, status=status)


def _plan(
    connection: Connection[DictRow], order: Mapping[str, Any], demands: Sequence[Demand], excluded: frozenset[int]
) -> tuple[dict[tuple[int, int], int], Plan]:
    skus = sorted({demand.sku_id for demand in demands})
    available = stock.availability(connection, owner=order["owner"], brand=order["brand"], sku_ids=skus)
    levels = {(row.location_id, row.sku_id): row.level_id for row in available}
    promisable: dict[int, dict[int, int]] = {}
    for row in available:
        promisable.setdefault(row.location_id, {})[row.sku_id] = row.atp
    places = [
        Place(place["id"], _distance(order, place), promisable[place["id"]])
        for place in locations.list_locations(connection, owner=order["owner"], brand=order["brand"])
        if place["active"]
        and place["fulfilled_by"]
        and Service.SHIP in place["services"]
        and place["id"] in promisable
        and place["id"] not in excluded
    ]
    return levels, choose_places(demands, places)


def _distance(order: Mapping[str, Any], place: Mapping[str, Any]) -> float:
    if order["lat"] is None or place["lat"] is None:
        return FAR_AWAY_KM
    return distance_km(order["lat"], order["lon"], place["lat"], place["lon"])


def _numbered(connection: Connection[DictRow], order: Mapping[str, Any], plan: Plan) -> dict[str, PlannedParcel]:
    first = 1 + len(orders.list_parcels(connection, order["id"]))
    return {f"P{order['id']:08d}-{number}": parcel for number, parcel in enumerate(plan.parcels, first)}


def _hold(
    connection: Connection[DictRow],
    order: Mapping[str, Any],
    parcels: Mapping[str, PlannedParcel],
    levels: Mapping[tuple[int, int], int],
) -> bool:
    """Whether all of it is held; then the parcels are planned too."""
    answer = stock.hold_parcels(
        connection,
        owner=order["owner"],
        brand=order["brand"],
        order_id=order["id"],
        parcels={
            parcel_no: [
                stock.HoldLine(line.line_no, levels[parcel.location_id, line.sku_id], line.quantity)
                for line in parcel.lines
            ]
            for parcel_no, parcel in parcels.items()
        },
    )
    if isinstance(answer, stock.Short):
        return False
    for parcel_no, parcel in parcels.items():
        orders.insert_parcel(
            connection,
            owner=order["owner"],
            brand=order["brand"],
            order_id=order["id"],
            parcel_no=parcel_no,
            location_id=parcel.location_id,
            lines=[
                {"line_no": line.line_no, "sku_id": line.sku_id, "quantity": line.quantity, "shipped": 0, "lacking": 0}
                for line in parcel.lines
            ],
        )
    return True
