"""Warnings and suggestions about where goods lie, from the figures of one brand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from canonical_model.errors import NotFoundError, RejectedError
from canonical_model.store import products, velocity
from flows.one_stock.supply import (
    Limits,
    Shelf,
    allocate,
    is_stale,
    suggest_transfers,
    velocity_is_stale,
    warn,
)
from flows.runtime.database import UnitOfWork
from hub_api.auth import Access

MOST_LEVELS: Final = 2_000
MOST_SKUS: Final = 50
MAX_QUANTITY: Final = 10**9


def list_warnings(uow: UnitOfWork, access: Access, limits: Limits, *, after: int, limit: int) -> dict[str, Any]:
    """Shelves that want attention, by level; a page looks at up to MOST_LEVELS of them.

    ``sales_stale``: the weekly sales are older than a day, so that only stale figures are named.
    """
    now = datetime.now(UTC)
    reckoned_at = velocity.computed_at(uow.connection, access.owner, access.brand)
    sales_stale = velocity_is_stale(reckoned_at, now)
    rows = velocity.shelves_in_turn(uow.connection, access.owner, access.brand, after=after, limit=MOST_LEVELS)
    items: list[dict[str, Any]] = []
    read_to = None
    for row in rows:
        shelf = _shelf(row)
        warning = warn(shelf, limits, now)
        if warning is not None and (not sales_stale or is_stale(shelf, limits, now)):
            items.append({**_told(shelf), "kind": warning.kind, "units": warning.units})
        read_to = shelf.level_id
        if len(items) == limit:
            break
    ended = len(rows) < MOST_LEVELS and (not rows or read_to == rows[-1]["level_id"])
    return {
        "items": items,
        "next": None if ended else read_to,
        "sales_at": reckoned_at,
        "sales_stale": sales_stale,
    }


def list_transfers(
    uow: UnitOfWork, access: Access, limits: Limits, *, skus: Sequence[str] = (), after: int = 0
) -> dict[str, Any]:
    """Moves that would help, SKU by SKU: of those named, or of all, MOST_SKUS a page. None while sales are stale."""
    now = datetime.now(UTC)
    reckoned_at = velocity.computed_at(uow.connection, access.owner, access.brand)
    answer: dict[str, Any] = {
        "items": [],
        "next": None,
        "sales_at": reckoned_at,
        "sales_stale": velocity_is_stale(reckoned_at, now),
    }
    if answer["sales_stale"]:
        return answer
    if skus:
        ids = [products.get_sku(uow.connection, access.owner, access.brand, sku)["id"] for sku in skus]
    else:
        page = products.list_skus(uow.connection, access.owner, access.brand, after=after, limit=MOST_SKUS)
        ids = [row["id"] for row in page]
        answer["next"] = ids[-1] if len(ids) == MOST_SKUS else None
    rows = velocity.shelves_of(uow.connection, access.owner, access.brand, ids)
    answer["items"] = [
        _suggested(move.source, move.target, move.units, move.km)
        for _, of_one in groupby(rows, key=lambda row: row["sku_id"])
        for move in suggest_transfers([_shelf(row) for row in of_one], limits, now)
    ]
    return answer


def suggest_allocation(
    uow: UnitOfWork, access: Access, limits: Limits, *, sku: str, source: str, quantity: int
) -> dict[str, Any]:
    """How to spread ``quantity`` units from ``source`` over the other places that have or sell the SKU.

    Places with stale figures get none. NotFoundError for an unknown SKU or source; RejectedError when the source
    has less to promise, or the sales are stale.
    """
    now = datetime.now(UTC)
    reckoned_at = velocity.computed_at(uow.connection, access.owner, access.brand)
    if velocity_is_stale(reckoned_at, now):
        raise RejectedError(
            "the weekly sales are older than a day; they are reckoned hourly while the hub works", code="sales.stale"
        )
    found = products.get_sku(uow.connection, access.owner, access.brand, sku)
    shelves = [_shelf(row) for row in velocity.shelves_of(uow.connection, access.owner, access.brand, [found["id"]])]
    givers = [shelf for shelf in shelves if shelf.location == source]
    if not givers:
        raise NotFoundError(f"{source!r} has no stock figure of {sku!r}", code="stock.unknown_level")
    if givers[0].atp < quantity:
        raise RejectedError(
            f"{source!r} can promise {max(0, givers[0].atp)} of {sku!r}, not {quantity}; ask for as many",
            code="stock.too_little",
        )
    takers = [shelf for shelf in shelves if shelf.location != source and not is_stale(shelf, limits, now)]
    given = allocate(quantity, takers)
    return {
        "items": [_suggested(givers[0], shelf, units, None) for shelf, units in given],
        "next": None,
        "sales_at": reckoned_at,
        "sales_stale": False,
    }


def _shelf(row: Mapping[str, Any]) -> Shelf:
    return Shelf(
        row["level_id"],
        row["sku"],
        row["location"],
        row["on_hand"],
        row["atp"],
        row["weekly"],
        row["spoken_at"],
        row["lat"],
        row["lon"],
    )


def _told(shelf: Shelf) -> dict[str, Any]:
    return {
        "level_id": shelf.level_id,
        "sku": shelf.sku,
        "location": shelf.location,
        "on_hand": shelf.on_hand,
        "atp": max(0, shelf.atp),
        "weekly": shelf.weekly,
        "weeks": None if shelf.weeks is None else max(0.0, shelf.weeks),
        "spoken_at": shelf.spoken_at,
    }


def _suggested(source: Shelf, target: Shelf, units: int, km: float | None) -> dict[str, Any]:
    return {
        "sku": source.sku,
        "from_location": source.location,
        "to_location": target.location,
        "units": units,
        "km": km,
        "to_weeks_before": None if target.weeks is None else max(0.0, target.weeks),
        "to_weeks_after": (max(0, target.atp) + units) / target.weekly if target.weekly > 0 else None,
    }
