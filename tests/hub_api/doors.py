"""Finds every address that an application answers at, whoever put it there: included, mounted or hidden."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount

PARTS: Final = {
    "system": "pos",
    "name": "pos",
    "stream": "sales",
    "channel": "shop",
    "order_no": "M1",
    "message_id": "msg_1",
    "trace_id": "0" * 32,
    "kind": "order",
}
ANY_NUMBER: Final = "1"


@dataclass(frozen=True, slots=True, order=True)
class Door:
    """One method at one address. ``scope``: what its route declares to need, if it declares anything."""

    method: str
    template: str
    scope: str | None = None

    @property
    def name(self) -> str:
        """As the tables of the tests write it: ``GET /v1/orders/{order_id}``."""
        return f"{self.method} {self.template}"

    @property
    def path(self) -> str:
        """An address of that template; whether something is there makes no difference to who may ask."""
        return re.sub(r"{(\w+)(?::\w+)?}", lambda part: PARTS.get(part[1], ANY_NUMBER), self.template)


def walk(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Door]:
    """Every door behind the routes. HEAD goes with GET."""
    for found in iter_route_contexts(list(routes)):
        if isinstance(found.original_route, Mount):
            yield from walk(found.original_route.routes, prefix + found.original_route.path)
            continue
        template = found.path
        assert template is not None, f"a route of a kind that nobody taught this walk: {found.original_route!r}"
        for method in sorted((found.methods or {"GET"}) - {"HEAD"}):
            yield Door(method, prefix + template, _declared(getattr(found, "dependant", None)))


def _declared(dependant: Dependant | None) -> str | None:
    if dependant is None:
        return None
    scope: Any = getattr(dependant.call, "needs_scope", None)
    inner = (_declared(one) for one in dependant.dependencies)
    return scope or next((found for found in inner if found), None)
