"""A gift supplier with a signed REST interface, and controls under ``/_``.

python -m connectors.giftco.simulator --data giftco.db --set app_secret=s3cret --set hold_s=600
"""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.giftco.client import GOODS, PREORDERS
from connectors.giftco.desk import AnswerError, OrderDesk, told, yuan
from connectors.giftco.sign import APP_KEY, IDEMPOTENCY_KEY, MAX_AGE_S, SIGNATURE, TIMESTAMP, signature
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.preorders import PreOrders, preorder_controls
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app

SETTINGS: Final = {"app_key": "demo", "app_secret": "demo-secret", "hold_s": "1200", "ship_s": "86400"}
BUSY: Final = "busy"
MAX_PAGE_SIZE: Final = 500
MAX_KEY: Final = 128
MAX_BODY_BYTES: Final = 1024 * 1024

Handler = Callable[[Request], Awaitable[Response]]


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, "")
    faults = Faults(options.seed, options.faults, also=[BUSY])
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    preorders = PreOrders(books, prefix="G", hold_s=float(settings["hold_s"]), ship_s=float(settings["ship_s"]))
    desk = OrderDesk(books, preorders)
    protocol = _protocol(desk, preorders, settings, busy=lambda: faults.strikes(BUSY))
    routes = [*protocol, *preorder_controls(preorders)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _protocol(
    desk: OrderDesk, preorders: PreOrders, settings: Mapping[str, str], *, busy: Callable[[], bool]
) -> list[Route]:
    async def reserve(request: Request) -> Response:
        return await _once(desk, "reserve", "", request, status=201)

    async def confirm(request: Request) -> Response:
        return await _once(desk, "confirm", request.path_params["number"], request)

    async def cancel(request: Request) -> Response:
        return await _once(desk, "cancel", request.path_params["number"], request)

    async def orders(request: Request) -> Response:
        limit = _limit(request)
        with preorders.open() as db:
            rows = preorders.page(db, int(request.query_params.get("after") or 0), limit)
        following = rows[-1]["id"] if len(rows) == limit else None
        return json_response({"data": [told(row) for row in rows], "next": following})

    async def goods(request: Request) -> Response:
        limit, query = _limit(request), request.query_params
        rows = preorders.goods(query["province"], query.get("after", ""), limit)
        data = [
            {
                "goodsCode": row["code"],
                "title": row["title"],
                "points": row["points"],
                "cash": yuan(row["cash_minor"]),
                "stock": row["free"],
            }
            for row in rows
        ]
        return json_response({"data": data, "next": rows[-1]["code"] if len(rows) == limit else None})

    def guarded(handler: Handler) -> Handler:
        async def guard(request: Request) -> Response:
            check_signature(request, await request.body(), settings)
            if busy():
                return json_response({"code": "BUSY", "message": "系统忙"}, 503, {"Retry-After": "1"})
            return await handler(request)

        return _answered(guard)

    return [
        Route(PREORDERS, guarded(reserve), methods=["POST"]),
        Route(PREORDERS, guarded(orders)),
        Route(f"{PREORDERS}/{{number}}/confirm", guarded(confirm), methods=["POST"]),
        Route(f"{PREORDERS}/{{number}}/cancel", guarded(cancel), methods=["POST"]),
        Route(GOODS, guarded(goods)),
    ]


def check_signature(request: Request, body: bytes, settings: Mapping[str, str]) -> None:
    """AnswerError 401 unless the caller holds the secret and the call is at most five minutes off."""
    headers = request.headers
    timestamp = headers.get(TIMESTAMP, "")
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    key = headers.get(IDEMPOTENCY_KEY, "")
    expected = signature(settings["app_secret"], request.method, target, key=key, timestamp=timestamp, body=body)
    known = hmac.compare_digest(headers.get(APP_KEY, "").encode(), settings["app_key"].encode())
    if not hmac.compare_digest(headers.get(SIGNATURE, "").encode(), expected.encode()) or not known:
        raise AnswerError(401, "BAD_SIGNATURE", "签名错误")
    if abs(time.time() - int(timestamp)) > MAX_AGE_S:
        raise AnswerError(401, "STALE", "时间戳已过期")


async def _once(desk: OrderDesk, deed: str, number: str, request: Request, *, status: int = 200) -> Response:
    key, body = request.headers.get(IDEMPOTENCY_KEY, ""), await request.body()
    if not 0 < len(key) <= MAX_KEY:
        raise AnswerError(400, "BAD_REQUEST", f"缺少 {IDEMPOTENCY_KEY}，或超过 {MAX_KEY} 字符")
    if len(body) > MAX_BODY_BYTES:
        raise AnswerError(400, "BAD_REQUEST", "报文过大")
    fingerprint = hashlib.sha256(f"{request.url.path}\n".encode() + body).hexdigest()
    answer = desk.once(key, fingerprint, deed, number, orjson.loads(body))
    return Response(answer, status, media_type="application/json")


def _limit(request: Request) -> int:
    return min(max(int(request.query_params.get("limit", "100")), 1), MAX_PAGE_SIZE)


def _answered(handler: Handler) -> Handler:
    """The handler's answer, or a refusal in the supplier's words."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except AnswerError as error:
            said = {"code": error.code, "message": error.message, "goodsCode": error.goods}
            return json_response(said, error.status)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            return json_response({"code": "BAD_REQUEST", "message": f"参数错误: {type(error).__name__}"}, 400)

    return answer


if __name__ == "__main__":
    started = parse_options("giftco", SETTINGS)
    serve(build(started), started.system, started.port)
