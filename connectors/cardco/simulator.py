"""A voucher supplier that answers SOAP, and has controls under ``/_``.

python -m connectors.cardco.simulator --data cardco.db --set hold_s=600
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.cardco.client import SERVICE, WSDL
from connectors.cardco.issuer import SCHEMA, CardHouse
from connectors.cardco.service import CardService
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app
from connectors.kit.soap_service import MEDIA_TYPE

SETTINGS: Final = {
    "user": "YIPAN",
    "password": "yipan-demo",
    "page_rows": "500",
    "hold_s": "1800",
    "deliver_s": "86400",
    "zone": "Asia/Shanghai",
}
BUSY: Final = "busy"

Handler = Callable[[Request], Awaitable[Any]]


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults, also=[BUSY])
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    house = CardHouse(
        books,
        hold_s=float(settings["hold_s"]),
        deliver_s=float(settings["deliver_s"]),
        zone=ZoneInfo(settings["zone"]),
    )
    service = CardService(
        house,
        user=settings["user"],
        password=settings["password"],
        page_rows=int(settings["page_rows"]),
        busy=lambda: faults.strikes(BUSY),
    )
    routes = [*_protocol(service), *_controls(house)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _protocol(service: CardService) -> list[Route]:
    async def call(request: Request) -> Response:
        status, envelope = service.answer(await request.body())
        return Response(envelope, status, media_type=MEDIA_TYPE)

    async def describe(_: Request) -> Response:
        return Response(WSDL.read_bytes(), media_type=MEDIA_TYPE)

    return [Route(SERVICE, call, methods=["POST"]), Route(SERVICE, describe)]


def _controls(house: CardHouse) -> list[Route]:
    async def goods(request: Request) -> Any:
        house.stock_up(orjson.loads(await request.body()))
        return {}

    async def ship(request: Request) -> Any:
        """A list of their numbers; without a body, everything that is confirmed."""
        body = await request.body()
        return {"shipped": house.deliver(orjson.loads(body) if body else None)}

    async def clock(request: Request) -> Any:
        house.set_ahead(float(orjson.loads(await request.body())["ahead_s"]))
        return {}

    return [
        Route("/_goods", _answered(goods), methods=["POST"]),
        Route("/_ship", _answered(ship), methods=["POST"]),
        Route("/_clock", _answered(clock), methods=["PUT"]),
    ]


def _answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The control's value as JSON, or what is wrong with the request."""

    async def answer(request: Request) -> Response:
        try:
            return json_response(await handler(request))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return json_response({"resultMsg": f"参数错误: {error}"}, 422)

    return answer


if __name__ == "__main__":
    started = parse_options("cardco", SETTINGS)
    serve(build(started), started.system, started.port)
