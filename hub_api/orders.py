"""Orders as a channel or operator reads them: lines, parcels, what is personal masked; and the wish to cancel one."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from canonical_model.errors import AccessError, NotFoundError
from canonical_model.store import orders
from flows.one_stock.decisions import explained
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.runs import start_runs
from flows.runtime.sealing import Sealed
from hub_api import audit
from hub_api.auth import Access
from hub_api.masking import mask

CANCEL_FLOW: Final = "one_stock.cancel_order"
MAX_EVENTS: Final = 500
NOT_PERSONAL: Final = ("region_code", "point")
KEPT_INSIDE: Final = frozenset(
    {
        "receiver_sealed",
        "receiver_key_id",
        "receiver_token",
        "extensions_sealed",
        "extensions_token",
        "body",
        "lat",
        "lon",
    }
)


def read_order(uow: UnitOfWork, access: Access, order_id: int) -> dict[str, Any]:
    """One order with lines, parcels, events, what is personal masked. NotFoundError outside the caller's channel."""
    row = orders.get_order(uow.connection, access.owner, access.brand, order_id)
    if access.channel not in (None, row["channel"]):
        raise NotFoundError(f"there is no order with the id {order_id}", code="order.unknown")
    body, events = (
        row["body"],
        orders.list_events(uow.connection, owner=access.owner, brand=access.brand, order_id=order_id, limit=MAX_EVENTS),
    )
    receiver = {**(body.get("receiver") or {}), **_masked(uow, row, "receiver_sealed")}
    extensions = {**body["extensions"], **_masked(uow, row, "extensions_sealed")}
    shown = {**body, "receiver": receiver or None, "extensions": extensions}
    return {**summary(row), "body": shown, "events": events}


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of orders without what stays inside."""
    return {name: value for name, value in row.items() if name not in KEPT_INSIDE}


def find_order_id(uow: UnitOfWork, access: Access, channel: str, order_no: str) -> int:
    """The id of a channel's order. NotFoundError if there is none, or it is another channel's than the caller's."""
    order_id = None
    if access.channel in (None, channel):
        order_id = orders.find_order_id(uow.connection, access.owner, access.brand, channel, order_no)
    if order_id is None:
        raise NotFoundError(f"{channel} has no order {order_no!r}", code="order.unknown")
    return order_id


def read_decisions(uow: UnitOfWork, access: Access, order_id: int) -> list[dict[str, Any]]:
    """Why the order ships from where it does, a decision a round. AccessError (``refuse_channels``); NotFoundError."""
    refuse_channels(access)
    if orders.find_channel(uow.connection, access.owner, access.brand, order_id) is None:
        raise NotFoundError(f"there is no order with the id {order_id}", code="order.unknown")
    return explained(uow.connection, access.owner, access.brand, order_id)


def refuse_channels(access: Access) -> None:
    """AccessError for a caller that speaks for a channel: decisions tell of the goods of every place."""
    if access.channel is not None:
        detail = "decisions show the stock of every place; ask for a key with orders:read and no channel: scope"
        raise AccessError(detail, code="access.channel")


def ask_to_cancel(hub: Hub, access: Access, order_id: int) -> dict[str, Any]:
    """Start the order's cancellation, once however often it is asked for: ``{"order_id", "run_id"}``.

    A channel cancelling its own order is the day's business; anybody else's wish is audited.
    """
    access.require("orders", "write")
    with hub.database.unit() as uow:
        read_order(uow, access, order_id)
        start = Start(
            flow=CANCEL_FLOW,
            owner=access.owner,
            brand=access.brand,
            key=str(order_id),
            input={"order_id": order_id},
        )
        (started,) = start_runs(uow, [start])
        if access.channel is None:
            audit.record(uow, access, "order.cancel", f"order:{order_id}", {"run": started.run_id})
        uow.commit()
    return {"order_id": order_id, "run_id": started.run_id}


def _masked(uow: UnitOfWork, row: Mapping[str, Any], column: str) -> dict[str, Any]:
    """A sealed part of an order with its values masked, but for the region; ``erased`` when its key is gone."""
    if row[column] is None:
        return {}
    (plain,) = uow.services.vault.open_many(uow.connection, [Sealed(row["receiver_key_id"], row[column])])
    if plain is None:
        return {"erased": True}
    return {name: value if name in NOT_PERSONAL else mask(value) for name, value in orjson.loads(plain).items()}
