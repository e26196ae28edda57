"""A simulated SAP: sends MATMAS05, serves stock and sales orders by OData V2, takes ORDERS05. Books of its own.

    python -m connectors.sap.simulator --port 0 --data sap.db --hub http://127.0.0.1:8000 --key KEY

README.md lists the controls. Like SAP it posts the same purchase order twice when it is sent twice.
"""

import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from canonical_model.errors import HubError
from canonical_model.ports import Limits
from connectors.kit.faults import Faults
from connectors.kit.outgoing import Dress, HubClient, Push
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app
from connectors.kit.xml import parse_xml, render_xml
from connectors.sap.simulator_books import Item, Rules, SalesOrder, SimulatedBooks, stored_number
from connectors.sap.simulator_matmas import KEYS, render_matmas05
from connectors.sap.simulator_odata import ITEMS, SETS, QueryError, find, metadata, parse_resource, select

SETTINGS: Final = {
    "user": "YIPAN",
    "password": "yipan-demo",
    "client": "100",
    "zone": "Asia/Shanghai",
    "page_rows": "500",
}
MAX_SESSIONS: Final = 1000

Endpoint = Callable[[Request], Awaitable[Response]]

_LIMITS: Final = Limits(body_bytes=4 * 1024 * 1024, depth=12)
_SEGMENTS: Final = ("E1EDK14", "E1EDK03", "E1EDKA1", "E1EDK02", "E1EDP01", "E1EDP01.E1EDP19", "E1EDS01")
_LISTS: Final = tuple(f"IDOC.{name}" for name in _SEGMENTS)


