"""Gives back what the parcels of an order hold."""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.order import ParcelStatus
from canonical_model.store import orders, stock


def give_back(connection: Connection[DictRow], owner: str, brand: str, parcel_no: str, *, reason: str) -> None:
    """Release what a parcel holds and close it; nothing happens the second time."""
    stock.release(connection, owner=owner, brand=brand, reference=parcel_no, reason=reason)
    status = ParcelStatus.REFUSED if reason == "refused" else ParcelStatus.CANCELLED
    orders.set_parcel(connection, owner, brand, parcel_no, status=status)


def give_back_planned(connection: Connection[DictRow], order: Mapping[str, Any], *, reason: str) -> None:
    """Release the parcels of a locked order that no place was asked for."""
    for parcel in planned_parcels(order):
        give_back(connection, order["owner"], order["brand"], parcel["parcel_no"], reason=reason)


def planned_parcels(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of an order's parcels that no place has answered about."""
    return [parcel for parcel in order["parcels"] if parcel["status"] == ParcelStatus.PLANNED]
