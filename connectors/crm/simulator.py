"""A member CRM that answers SOAP, pushes SOAP, and has controls under ``/_``.

python -m connectors.crm.simulator --data crm.db --hub http://127.0.0.1:8000 --key API_KEY
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.crm.client import SERVICE
from connectors.crm.envelopes import soap_dress, unavailable
from connectors.crm.loyalty import MEDIA_TYPE, SCHEMA, Loyalty, RefusedError
from connectors.crm.service import WSDL, MemberService
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app

SETTINGS: Final = {"user": "YIPAN", "password": "yipan-demo", "page_rows": "500", "zone": "Asia/Shanghai"}
BUSY: Final = "busy"

Handler = Callable[[Request], Awaitable[Any]]


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults, also=[BUSY])
    hub = HubClient(
        books,
        faults,
        hub=options.hub,
        system=options.system,
        dress=soap_dress(options.key),
        unavailable=unavailable,
    )
    loyalty = Loyalty(books, hub, system=options.system, zone=ZoneInfo(settings["zone"]))
    service = MemberService(
        loyalty,
        user=settings["user"],
        password=settings["password"],
        page_rows=int(settings["page_rows"]),
        busy=lambda: faults.strikes(BUSY),
    )
    routes = [*_protocol(service), *_controls(loyalty)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _protocol(service: MemberService) -> list[Route]:
    async def call(request: Request) -> Response:
        status, envelope = service.answer(await request.body())
        return Response(envelope, status, media_type=MEDIA_TYPE)

    async def describe(_: Request) -> Response:
        return Response(WSDL.read_bytes(), media_type=MEDIA_TYPE)

    return [Route(SERVICE, call, methods=["POST"]), Route(SERVICE, describe)]


def _controls(loyalty: Loyalty) -> list[Route]:
    async def members(request: Request) -> Any:
        return loyalty.enter(orjson.loads(await request.body()), push=_pushes(request))

    async def points(request: Request) -> Any:
        return loyalty.move_points(orjson.loads(await request.body()), push=_pushes(request))

    return [
        Route("/_members", _answered(members), methods=["POST"]),
        Route("/_points", _answered(points), methods=["POST"]),
    ]


def _pushes(request: Request) -> bool:
    return request.query_params.get("push", "1") != "0"


def _answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler's value as JSON, or a refusal in the CRM's words."""

    async def answer(request: Request) -> Response:
        try:
            return json_response(await handler(request))
        except RefusedError as error:
            return json_response({"resultCode": "E001", "resultMsg": error.message}, error.status)
        except (KeyError, TypeError, ValueError) as error:
            return json_response({"resultCode": "E002", "resultMsg": f"参数错误: {error}"}, 422)

    return answer


if __name__ == "__main__":
    started = parse_options("crm", SETTINGS)
    serve(build(started), started.system, started.port)