class RefusalError(Exception):
    """SAP's no: message class, number and text, and the status of an OData answer."""

    def __init__(self, cls: str, number: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.cls, self.number, self.text, self.status = cls, number, text, status

    def bapi(self) -> dict[str, str]:
        return {"TYPE": "E", "ID": self.cls, "NUMBER": self.number, "MESSAGE": self.text}

    def odata(self) -> Response:
        code = f"{self.cls}/{self.number}"
        detail = {"code": code, "message": self.text, "severity": "error", "target": ""}
        message = {"lang": "en", "value": self.text}
        error = {"code": code, "message": message, "innererror": {"errordetails": [detail]}}
        return json_response({"error": error}, self.status)


class Simulator:
    """The endpoints over one set of books."""

    def __init__(self, options: Options, books: SimulatedBooks, hub: HubClient) -> None:
        self._books = books
        self._hub = hub
        self._settings = options.settings
        self._page_rows = int(options.settings["page_rows"])
        self._sessions: dict[str, str] = {}

    def routes(self) -> list[Route]:
        service = "/sap/opu/odata/sap/{service}"
        return [
            Route(f"{service}/", self._known(self.service)),
            Route(f"{service}/$metadata", self._known(self.service_metadata)),
            Route(f"{service}/{{resource}}", self._known(self.read)),
            Route(f"{service}/{{resource}}", self._known(self.change), methods=["PATCH", "MERGE"]),
            Route("/sap/bc/idoc_xml", self._known(self.take_idoc), methods=["POST"]),
            Route("/_catalogue", self.send_catalogue, methods=["POST"]),
            Route("/_stock", self.set_stock, methods=["PUT"]),
            Route("/_rules", self.set_rules, methods=["PUT"]),
            Route("/_sessions", self.end_sessions, methods=["DELETE"]),
        ]

    async def service(self, request: Request) -> Response:
        """The service document; where clients fetch their CSRF token."""
        names = [entity.name for entity in SETS if entity.service == request.path_params["service"]]
        return json_response({"d": {"EntitySets": names}})

    async def service_metadata(self, request: Request) -> Response:
        return Response(metadata(request.path_params["service"]), media_type="application/xml")

    async def read(self, request: Request) -> Response:
        """A page of a set, or one entity by its keys."""
        name, keys = parse_resource(request.path_params["resource"])
        entity = next((e for e in SETS if e.name == name and e.service == request.path_params["service"]), None)
        if entity is None:
            raise RefusalError("/IWFND/CM_MGW_RT", "004", f"Resource {name} not found", 404)
        base_url = str(request.base_url).rstrip("/")
        options = dict(request.query_params)
        try:
            if keys:
                found = find(self._books, entity, keys, base_url=base_url)
            else:
                found = select(self._books, entity, options, base_url=base_url, page_rows=self._page_rows)
        except QueryError as error:
            raise RefusalError("/IWBEP/CM_MGW_RT", "022", str(error)) from error
        if found is None:
            raise RefusalError("/IWBEP/CM_MGW_RT", "020", "Resource not found", 404)
        return json_response({"d": found})

    async def change(self, request: Request) -> Response:
        """The reason for rejection of one sales order item; nothing else changes here."""
        name, keys = parse_resource(request.path_params["resource"])
        changes = orjson.loads(await request.body())
        if name != ITEMS.name or changes.keys() != {"SalesDocumentRjcnReason"}:
            raise RefusalError("/IWBEP/CM_MGW_RT", "021", "Method not implemented", 501)
        if "if-match" not in request.headers:
            raise RefusalError("/IWBEP/CM_MGW_RT", "047", "Precondition required", 428)
        rules, order, item = self._books.rules(), keys.get("SalesOrder", ""), keys.get("SalesOrderItem", "")
        if order in rules.locked:
            raise _locked(order)
        if order in rules.delivered:
            raise RefusalError("ZYP", "001", f"Item {item} is already delivered and cannot be rejected")
        if not self._books.reject_item(order, item, changes["SalesDocumentRjcnReason"]):
            raise RefusalError("/IWBEP/CM_MGW_RT", "020", "Resource not found", 404)
        return Response(status_code=204)

    async def take_idoc(self, request: Request) -> Response:
        """Post one ORDERS05. Refusals are a 200 with BAPIRET2, or OData errors if the rules say so."""
        body, rules = await request.body(), self._books.rules()
        try:
            order = _order_of(body, ZoneInfo(self._settings["zone"]))
            self._check(order, rules)
        except RefusalError as refusal:
            with self._books.transaction() as transaction:
                number = self._books.add_idoc(transaction, "2", "ORDERS", "51", body)
            if rules.odata_errors:
                raise
            return _bapi_answer(number, None, refusal.bapi())
        with self._books.transaction() as transaction:
            number = self._books.add_idoc(transaction, "2", "ORDERS", "64" if rules.deferred else "53", body)
            posted = None if rules.deferred else self._books.add_order(transaction, order, datetime.now(UTC))
        if posted is None:
            return _bapi_answer(number, None, {"TYPE": "S", "ID": "ZYP", "NUMBER": "002", "MESSAGE": "IDoc added"})
        text = f"Standard Order {posted} has been saved"
        return _bapi_answer(number, posted, {"TYPE": "S", "ID": "V1", "NUMBER": "311", "MESSAGE": text})

    async def send_catalogue(self, request: Request) -> Response:
        """Create or change materials and send them: JSON ``{"materials": [...], "packet": IDocs a document}``."""
        asked = orjson.loads(await request.body())
        entries, packet = asked["materials"], int(asked.get("packet", 1))
        for entry in entries:
            if unknown := entry.keys() - KEYS:
                return json_response({"detail": f"unknown key {min(unknown)!r} of {entry.get('number')}"}, 422)
        for start in range(0, len(entries), packet):
            self._send(entries[start : start + packet])
        return json_response({"materials": len(entries)}, 202)

    async def set_stock(self, request: Request) -> Response:
        """Set figures: a JSON list of ``{material, plant, storage_location, stock_type, batch, quantity, unit}``."""
        return json_response({"rows": self._books.set_stock(orjson.loads(await request.body()))})

    async def set_rules(self, request: Request) -> Response:
        """Change how SAP answers; see ``Rules``."""
        try:
            self._books.set_rules(orjson.loads(await request.body()))
        except ValueError as error:
            return json_response({"detail": str(error)}, 422)
        return json_response(self._books.rules()._asdict())

    async def end_sessions(self, _: Request) -> Response:
        """Forget every session, as a restart does: their CSRF tokens are worth nothing now."""
        ended = len(self._sessions)
        self._sessions.clear()
        return json_response({"ended": ended})

    def _send(self, entries: list[dict[str, Any]]) -> None:
        sent_at = datetime.now(ZoneInfo(self._settings["zone"]))
        with self._books.transaction() as transaction:
            numbered = []
            for entry in entries:
                self._books.add_material(transaction, stored_number(str(entry["number"])), entry)
                number = self._books.add_idoc(transaction, "1", "MATMAS", "03", orjson.dumps(entry))
                numbered.append((number, entry))
            body = render_matmas05(numbered, client=self._settings["client"], sent_at=sent_at)
            key = f"{numbered[0][0]:016}-{numbered[-1][0]:016}"
            self._hub.queue(transaction, Push("materials", key, body, "application/xml"))

    def _check(self, order: SalesOrder, rules: Rules) -> None:
        for item in order.items:
            if not self._books.knows_material(item.material):
                raise RefusalError("M3", "305", f"Material {item.material} does not exist or is not activated")
        if order.sold_to in rules.locked:
            raise _locked(order.sold_to)
        if order.sold_to in rules.credit_blocked:
            raise RefusalError("V1", "154", "Order receipt/delivery not possible, credit customer blocked")
        if rules.credit_limit is not None and order.total > Decimal(rules.credit_limit):
            raise RefusalError("V1", "156", "Credit check: maximum document value exceeded (cannot be saved)")

    def _known(self, endpoint: Endpoint) -> Endpoint:
        """Lets only our user in, and a change only with its session's token; words refusals as OData does."""

        async def answer(request: Request) -> Response:
            if not self._logged_on(request):
                return Response("Logon failed", 401, {"WWW-Authenticate": 'Basic realm="SAP"'})
            if request.method not in {"GET", "HEAD"} and not self._has_token(request):
                return Response("CSRF token validation failed", 403, {"X-CSRF-Token": "Required"}, "text/plain")
            try:
                response = await endpoint(request)
            except RefusalError as refusal:
                return refusal.odata()
            return self._with_token(request, response)

        return answer

    def _logged_on(self, request: Request) -> bool:
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        expected = f"{self._settings['user']}:{self._settings['password']}".encode()
        try:
            given = b64decode(encoded, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            return False
        return secrets.compare_digest(given, expected)

    @property
    def _cookie(self) -> str:
        return f"SAP_SESSIONID_YPN_{self._settings['client']}"

    def _has_token(self, request: Request) -> bool:
        token = self._sessions.get(request.cookies.get(self._cookie, ""), "")
        given = request.headers.get("x-csrf-token", "")
        return bool(token) and secrets.compare_digest(token.encode(), given.encode())

    def _with_token(self, request: Request, response: Response) -> Response:
        """Opens a session and hands out its token if the request asked with ``X-CSRF-Token: Fetch``."""
        if request.headers.get("x-csrf-token", "").lower() == "fetch":
            session, token = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
            while len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[session] = token
            response.set_cookie(self._cookie, session, path="/", httponly=True)
            response.headers["X-CSRF-Token"] = token
        return response


def _locked(name: str) -> RefusalError:
    return RefusalError("V1", "042", f"Sales document {name} is currently being processed by user CHEN")


def _bapi_answer(docnum: int, order: str | None, message: Mapping[str, str]) -> Response:
    answer = {"DOCNUM": f"{docnum:016}", "SALESDOCUMENT": order, "RETURN": {"item": [message]}}
    return Response(render_xml("IDOC_XML.Response", answer), media_type="application/xml")


def _order_of(body: bytes, zone: ZoneInfo) -> SalesOrder:
    """The sales order that an ORDERS05 asks for; RefusalError when it cannot be read as one."""
    try:
        idoc = parse_xml(body, limits=_LIMITS, lists=_LISTS)["IDOC"]
        partners = {item["PARVW"]: item["PARTN"] for item in idoc["E1EDKA1"]}
        references = {item["QUALF"]: item["BELNR"] for item in idoc["E1EDK02"]}
        areas = {item["QUALF"]: item["ORGID"] for item in idoc["E1EDK14"]}
        dates = {item["IDDAT"]: f"{item['DATUM']}{item['UZEIT']}" for item in idoc["E1EDK03"]}
        return SalesOrder(
            purchase_order=references["001"][:35],
            ship_to_order=references.get("044", "")[:35],
            sold_to=partners["AG"],
            order_type=areas["012"],
            area=(areas["008"], areas["007"], areas["006"]),
            currency=idoc["E1EDK01"]["CURCY"],
            ordered_at=datetime.strptime(dates["022"], "%Y%m%d%H%M%S").replace(tzinfo=zone),
            items=tuple(_item_of(segment) for segment in idoc["E1EDP01"]),
        )
    except (HubError, KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise RefusalError("ZYP", "003", f"Error in IDoc ORDERS05: {type(error).__name__} {error}"[:200]) from error


def _item_of(segment: Mapping[str, Any]) -> Item:
    materials = {item["QUALF"]: item["IDTNR"] for item in segment["E1EDP19"]}
    return Item(
        purchase_order_item=segment["POSEX"],
        material=stored_number(materials["002"]),
        quantity=str(Decimal(segment["MENGE"])),
        unit=segment["MENEE"],
        net=Decimal(segment["NETWR"]),
        plant=segment["WERKS"],
        storage_location=segment.get("LGORT", ""),
    )


def build(options: Options) -> ASGIApp:
    """The simulator as an application."""
    books, faults = SimulatedBooks(options.data), Faults(options.seed, options.faults)
    # SAP sends no Idempotency-Key: the document's own number has to do.
    dress = Dress({"Authorization": f"Bearer {options.key}"} if options.key else {})
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=lambda _: dress)
    routes = Simulator(options, books, hub).routes()
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


if __name__ == "__main__":
    given = parse_options("sap", SETTINGS)
    serve(build(given), given.system, given.port)
