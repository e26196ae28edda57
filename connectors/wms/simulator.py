"""A WMS that speaks Qimen: ``POST /qimen``, pushes signed like its answers are checked, and controls under ``/_``.

python -m connectors.wms.simulator --data wms.db --hub http://127.0.0.1:8000 --set app_secret=s3cret
"""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from canonical_model.errors import HubError
from canonical_model.ports import Limits
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import Answer, Dress, HubClient, Push
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app
from connectors.kit.xml import parse_xml, render_xml
from connectors.wms.doors import MAX_AGE, METHODS, TIMESTAMP
from connectors.wms.sign import SIGN, signature, signed_query
from connectors.wms.warehouse import LACKING, MEDIA_TYPE, NO_STOCK, PARTIAL, SCHEMA, Clock, RefusedError, Warehouses

SETTINGS: Final = {
    "app_secret": "demo-secret",
    "customer_id": "demo",
    "zone": "Asia/Shanghai",
    "pick_min_s": "0.05",
    "pick_max_s": "0.5",
    "clock_skew_s": "0",
}
LIMITS: Final = Limits(depth=20)
LISTS: Final = ("orderLines.orderLine", "criteriaList.criteria")
MAX_PAGE_SIZE: Final = 500

Call = Callable[[Mapping[str, Any]], dict[str, Any]]


class QimenProtocol:
    """Checks the signature of what comes in, signs what goes out."""

    def __init__(self, settings: Mapping[str, str], clock: Clock) -> None:
        self._secret = settings["app_secret"]
        self._customer_id = settings["customer_id"]
        self._clock = clock
        self._zone = ZoneInfo(settings["zone"])

    def check(self, query: Mapping[str, str], body: bytes) -> None:
        """RefusedError ``isv.*`` unless the caller holds the secret and the call is fresh."""
        expected = signature(self._secret, query, body)
        if not hmac.compare_digest(query.get(SIGN, "").encode(), expected.encode()):
            raise RefusedError("isv.invalid-signature", "签名错误")
        if query.get("customerId") != self._customer_id:
            raise RefusedError("isv.invalid-customer", "customerId 未授权")
        try:
            sent = datetime.strptime(query.get("timestamp", ""), TIMESTAMP).replace(tzinfo=self._zone)
        except ValueError:
            raise RefusedError("isv.invalid-timestamp", "时间戳格式错误") from None
        if abs(datetime.now(self._zone) - sent) > MAX_AGE:
            raise RefusedError("isv.invalid-timestamp", "时间戳已过期")

    def dress(self, push: Push) -> Dress:
        """A fresh signature for every try."""
        query = signed_query(
            self._secret,
            METHODS[push.stream],
            push.body,
            app_key=self._customer_id,
            customer_id=self._customer_id,
            timestamp=self._clock.text(),
        )
        return Dress(query=query)


def accepted_by_flag(answer: Answer) -> bool:
    """Qimen answers 200 to everything; the flag counts."""
    try:
        return parse_xml(answer.content, limits=LIMITS).get("flag") == "success"
    except HubError:
        return False


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults, also=(LACKING, PARTIAL, NO_STOCK))
    clock = Clock(ZoneInfo(settings["zone"]), float(settings["clock_skew_s"]))
    protocol = QimenProtocol(settings, clock)
    hub = HubClient(
        books, faults, hub=options.hub, system=options.system, dress=protocol.dress, accepted=accepted_by_flag
    )
    warehouses = Warehouses(books, faults, hub, clock, (float(settings["pick_min_s"]), float(settings["pick_max_s"])))
    routes = [Route("/qimen", _gateway(protocol, _calls(warehouses)), methods=["POST"]), *_controls(warehouses)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes, tasks=[warehouses.work])


def _calls(warehouses: Warehouses) -> dict[str, Call]:
    return {
        "deliveryorder.create": warehouses.create,
        "order.cancel": warehouses.cancel,
        "deliveryorder.query": warehouses.query,
        "deliveryorder.batchquery": lambda request: warehouses.orders(*_page(request)),
        "stock.query": lambda request: warehouses.stock(*_page(request)),
        "inventory.query": lambda request: warehouses.inventory(request["criteriaList"]["criteria"]),
    }


def _page(request: Mapping[str, Any]) -> tuple[int, int]:
    return max(1, int(request["page"])), min(MAX_PAGE_SIZE, max(1, int(request["pageSize"])))


def _gateway(protocol: QimenProtocol, calls: Mapping[str, Call]) -> Callable[[Request], Any]:
    async def gateway(request: Request) -> Response:
        body = await request.body()
        try:
            protocol.check(request.query_params, body)
            call = calls.get(request.query_params.get("method", ""))
            if call is None:
                raise RefusedError("isv.invalid-method", "method 不存在")
            answer = call(parse_xml(body, limits=LIMITS, lists=LISTS))
        except RefusedError as error:
            return _answer({"flag": "failure", "code": error.code, "message": error.message})
        except (HubError, KeyError, TypeError, ValueError) as error:
            return _answer({"flag": "failure", "code": "isv.invalid-parameter", "message": f"参数错误: {error}"})
        return _answer({"flag": "success", "code": "0", "message": "", **answer})

    return gateway


def _answer(answer: Mapping[str, Any]) -> Response:
    return Response(render_xml("response", answer), media_type=MEDIA_TYPE)


def _controls(warehouses: Warehouses) -> list[Route]:
    async def seed(request: Request) -> Response:
        """``{"warehouses": [...], "stock": [...]}`` in Qimen's field names."""
        given = orjson.loads(await request.body())
        warehouses.seed(given.get("warehouses", ()), given.get("stock", ()))
        return json_response({})

    async def report(request: Request) -> Response:
        """``?what=warehouses`` or ``?what=stock`` (``&warehouse=`` for one): push it now."""
        if request.query_params.get("what") == "warehouses":
            warehouses.report_warehouses()
        else:
            warehouses.report_stock(request.query_params.get("warehouse"))
        return json_response({}, 202)

    async def adjust(request: Request) -> Response:
        """``{"warehouseCode", "itemCode", "change", "inventoryType"}``: a found or lost quantity."""
        given = orjson.loads(await request.body())
        quality = given.get("inventoryType", "ZP")
        warehouses.adjust(given["warehouseCode"], given["itemCode"], int(given["change"]), quality)
        return json_response({}, 202)

    async def picking(request: Request) -> Response:
        """``{"paused": true}``: the pickers go for lunch."""
        warehouses.pause(paused=bool(orjson.loads(await request.body())["paused"]))
        return json_response({})

    return [
        Route("/_seed", seed, methods=["POST"]),
        Route("/_report", report, methods=["POST"]),
        Route("/_adjust", adjust, methods=["POST"]),
        Route("/_picking", picking, methods=["PUT"]),
    ]


if __name__ == "__main__":
    started = parse_options("wms", SETTINGS)
    serve(build(started), started.system, started.port)
