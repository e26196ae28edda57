"""A DRP whose books are a real database, with controls under ``/_``. It is read by SQL, as the real one is.

python -m connectors.drp.simulator --data drp.db --set dialect=mariadb --set admin=DSN --set connection=DSN

``admin`` is the ODBC string of a login that may create databases; ``connection`` the reader's, whose Database, UID and
PWD the simulator creates. ``--data`` only keeps the common parts' queue.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from canonical_model.errors import HubError
from connectors.drp.database import DrpDatabase
from connectors.drp.planning import Planning, RefusedError
from connectors.kit.books import Books
from connectors.kit.faults import MAX_DELAY_S, Fault, Faults
from connectors.kit.outgoing import HubClient, api_key_dress
from connectors.kit.simulator import Options, json_response, parse_options, serve, simulator_app

SETTINGS: Final = {"dialect": "postgresql", "admin": "", "connection": "", "zone": "Asia/Shanghai"}
KILL: Final = "kill_connection"
REFUSE: Final = "refuse_login"
TICK_S: Final = 0.05

Handler = Callable[[Request], Awaitable[Any]]


def build(options: Options) -> ASGIApp:
    """The simulator over the database that ``options.settings`` name. ConfigurationError when it cannot be had."""
    settings = options.settings
    database = DrpDatabase.open(settings["dialect"], admin=settings["admin"], connection=settings["connection"])
    books, faults = Books(options.data, ""), Faults(options.seed, options.faults, also=(KILL, REFUSE))
    hub = HubClient(books, faults, hub=options.hub, system=options.system, dress=api_key_dress(options.key))
    planning = Planning(database, ZoneInfo(settings["zone"]), faults)
    return simulator_app(
        options.system,
        books=books,
        faults=faults,
        hub=hub,
        routes=_controls(planning, database),
        tasks=(lambda: _trouble(database, faults),),
    )


def _controls(planning: Planning, database: DrpDatabase) -> list[Route]:
    async def seed(request: Request) -> Any:
        return planning.seed(orjson.loads(await request.body()))

    async def sell(request: Request) -> Any:
        return planning.sell(orjson.loads(await request.body()))

    async def plan(request: Request) -> Any:
        return planning.plan(orjson.loads(await request.body()))

    async def advance(request: Request) -> Any:
        return planning.advance(request.path_params["bill"], orjson.loads(await request.body())["STATUS"])

    async def end_sessions(_: Request) -> Any:
        return {"ended": database.end_reader_sessions()}

    async def drop(_: Request) -> Any:
        database.drop()
        return {}

    return [
        Route("/_seed", _answered(seed), methods=["POST"]),
        Route("/_sales", _answered(sell), methods=["POST"]),
        Route("/_transfers", _answered(plan), methods=["POST"]),
        Route("/_transfers/{bill}", _answered(advance), methods=["PUT"]),
        Route("/_sessions", _answered(end_sessions), methods=["DELETE"]),
        Route("/_database", _answered(drop), methods=["DELETE"]),
    ]


def _answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler's value as JSON, or a refusal in the vendor's words."""

    async def answer(request: Request) -> Response:
        try:
            return json_response(await handler(request))
        except RefusedError as error:
            return json_response({"code": error.status, "msg": error.message}, error.status)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            return json_response({"code": 422, "msg": f"参数错误: {error}"}, 422)
        except HubError as error:
            return json_response({"code": 503, "msg": error.detail}, 503)

    return answer


async def _trouble(database: DrpDatabase, faults: Faults) -> None:
    """What SQL clients suffer: locked tables, logins refused for a moment, connections that break."""
    while True:
        await asyncio.sleep(TICK_S)
        if faults.strikes(Fault.DELAY):
            await asyncio.to_thread(_lock, database, faults.random.uniform(0, MAX_DELAY_S))
        if faults.strikes(REFUSE):
            await asyncio.to_thread(_refuse, database, faults.random.uniform(0, MAX_DELAY_S))
        if faults.strikes(KILL):
            await asyncio.to_thread(database.end_reader_sessions)


def _lock(database: DrpDatabase, seconds: float) -> None:
    with database.locked():
        time.sleep(seconds)


def _refuse(database: DrpDatabase, seconds: float) -> None:
    database.refuse_reader(refuse=True)
    try:
        time.sleep(seconds)
    finally:
        database.refuse_reader(refuse=False)


if __name__ == "__main__":
    started = parse_options("drp", SETTINGS)
    try:
        app = build(started)
    except HubError as error:
        sys.exit(error.detail)
    serve(app, started.system, started.port)
