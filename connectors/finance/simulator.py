"""A finance company's group points: signed calls under ``/openapi/points``, its books, and controls under ``/_``.

python -m connectors.finance.simulator --data finance.db --set app_secret=s3cret
"""

import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.finance.client import ACCOUNTS, CREDIT, DEBIT, QUERY, READS, STATEMENT, SUCCESS
from connectors.finance.sign import (
    APP_ID,
    NONCE,
    SIGNATURE,
    TIMESTAMP,
    answer_signature,
    is_equal,
    request_signature,
)
from connectors.finance.writers import IN, OUT, REQUEST_NO_LENGTH
from connectors.kit import point_accounts
from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.point_accounts import Move, PointAccounts, Reason, RefusedError, Row, points, text
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app

SETTINGS: Final = {
    "app_id": "yipan",
    "app_secret": "demo-secret",
    "programmes": "group",
    "monthly_limit": "0",
    "retry_after_s": "1",
    "zone": "Asia/Shanghai",
}
BUSY: Final = "busy"
OVERLOADED: Final = "overloaded"
PROCESSING: Final = "processing"
FORGED: Final = "forged"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_PAGE_SIZE: Final = 500
MAX_AGE_S: Final = 300.0
MAX_NONCE: Final = 64

SCHEMA: Final = (
    point_accounts.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS request (request_no TEXT PRIMARY KEY, digest TEXT NOT NULL, movement INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS nonce (nonce TEXT PRIMARY KEY, seen_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS ix_nonce_seen ON nonce (seen_at);
"""
)

Call = Callable[[Mapping[str, Any]], dict[str, Any]]

_REFUSALS: Final = {
    Reason.UNKNOWN_ACCOUNT: ("1001", "账户不存在"),
    Reason.CLOSED_ACCOUNT: ("1002", "账户已销户"),
    Reason.WRONG_NAME: ("1002", "账户信息不符"),
    Reason.LIMIT: ("1003", "超出当月限额"),
    Reason.INSUFFICIENT: ("1004", "积分余额不足"),
    Reason.INVALID_POINTS: ("1005", "积分数值不合法"),
    Reason.UNKNOWN_PROGRAMME: ("1006", "积分计划不存在"),
}


class ResultError(Exception):
    """An answer other than success: result code, words, HTTP status."""

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Gate:
    """Lets in calls that the partner signed just now; a change counts once under its nonce."""

    def __init__(self, books: Books, app_id: str, app_secret: str, clock: Callable[[], float] = time.time) -> None:
        self._books = books
        self._app_id = app_id
        self._secret = app_secret
        self._clock = clock

    def check(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """ResultError 8001 to 8004, with HTTP status 401."""
        timestamp, nonce = headers.get(TIMESTAMP, ""), headers.get(NONCE, "")
        if headers.get(APP_ID) != self._app_id:
            raise ResultError("8004", "应用未授权", 401)
        expected = request_signature(self._secret, "POST", path, timestamp, nonce, body)
        if not is_equal(headers.get(SIGNATURE, ""), expected):
            raise ResultError("8001", "签名错误", 401)
        if not timestamp.isdecimal() or abs(self._clock() - int(timestamp[:16]) / 1000) > MAX_AGE_S:
            raise ResultError("8002", "时间戳已过期", 401)
        if path not in READS:
            self._take(nonce)

    def dress(self, status: int, nonce: str, body: bytes, *, forged: bool) -> dict[str, str]:
        """The headers of an answer."""
        timestamp = str(int(self._clock() * 1000))
        secret = "somebody else" if forged else self._secret
        return {TIMESTAMP: timestamp, SIGNATURE: answer_signature(secret, status, timestamp, nonce, body)}

    def _take(self, nonce: str) -> None:
        now = self._clock()
        with self._books.transaction() as db:
            db.execute("DELETE FROM nonce WHERE seen_at < ?", (now - 2 * MAX_AGE_S,))
            taken = db.execute("INSERT INTO nonce VALUES (?, ?) ON CONFLICT DO NOTHING", (nonce[:MAX_NONCE], now))
            if taken.rowcount != 1 or not 0 < len(nonce) <= MAX_NONCE:
                raise ResultError("8003", "请求重复", 401)


class GroupPoints:
    """The company's calls over its accounts."""

    def __init__(self, books: Books, accounts: PointAccounts, zone: ZoneInfo) -> None:
        self._books = books
        self._accounts = accounts
        self._zone = zone

    def calls(self) -> dict[str, Call]:
        return {
            CREDIT: lambda given: self._book(CREDIT, given, 1),
            DEBIT: lambda given: self._book(DEBIT, given, -1),
            QUERY: self._query,
            STATEMENT: self._statement,
            ACCOUNTS: self._list_accounts,
        }

    def _book(self, path: str, given: Mapping[str, Any], sign: int) -> dict[str, Any]:
        number = text(given["requestNo"])
        if len(number) > REQUEST_NO_LENGTH:
            raise ValueError("requestNo is too long")
        digest = sha256(path.encode() + orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).hexdigest()
        with self._books.transaction() as db:
            known = db.execute("SELECT * FROM request WHERE request_no = ?", (number,)).fetchone()
            if known is None:
                row = self._accounts.move(db, _move(given, number, sign))
                self._remember(db, number, digest, row)
                return _movement(row)
            if known["digest"] != digest:
                raise ResultError("2001", "流水号重复且内容不一致")
            return self._known(known["movement"])

    def _remember(self, db: sqlite3.Connection, number: str, digest: str, row: Row) -> None:
        db.execute("INSERT INTO request VALUES (?, ?, ?)", (number, digest, row["id"]))

    def _known(self, movement: int) -> dict[str, Any]:
        row = self._accounts.movement(movement)
        assert row is not None
        return _movement(row)

    def _query(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = self._books.find("SELECT movement FROM request WHERE request_no = ?", text(given["requestNo"]))
        if known is None:
            raise ResultError("2002", "流水不存在")
        return self._known(known["movement"])

    def _statement(self, given: Mapping[str, Any]) -> dict[str, Any]:
        size = _page_size(given)
        rows = self._accounts.movements(int(given["after"] or 0), size)
        following = str(rows[-1]["id"]) if len(rows) == size else None
        return {"rows": [_movement(row) for row in rows], "nextAfter": following}

    def _list_accounts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        size = _page_size(given)
        accounts = self._accounts.accounts(str(given["after"]), size)
        following = accounts[-1]["number"] if len(accounts) == size else None
        rows = [{"accountNo": row["number"], "state": row["state"], "balance": row["balance"]} for row in accounts]
        return {"rows": rows, "nextAfter": following}


def build(options: Options) -> ASGIApp:
    """The simulator over the books at ``options.data``."""
    settings = options.settings
    books = Books(options.data, SCHEMA)
    faults = Faults(options.seed, options.faults, also=(BUSY, OVERLOADED, PROCESSING, FORGED))
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    accounts = PointAccounts(
        books,
        monthly_limit=int(settings["monthly_limit"]),
        programmes=[code for code in settings["programmes"].split(",") if code],
    )
    zone = ZoneInfo(settings["zone"])
    gate = Gate(books, settings["app_id"], settings["app_secret"])
    calls = GroupPoints(books, accounts, zone).calls()
    protocol = [_gateway(path, call, gate, faults, settings["retry_after_s"]) for path, call in calls.items()]
    routes = [*protocol, *_controls(books, accounts, zone)]
    return simulator_app(options.system, books=books, faults=faults, hub=hub, routes=routes)


def _gateway(path: str, call: Call, gate: Gate, faults: Faults, retry_after_s: str) -> Route:
    async def gateway(request: Request) -> Response:
        if faults.strikes(BUSY):
            return Response("slow down", 429, {"Retry-After": retry_after_s})
        body = await _body(request)
        status = 200
        answer: dict[str, Any] = {"resultCode": SUCCESS, "resultMsg": "成功"}
        try:
            if body is None:
                raise ResultError("1009", "报文过大")
            gate.check(path, request.headers, body)
            if faults.strikes(OVERLOADED):
                raise ResultError("9001", "系统繁忙")
            data = call(_document(body))
            if path not in READS and faults.strikes(PROCESSING):
                raise ResultError("9002", "处理中")
            answer = {**answer, "data": data}
        except ResultError as error:
            status, answer = error.status, {"resultCode": error.code, "resultMsg": error.message}
        except RefusedError as error:
            code, message = _REFUSALS[error.reason]
            answer = {"resultCode": code, "resultMsg": message}
        except (KeyError, TypeError, ValueError):
            answer = {"resultCode": "1008", "resultMsg": "参数错误"}
        content = orjson.dumps(answer)
        signed = gate.dress(status, request.headers.get(NONCE, ""), content, forged=faults.strikes(FORGED))
        return Response(content, status, signed, media_type="application/json")

    return Route(path, gateway, methods=["POST"])


def _controls(books: Books, accounts: PointAccounts, zone: ZoneInfo) -> list[Route]:
    def today() -> date:
        return datetime.now(zone).date()

    async def open_accounts(request: Request) -> Response:
        """``[{"account", "balance", "state"}]``: take customers in, or set what they have."""
        try:
            accounts.open(orjson.loads(await request.body()), today())
        except (KeyError, TypeError, ValueError) as error:
            return json_response({"resultCode": "1008", "resultMsg": f"参数错误: {error}"}, 422)
        return json_response({})

    async def move(request: Request) -> Response:
        """``{"account", "points"}``: the customer earns (above zero) or spends (below) at the company itself."""
        given = orjson.loads(await request.body())
        try:
            with books.transaction() as db:
                row = accounts.move(db, Move(given["account"], int(given["points"]), today()), "member")
        except RefusedError as error:
            code, message = _REFUSALS[error.reason]
            return json_response({"resultCode": code, "resultMsg": message}, 422)
        return json_response(_movement(row))

    return [Route("/_accounts", open_accounts, methods=["POST"]), Route("/_move", move, methods=["POST"])]


def _move(given: Mapping[str, Any], number: str, sign: int) -> Move:
    return Move(
        account=text(given["accountNo"]),
        points=sign * points(given["points"]),
        day=datetime.strptime(given["tradeTime"], "%Y%m%d%H%M%S").date(),  # noqa: DTZ007 - the company's wall clock
        reference=number,
        document=text(given["bizNo"]),
        programme=text(given["planCode"]),
    )


def _movement(row: Row) -> dict[str, Any]:
    return {
        "serialNo": f"JF{row['id']:012d}",
        "requestNo": row["reference"],
        "bizNo": row["document"],
        "direction": IN if row["points"] > 0 else OUT,
        "source": row["origin"].upper(),
        "accountNo": row["account"],
        "planCode": row["programme"],
        "points": abs(row["points"]),
        "balance": row["balance"],
        "tradeDate": row["day"].replace("-", ""),
    }


def _page_size(given: Mapping[str, Any]) -> int:
    return min(max(int(given["pageSize"]), 1), MAX_PAGE_SIZE)


async def _body(request: Request) -> bytes | None:
    """The body, or None if it is over MAX_BODY_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _document(body: bytes) -> dict[str, Any]:
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise TypeError("the body is no JSON object")
    return document


if __name__ == "__main__":
    started = parse_options("finance", SETTINGS)
    serve(build(started), started.system, started.port)
