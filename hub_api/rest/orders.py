"""``/v1/orders``: how channels send orders, follow them and ask to cancel them."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from canonical_model.errors import AccessError
from canonical_model.order import OrderStatus
from canonical_model.store import orders as store
from hub_api import orders
from hub_api.rest import intake
from hub_api.rest.dependencies import HubOf, OrdersReader, OrdersWriter
from hub_api.rest.document import SENT_ORDER
from hub_api.rest.paging import After, Limit, page
from hub_api.rest.shapes import CancelAsked, Order, OrderEvents, OrderHead, Page, RoutingDecisions

router = APIRouter(prefix="/v1/orders", tags=["orders"])

ORDERS_STREAM: Final = "orders"
ORDERS: Final = {"oneOf": [SENT_ORDER, {"type": "array", "items": SENT_ORDER}]}

OrderId = Annotated[int, Path(ge=1, le=2**62)]
OneCode = Annotated[str, Path(max_length=120)]
CodeFilter = Annotated[str | None, Query(max_length=120)]


@router.post(
    "",
    status_code=202,
    responses=intake.ANSWERS,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": ORDERS}}}},
)
async def send_orders(
    hub: HubOf,
    access: OrdersWriter,
    request: Request,
    wait: intake.Wait = False,
    idempotency_key: intake.IdempotencyKey = None,
) -> Response:
    """Send one canonical order, or a list, as the channel that the key speaks for."""
    if access.channel is None:
        raise AccessError("this key speaks for no channel; ask for one with a channel: scope", code="access.channel")
    intake.check_brand(hub, access, access.channel)
    received = await intake.take(
        request,
        system=access.channel,
        stream=ORDERS_STREAM,
        body=await request.body(),
        idempotency_key=idempotency_key,
    )
    return await intake.answer(request, received, wait=wait)


@router.get("", response_model=Page[OrderHead])
def list_orders(
    hub: HubOf,
    access: OrdersReader,
    channel: CodeFilter = None,
    order_no: CodeFilter = None,
    status: OrderStatus | None = None,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Orders, oldest first; a channel's key sees its own."""
    if access.channel is not None and channel not in (None, access.channel):
        return page([], limit)
    with hub.database.unit() as uow:
        rows = store.list_orders(
            uow.connection,
            owner=access.owner,
            brand=access.brand,
            channel=access.channel or channel,
            order_no=order_no,
            status=status,
            after=after,
            limit=limit,
        )
    return page([orders.summary(row) for row in rows], limit)


@router.get("/events", response_model=OrderEvents)
def list_events(
    hub: HubOf,
    access: OrdersReader,
    order_id: After | None = None,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What happened to orders, in sequence. Remember ``next`` and give it back as ``after``: nothing is skipped."""
    with hub.database.unit() as uow:
        rows = store.list_events(
            uow.connection,
            owner=access.owner,
            brand=access.brand,
            channel=access.channel,
            order_id=order_id,
            after=after,
            limit=limit,
        )
    return {"items": rows, "next": rows[-1]["id"] if rows else after}


@router.get("/by-number/{channel}/{order_no:path}", response_model=Order)
def get_order_by_number(hub: HubOf, access: OrdersReader, channel: OneCode, order_no: OneCode) -> dict[str, Any]:
    """A channel's order by the channel's own number."""
    with hub.database.unit() as uow:
        return orders.read_order(uow, access, orders.find_order_id(uow, access, channel, order_no))


@router.get("/{order_id}", response_model=Order)
def get_order(hub: HubOf, access: OrdersReader, order_id: OrderId) -> dict[str, Any]:
    """One order with lines, parcels, events and the receiver masked."""
    with hub.database.unit() as uow:
        return orders.read_order(uow, access, order_id)


@router.get("/{order_id}/decisions", response_model=RoutingDecisions)
def list_decisions(hub: HubOf, access: OrdersReader, order_id: OrderId) -> dict[str, Any]:
    """Why the order ships from where it does: for every line each place, what removed it or how it scored."""
    with hub.database.unit() as uow:
        return {"items": orders.read_decisions(uow, access, order_id)}


@router.post("/{order_id}/cancel", status_code=202, response_model=CancelAsked)
def cancel_order(hub: HubOf, access: OrdersWriter, order_id: OrderId) -> dict[str, Any]:
    """Ask to cancel; what came of it is in the events. Asking twice is asking once."""
    return orders.ask_to_cancel(hub, access, order_id)
