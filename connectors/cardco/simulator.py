"""A voucher supplier that answers SOAP, and has controls under ``/_``.

python -m connectors.cardco.simulator --data cardco.db --set hold_s=600
"""

from typing import Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.cardco.client import SERVICE, WSDL
from connectors.cardco.service import CardService
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.preorders import PreOrders, preorder_controls
from connectors.kit.simulator import Options, parse_options, serve, simulator_app
from connectors.kit.soap_service import MEDIA_TYPE

SETTINGS: Final = {
    "user": "YIPAN",
    "password": "yipan-demo",
    "page_rows": "500",
    "hold_s": "1200",
    "deliver_s": "86400",
    "zone": "Asia/Shanghai",
}
BUSY: Final = "busy"


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, "")
    faults = Faults(options.seed, options.faults, also=[BUSY])
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    preorders = PreOrders(books, prefix="C", hold_s=float(settings["hold_s"]), ship_s=float(settings["deliver_s"]))
    service = CardService(
        books,
        preorders,
        user=settings["user"],
        password=settings["password"],
        zone=ZoneInfo(settings["zone"]),
        page_rows=int(settings["page_rows"]),
        busy=lambda: faults.strikes(BUSY),
    )
    routes = [*_protocol(service), *preorder_controls(preorders)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _protocol(service: CardService) -> list[Route]:
    async def call(request: Request) -> Response:
        status, envelope = service.answer(await request.body())
        return Response(envelope, status, media_type=MEDIA_TYPE)

    async def describe(_: Request) -> Response:
        return Response(WSDL.read_bytes(), media_type=MEDIA_TYPE)

    return [Route(SERVICE, call, methods=["POST"]), Route(SERVICE, describe)]


if __name__ == "__main__":
    started = parse_options("cardco", SETTINGS)
    serve(build(started), started.system, started.port)
