"""A frequent-flyer programme: tokens, credits, debits, its books, and controls under ``/_``.

    python -m connectors.airline.simulator --data airline.db --set client_secret=s3cret

It posts the same partner reference twice when it is sent twice.
"""

import hmac
import secrets
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.airline.client import ACCOUNTS, CREDITS, DEBITS, TOKEN, TRANSACTIONS
from connectors.airline.writers import CREDIT, DEBIT, REFERENCE_LENGTH
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.point_accounts import SCHEMA, Move, PointAccounts, Reason, RefusedError, Row, points, text
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app

SETTINGS: Final = {
    "client_id": "yipan",
    "client_secret": "demo-secret",
    "programmes": "skymiles",
    "monthly_limit": "0",
    "token_s": "300",
    "retry_after_s": "1",
    "zone": "Asia/Shanghai",
}
BUSY: Final = "busy"
MAINTENANCE: Final = "maintenance"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_PAGE_SIZE: Final = 500
MAX_TOKENS: Final = 1000

Handler = Callable[[Request], Awaitable[Any]]

_PROBLEMS: Final = {
    Reason.UNKNOWN_ACCOUNT: (404, "ACCOUNT_NOT_FOUND"),
    Reason.CLOSED_ACCOUNT: (422, "ACCOUNT_CLOSED"),
    Reason.WRONG_NAME: (422, "NAME_MISMATCH"),
    Reason.LIMIT: (422, "MONTHLY_LIMIT"),
    Reason.INSUFFICIENT: (422, "INSUFFICIENT_MILES"),
    Reason.INVALID_POINTS: (400, "INVALID_MILES"),
    Reason.UNKNOWN_PROGRAMME: (422, "UNKNOWN_PROGRAMME"),
}


class ProblemError(Exception):
    """An answer that is a problem document."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers


class TokenDesk:
    """Gives out access tokens and knows which still live; they die with the process."""

    def __init__(self, client_id: str, client_secret: str, token_s: float) -> None:
        self._known = f"{client_id}:{client_secret}".encode()
        self._token_s = token_s
        self._until: dict[str, float] = {}
        self.given = 0

    def give(self, authorization: str, form: bytes) -> dict[str, Any]:
        """A token for HTTP Basic credentials; ProblemError 401, or 400 for another grant."""
        try:
            shown = b64decode(authorization.removeprefix("Basic "), validate=True)
        except ValueError:
            shown = b""
        if not hmac.compare_digest(shown, self._known):
            raise ProblemError(401, "invalid_client")
        if parse_qs(form.decode("ascii", "replace")).get("grant_type") != ["client_credentials"]:
            raise ProblemError(400, "unsupported_grant_type")
        now = time.monotonic()
        self._until = {token: until for token, until in self._until.items() if until > now}
        if len(self._until) >= MAX_TOKENS:
            raise ProblemError(429, "TOO_MANY_TOKENS", **{"Retry-After": "1"})
        token = secrets.token_urlsafe(24)
        self._until[token] = now + self._token_s
        self.given += 1
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._token_s}

    def check(self, authorization: str) -> None:
        """ProblemError 401 unless the bearer's token lives."""
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or self._until.get(token, 0.0) <= time.monotonic():
            raise ProblemError(401, "INVALID_TOKEN")

    def revoke(self) -> None:
        """Let every token die."""
        self._until.clear()


