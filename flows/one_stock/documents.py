"""What a parcel looks like to the systems that ship and book it, still in our words."""

from collections.abc import Mapping
from typing import Any

import orjson

from canonical_model.errors import ConfigurationError, RejectedError
from canonical_model.store import crosswalk, locations, orders
from flows.runtime.database import UnitOfWork
from flows.runtime.sealing import Sealed


def find_location(uow: UnitOfWork, owner: str, brand: str, location_id: int) -> Mapping[str, Any]:
    """The place of that id."""
    return locations.get_location(uow.connection, owner, brand, location_id)


def parcel_document(
    uow: UnitOfWork, owner: str, brand: str, parcel_no: str, system: str, *, with_receiver: bool
) -> dict[str, Any]:
    """A parcel with its order, in canonical words plus ``sku_ref`` and ``location_ref``, the names ``system`` uses.

    Raises ConfigurationError when the system has no name for a SKU or place; link it and retry the run.
    """
    parcel = orders.get_parcel(uow.connection, owner, brand, parcel_no)
    order = orders.get_order(uow.connection, owner, brand, parcel["order_id"])
    place = find_location(uow, owner, brand, parcel["location_id"])
    skus, location_ref = outside_names(uow, owner, brand, parcel, system)
    ordered = {line["line_no"]: line for line in order["lines"]}
    lines = [
        {
            "line_no": line["line_no"],
            "sku": ordered[line["line_no"]]["sku_code"],
            "sku_ref": skus[line["sku_id"]],
            "quantity": line["quantity"],
            "unit": "EA",
            "amount_minor": ordered[line["line_no"]]["amount_minor"]
            * line["quantity"]
            // ordered[line["line_no"]]["quantity"],
            **_batches(line),
        }
        for line in parcel["lines"]
    ]
    document = {
        "parcel_no": parcel_no,
        "order_no": order["order_no"],
        "channel": order["channel"],
        "seller": order["body"]["seller"],
        "placed_at": order["placed_at"].isoformat(),
        "currency": order["currency"],
        "location": place["code"],
        "location_ref": location_ref,
        "lines": lines,
        "total_minor": sum(line["amount_minor"] for line in lines),
    }
    if with_receiver:
        document["receiver"] = _receiver(uow, order)
    return document


def _batches(line: Mapping[str, Any]) -> dict[str, Any]:
    """The line's ``batches``, if they are known, and ``batch`` where all of it is to come from one."""
    batches = line.get("batches") or []
    told = {"batches": batches} if batches else {}
    whole = len(batches) == 1 and batches[0]["quantity"] == line["quantity"]
    return told | {"batch": batches[0]["batch"]} if whole else told


def outside_names(
    uow: UnitOfWork, owner: str, brand: str, parcel: Mapping[str, Any], system: str
) -> tuple[dict[int, str], str]:
    """What ``system`` calls the parcel's SKUs (by our id) and its place. ConfigurationError: it has no name for one."""
    place = parcel["location_id"]
    skus = _names(uow, owner, brand, "sku", system, [line["sku_id"] for line in parcel["lines"]])
    return skus, _names(uow, owner, brand, "location", system, [place])[place]


def _receiver(uow: UnitOfWork, order: Mapping[str, Any]) -> dict[str, Any]:
    sealed = Sealed(order["receiver_key_id"], order["receiver_sealed"])
    (plain,) = uow.services.vault.open_many(uow.connection, [sealed])
    if plain is None:
        raise RejectedError(
            f"order {order['order_no']}: its receiver was erased; cancel the order", code="receiver.erased"
        )
    return dict(orjson.loads(plain))


def _names(uow: UnitOfWork, owner: str, brand: str, kind: str, system: str, ids: list[int]) -> dict[int, str]:
    names = crosswalk.outside_ids(uow.connection, owner=owner, brand=brand, kind=kind, scheme=system, inner_ids=ids)
    if missing := sorted(set(ids) - names.keys()):
        raise ConfigurationError(
            f"{system} has no name for {kind} {missing}; send its master data, then retry the run",
            code="crosswalk.missing",
            system=system,
            kind=kind,
        )
    return names
