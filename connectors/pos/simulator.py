"""A till system with a REST interface of its own, and controls under ``/_``.

python -m connectors.pos.simulator --data pos.db --hub http://127.0.0.1:8000 --key API_KEY
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app
from connectors.pos.tills import SCHEMA, RefusedError, Tills

SETTINGS: Final = {"access_token": "demo-token", "zone": "Asia/Shanghai"}
MAX_PAGE_SIZE: Final = 500

Handler = Callable[[Request], Awaitable[Any]]


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults)
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    tills = Tills(books, hub, ZoneInfo(options.settings["zone"]))
    routes = [*_protocol(tills, options.settings["access_token"]), *_controls(tills)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _protocol(tills: Tills, token: str) -> list[Route]:
    async def take_status(request: Request) -> Any:
        body = orjson.loads(await request.body())
        key = request.headers.get("idempotency-key", "")
        return {"noticeNo": tills.take_status(request.path_params["sale_no"], key, body)}

    async def find_status(request: Request) -> Any:
        return {"noticeNo": tills.notice_of(request.query_params.get("key", ""))}

    def book(what: str) -> Handler:
        async def read(request: Request) -> Any:
            limit = min(max(int(request.query_params.get("limit", "100")), 1), MAX_PAGE_SIZE)
            return tills.page(what, int(request.query_params.get("after", "0")), limit)

        return read

    def guarded(handler: Handler) -> Handler:
        async def guard(request: Request) -> Any:
            if not hmac.compare_digest(request.headers.get("x-access-token", "").encode(), token.encode()):
                raise RefusedError(401, "令牌无效")
            return await handler(request)

        return guard

    routes = [
        Route("/orders/{sale_no}/status", _answered(guarded(take_status)), methods=["PUT"]),
        Route("/statuses/by-key", _answered(guarded(find_status))),
    ]
    books = [Route(f"/{what}", _answered(guarded(book(what)))) for what in ("sales", "returns", "stock", "statuses")]
    return routes + books


def _controls(tills: Tills) -> list[Route]:
    async def stores(request: Request) -> Any:
        tills.open_stores(orjson.loads(await request.body()))
        return {}

    async def receive(request: Request) -> Any:
        tills.receive(orjson.loads(await request.body()), request.query_params.get("kind", "RECEIVE"))
        return {}

    async def ring_up(request: Request) -> Any:
        return tills.ring_up(orjson.loads(await request.body()))

    async def take_back(request: Request) -> Any:
        return tills.take_back(orjson.loads(await request.body()))

    controls = {"/_stores": stores, "/_receive": receive, "/_sales": ring_up, "/_returns": take_back}
    return [Route(path, _answered(handler), methods=["POST"]) for path, handler in controls.items()]


def _answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler's value as JSON, or a refusal in the vendor's words."""

    async def answer(request: Request) -> Response:
        try:
            return json_response(await handler(request))
        except RefusedError as error:
            return json_response({"errcode": error.status, "errmsg": error.message}, error.status)
        except (KeyError, TypeError, ValueError) as error:
            return json_response({"errcode": 422, "errmsg": f"参数错误: {error}"}, 422)

    return answer


if __name__ == "__main__":
    started = parse_options("pos", SETTINGS)
    serve(build(started), started.system, started.port)
