"""What every route asks for: the hub, and a caller whose key reaches far enough."""

from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from canonical_model.errors import AccessError, Issue, RecordError
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.rest.inbox import Inbox

BEARER: Final = "ApiKey"
_BEARER: Final = HTTPBearer(scheme_name=BEARER, auto_error=False, description="An API key: yk_…")


async def get_hub(request: Request) -> Hub:
    """The hub behind this application."""
    hub: Hub = request.app.state.hub
    return hub


HubOf = Annotated[Hub, Depends(get_hub)]


async def get_access(request: Request) -> Access:
    """Who calls. AccessError (401) without a key in force."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise AccessError("send your API key as `Authorization: Bearer yk_…`; `yipan key create` makes one")
    inbox: Inbox = request.app.state.inbox
    return await inbox.authenticate(key.strip())


def refuse_unknown_query(request: Request) -> None:
    """RecordError (422) for a query parameter that the route does not document.

    A misspelt filter that were ignored would answer another question than was asked.
    """
    route: APIRoute = request.scope["route"]
    operation = request.app.openapi()["paths"].get(route.path_format, {}).get(request.method.lower(), {})
    known = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
    if unknown := sorted(request.query_params.keys() - known):
        use = ", ".join(sorted(known)) or "none"
        issues = [Issue(name, "query.unknown", f"there is no parameter {name!r} here; use {use}") for name in unknown]
        raise RecordError(issues)


def needs(operation: str, target: str) -> Any:
    """A dependency: the caller, if a scope covers ``operation:target``; then the query may be wrong."""

    async def allowed(request: Request, _: Annotated[Any, Depends(_BEARER)]) -> Access:
        access = await get_access(request)
        access.require(operation, target)
        refuse_unknown_query(request)
        return access

    return Depends(declared(f"{operation}:{target}", allowed))


def declared(scope: str, endpoint: Any) -> Any:
    """The function, marked with the scope it asks for; a test finds every route whose scope nobody declared."""
    endpoint.needs_scope = scope
    return endpoint


OrdersReader = Annotated[Access, needs("orders", "read")]
OrdersWriter = Annotated[Access, needs("orders", "write")]
StockReader = Annotated[Access, needs("stock", "read")]
Operator = Annotated[Access, needs("ops", "write")]
Observer = Annotated[Access, needs("ops", "read")]
Auditor = Annotated[Access, needs("audit", "read")]