class Partners:
    """The partner interface over the accounts."""

    def __init__(self, books: Books, accounts: PointAccounts, faults: Faults, desk: TokenDesk, retry_after_s: str):
        self._books = books
        self._accounts = accounts
        self._faults = faults
        self._desk = desk
        self._retry_after_s = retry_after_s

    def routes(self) -> list[Route]:
        return [
            Route(TOKEN, _answered(self.token), methods=["POST"]),
            Route(CREDITS, _answered(self._guarded(self.credit), 201), methods=["POST"]),
            Route(DEBITS, _answered(self._guarded(self.debit), 201), methods=["POST"]),
            Route(TRANSACTIONS, _answered(self._guarded(self.transactions))),
            Route(ACCOUNTS, _answered(self._guarded(self.list_accounts))),
        ]

    async def token(self, request: Request) -> Any:
        return self._desk.give(request.headers.get("authorization", ""), await _body(request))

    async def credit(self, request: Request) -> Any:
        return self._post(await _document(request), 1)

    async def debit(self, request: Request) -> Any:
        return self._post(await _document(request), -1)

    async def transactions(self, request: Request) -> Any:
        query = request.query_params
        limit = _limit(request)
        if "partnerReference" in query:
            rows = [_transaction(row) for row in self._accounts.with_reference(query["partnerReference"])]
            found = [row for row in rows if row["type"] == query.get("type", row["type"])]
            return {"transactions": found[:limit], "next": None}
        movements = self._accounts.movements(int(query.get("after") or 0), limit)
        following = str(movements[-1]["id"]) if len(movements) == limit else None
        return {"transactions": [_transaction(row) for row in movements], "next": following}

    async def list_accounts(self, request: Request) -> Any:
        limit = _limit(request)
        rows = self._accounts.accounts(request.query_params.get("after", ""), limit)
        following = rows[-1]["number"] if len(rows) == limit else None
        accounts = [{"accountNumber": r["number"], "state": r["state"], "balance": r["balance"]} for r in rows]
        return {"accounts": accounts, "next": following}

    def _post(self, given: dict[str, Any], sign: int) -> dict[str, Any]:
        reference = text(given["partnerReference"])
        if len(reference) > REFERENCE_LENGTH:
            raise ValueError("partnerReference is too long")
        move = Move(
            account=text(given["accountNumber"]),
            points=sign * points(given["miles"]),
            day=date.fromisoformat(given["activityDate"]),
            reference=reference,
            document=text(given["documentNumber"]),
            programme=text(given["programmeCode"]),
            surname=given.get("surname") or "",
        )
        with self._books.transaction() as db:
            return _transaction(self._accounts.move(db, move))

    def _guarded(self, handler: Handler) -> Handler:
        async def guard(request: Request) -> Any:
            if self._faults.strikes(BUSY):
                raise ProblemError(429, "TOO_MANY_REQUESTS", **{"Retry-After": self._retry_after_s})
            if self._faults.strikes(MAINTENANCE):
                raise ProblemError(503, "MAINTENANCE")
            self._desk.check(request.headers.get("authorization", ""))
            return await handler(request)

        return guard


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults, also=(BUSY, MAINTENANCE))
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    accounts = PointAccounts(
        books,
        monthly_limit=int(settings["monthly_limit"]),
        programmes=[code for code in settings["programmes"].split(",") if code],
    )
    desk = TokenDesk(settings["client_id"], settings["client_secret"], float(settings["token_s"]))
    partners = Partners(books, accounts, faults, desk, settings["retry_after_s"])
    routes = [*partners.routes(), *_controls(books, accounts, desk, ZoneInfo(settings["zone"]))]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _controls(books: Books, accounts: PointAccounts, desk: TokenDesk, zone: ZoneInfo) -> list[Route]:
    def today() -> date:
        return datetime.now(zone).date()

    async def open_accounts(request: Request) -> Any:
        """``[{"account", "balance", "state", "surname"}]``: enrol members, or set what they have."""
        accounts.open(orjson.loads(await _body(request)), today())
        return {}

    async def move(request: Request) -> Any:
        """``{"account", "points"}``: the member flies (above zero) or books an award (below)."""
        given = orjson.loads(await _body(request))
        with books.transaction() as db:
            return _transaction(accounts.move(db, Move(given["account"], int(given["points"]), today()), "member"))

    async def revoke(_: Request) -> Any:
        desk.revoke()
        return {"given": desk.given}

    async def count(_: Request) -> Any:
        return {"given": desk.given}

    return [
        Route("/_accounts", _answered(open_accounts), methods=["POST"]),
        Route("/_move", _answered(move), methods=["POST"]),
        Route("/_tokens", _answered(count)),
        Route("/_tokens", _answered(revoke), methods=["DELETE"]),
    ]


def _transaction(row: Row) -> dict[str, Any]:
    return {
        "transactionNumber": f"FF{row['id']:010d}",
        "partnerReference": row["reference"],
        "documentNumber": row["document"],
        "type": CREDIT if row["points"] > 0 else DEBIT,
        "origin": row["origin"].upper(),
        "accountNumber": row["account"],
        "programmeCode": row["programme"],
        "miles": abs(row["points"]),
        "balance": row["balance"],
        "activityDate": row["day"],
    }


def _limit(request: Request) -> int:
    return min(max(int(request.query_params.get("limit", "100")), 1), MAX_PAGE_SIZE)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProblemError(413, "TOO_LARGE")
    return bytes(body)


async def _document(request: Request) -> dict[str, Any]:
    document = orjson.loads(await _body(request))
    if not isinstance(document, dict):
        raise ValueError("the body is no JSON object")
    return document


def _answered(handler: Handler, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
    """The handler's value as JSON, or a problem document."""

    async def answer(request: Request) -> Response:
        try:
            return json_response(await handler(request), status)
        except RefusedError as error:
            return _problem(ProblemError(*_PROBLEMS[error.reason]))
        except ProblemError as error:
            return _problem(error)
        except (KeyError, TypeError, ValueError, AttributeError):
            return _problem(ProblemError(400, "INVALID_REQUEST"))

    return answer


def _problem(error: ProblemError) -> Response:
    body = {"code": error.code, "error": error.code, "title": error.code.replace("_", " ").lower()}
    return json_response(body, error.status, error.headers)


if __name__ == "__main__":
    started = parse_options("airline", SETTINGS)
    serve(build(started), started.system, started.port)
