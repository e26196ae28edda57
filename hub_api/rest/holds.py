"""``/v1/holds``: a channel keeps goods for a shopper who has not ordered yet, under the number of the order to come."""

from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from canonical_model.common import Code
from canonical_model.errors import AccessError, NotFoundError
from canonical_model.location import Point
from canonical_model.store.checkouts import Checkout, Key
from flows.one_stock import checkouts
from flows.one_stock.checkouts import AskedLine, CheckoutAsked, ShortError
from flows.one_stock.geography import locate
from flows.one_stock.hold_desk import HoldDesk
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from hub_api.auth import Access
from hub_api.rest import intake
from hub_api.rest.dependencies import HubOf, OrdersReader, OrdersWriter
from hub_api.rest.document import refuses
from hub_api.rest.orders import ORDERS_STREAM, OneCode
from hub_api.rest.problems import problem


class _Number(Convertor[str]):
    """An order number, slashes and all, that does not end in the name of a deed."""

    regex = r".+(?<!/release)(?<!/extend)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("number", _Number())
router = APIRouter(prefix="/v1/holds", tags=["holds"])

MAX_LINES: Final = 500
MAX_TTL_S: Final = 86_400

OrderNo = Annotated[str, Path(max_length=120)]
Ttl = Annotated[
    int | None,
    Field(
        strict=True, ge=1, le=MAX_TTL_S, description="Seconds to keep the goods; at most, and else, what the rules say."
    ),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HoldLine(_Asked):
    """``quantity`` base units of ``sku``, as the channel calls it; lines of one ``ship_group`` leave in one parcel."""

    line_no: Annotated[int, Field(ge=1, le=10_000)]
    sku: Code
    quantity: Annotated[int, Field(strict=True, gt=0, le=10**6)]
    amount_minor: Annotated[int, Field(ge=0, le=2**53)] = 0
    ship_group: Code | None = None


class Destination(_Asked):
    """Where the goods will go, as far as it is known."""

    region_code: Code | None = None
    point: Point | None = None


class HoldOrder(_Asked):
    """What to keep. The order with the same number takes the goods over, held all the while."""

    order_no: Code
    lines: Annotated[list[HoldLine], Field(min_length=1, max_length=MAX_LINES)]
    receiver: Destination = Destination()
    member: Code | None = None
    ttl_s: Ttl = None

    @model_validator(mode="after")
    def _each_line_once(self) -> Self:
        if len({line.line_no for line in self.lines}) != len(self.lines):
            raise ValueError("line numbers repeat; give each line its own")
        return self


class ExtendOrder(_Asked):
    """How much longer, from now."""

    ttl_s: Ttl = None


class HeldLine(BaseModel):
    """Units that a place keeps; a bundle's line number tells its part."""

    line_no: int
    sku: str
    quantity: int


class HeldParcel(BaseModel):
    """What one place keeps."""

    place: str
    lines: list[HeldLine]


class Hold(BaseModel):
    """What is kept for an order number, and until when; ``state`` other than active: it was."""

    channel: str
    order_no: str
    state: Annotated[str, Field(json_schema_extra={"enum": ["active", "confirmed", "released", "expired"]})]
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None
    parcels: list[HeldParcel]


class Holds:
    """The desk of one application: whoever asks at the same time shares a transaction."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @cached_property
    def desk(self) -> HoldDesk[CheckoutAsked, Checkout]:
        """Opened with the first request."""
        schemes = self._hub.estate.systems

        def decide(uow: UnitOfWork, asked: Any) -> Any:
            return checkouts.open_checkouts(uow, asked, member_schemes=schemes)

        return HoldDesk(self._hub.database, decide)


@router.post("", response_model=Hold, responses=refuses(404, 409))
def keep_goods(hub: HubOf, access: OrdersWriter, request: Request, order: HoldOrder) -> Any:
    """Keep all of it, or nothing (409, ``stock.short``, with an error for each line that is short).

    The same request again gets the same answer; another one under the same number is refused.
    """
    desk: HoldDesk[CheckoutAsked, Checkout] = request.app.state.holds.desk
    try:
        return desk.ask(_asked(hub, access, order))
    except ShortError as error:
        return _short(error)


@router.get("/{channel}/{order_no:number}", response_model=Hold)
def get_hold(hub: HubOf, access: OrdersReader, channel: OneCode, order_no: OrderNo) -> Checkout:
    """What is kept, or was, under an order number."""
    key = _key(access, channel, order_no)
    with hub.database.unit() as uow:
        return checkouts.get_checkout(uow.connection, key)


@router.post("/{channel}/{order_no:path}/release", response_model=Hold, responses=refuses(409))
def release_goods(hub: HubOf, access: OrdersWriter, channel: OneCode, order_no: OrderNo) -> Checkout:
    """Give the goods back; asking twice is asking once."""
    key = _key(access, channel, order_no)
    with hub.database.unit() as uow:
        released = checkouts.release(uow, key)
        uow.commit()
    return released


@router.post("/{channel}/{order_no:path}/extend", response_model=Hold, responses=refuses(409))
def extend_hold(hub: HubOf, access: OrdersWriter, channel: OneCode, order_no: OrderNo, order: ExtendOrder) -> Checkout:
    """Keep the goods longer, up to a day in all."""
    key = _key(access, channel, order_no)
    with hub.database.unit() as uow:
        extended = checkouts.extend(uow, key, order.ttl_s)
        uow.commit()
    return extended


def _asked(hub: Hub, access: Access, order: HoldOrder) -> CheckoutAsked:
    channel = access.channel
    if channel is None:
        raise AccessError("this key speaks for no channel; ask for one with a channel: scope", code="access.channel")
    intake.check_brand(hub, access, channel)
    point = locate(order.receiver.model_dump(exclude_none=True))
    return CheckoutAsked(
        access.owner,
        access.brand,
        channel,
        order.order_no,
        tuple(AskedLine(**line.model_dump()) for line in order.lines),
        hub.estate.stream(channel, ORDERS_STREAM).sku_scheme or channel,
        order.ttl_s,
        point.lat if point else None,
        point.lon if point else None,
        order.receiver.region_code,
        order.member,
    )


def _key(access: Access, channel: str, order_no: str) -> Key:
    if access.channel not in (None, channel):
        raise NotFoundError(f"nothing was ever kept for order {order_no!r} of {channel}", code="checkout.unknown")
    return access.owner, access.brand, channel, order_no


def _short(error: ShortError) -> Response:
    errors = [{"field": issue.field, "code": issue.code, "detail": issue.detail} for issue in error.issues]
    return problem(409, "conflict", error.code, error.detail, errors=errors)
