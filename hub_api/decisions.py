"""Why an order ships from where it does, and what other rules would have made of it. Needs ``ops:read``.

Nothing here tells more of the buyer than the area they live in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from canonical_model.errors import NotFoundError
from canonical_model.store import decisions
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.record import Names, Record, explain, unpack
from flows.one_stock.routing.rulebook import DEFAULT, Rulebook, Rules
from flows.one_stock.rulebooks import get_rulebook
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from hub_api import orders
from hub_api.auth import Access

AREA_DIGITS: Final = 1
MOST_NODES: Final = 50_000
MOST_ITERATIONS: Final = 500
MOST_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a place is, and what it is."""

    name: str
    kind: str
    lat: float | None
    lon: float | None


@dataclass(frozen=True, slots=True)
class OrderDecisions:
    """Every decision about an order, by round, as ``explain`` tells it; the places in them by code.

    ``area``: latitude and longitude of the buyer's area, to about ten kilometres; None where it is not known.
    """

    order_id: int
    channel: str
    order_no: str
    status: str
    rounds: Sequence[Mapping[str, Any]]
    spots: Mapping[str, Spot]
    area: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Tried:
    """One decision as it was made, and as other rules make it from the same stock, places and distances.

    Both are told as ``explain`` does, and priced by the rules of the decision, so that costs compare. ``version`` of
    the other rules: None where they are not published, 0 for the built-in ones.
    """

    round: int
    version: int | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def order_decisions(hub: Hub, access: Access, order_id: int) -> OrderDecisions:
    """Every round of an order; none when it was never routed.

    NotFoundError outside the caller's brand; AccessError for a caller that speaks for a channel.
    """
    access.require("ops", "read")
    orders.refuse_channels(access)
    with hub.database.unit() as uow:
        order = orders.read_order(uow, access, order_id)
        rounds = orders.read_decisions(uow, access, order_id)
        codes = {place["place"] for told in rounds for line in told["lines"] for place in line["places"]}
        spots = _spots(uow, access, codes)
        (where,) = uow.execute("SELECT lat, lon FROM sales_order WHERE id = %s", (order_id,)).fetchall()
    return OrderDecisions(
        order_id=order_id,
        channel=order["channel"],
        order_no=order["order_no"],
        status=order["status"],
        rounds=rounds,
        spots=spots,
        area=None if where["lat"] is None else (round(where["lat"], AREA_DIGITS), round(where["lon"], AREA_DIGITS)),
    )


def try_version(hub: Hub, access: Access, order_id: int, version: int, *, round_no: int | None = None) -> Tried:
    """The decision of a round (the last one) beside what a published version of the rules would decide; 0 is the
    built-in one. NotFoundError (``rules.unknown``, ``decision.unknown``)."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        book = get_rulebook(uow.connection, access.owner, access.brand, version) if version else DEFAULT
        return _tried(uow, access, order_id, book, version, round_no)


def try_text(hub: Hub, access: Access, order_id: int, text: str, *, round_no: int | None = None) -> Tried:
    """The same with rules that nobody published. RecordError lists everything that is wrong with them."""
    access.require("ops", "read")
    book = Rulebook(text)
    with hub.database.unit() as uow:
        return _tried(uow, access, order_id, book, None, round_no)


def bounded(rules: Rules) -> Rules:
    """The same rules, searching no longer than somebody who only asks may keep a machine busy."""
    budget = rules.budget
    least = {
        "nodes": min(budget.nodes, MOST_NODES),
        "iterations": min(budget.iterations, MOST_ITERATIONS),
        "emergency_ms": min(budget.emergency_ms, MOST_MS),
    }
    return rules.model_copy(update={"budget": budget.model_copy(update=least)})


def _tried(
    uow: UnitOfWork, access: Access, order_id: int, book: Rulebook, version: int | None, round_no: int | None
) -> Tried:
    orders.refuse_channels(access)
    orders.read_order(uow, access, order_id)
    rows = decisions.list_decisions(uow.connection, access.owner, access.brand, order_id)
    row = next((each for each in reversed(rows) if round_no in (None, each.round)), None)
    if row is None:
        raise NotFoundError(f"order {order_id} has no such decision", code="decision.unknown")
    record = unpack(row.record)
    rules = bounded(book.rules(record.channel))
    other = Record(record.problem, rules, book.version, record.channel, decide(record.problem, rules))
    names = _names(uow, access, record)
    return Tried(row.round, version, explain(record, names), _priced(explain(other, names), record.rules))


def _priced(told: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """The decision with its parcels priced by ``rules``."""
    for parcel in told["parcels"]:
        km = rules.unknown_km if parcel["km"] is None else parcel["km"]
        parcel["cost"] = rules.parcel_cost + rules.per_km * km
    return {**told, "cost": sum(parcel["cost"] for parcel in told["parcels"])}


def _names(uow: UnitOfWork, access: Access, record: Record) -> Names:
    place_ids = [place.id for place in record.problem.places]
    sku_ids = sorted({part.sku_id for item in record.problem.items for part in item.parts})
    return Names(*decisions.list_names(uow.connection, access.owner, access.brand, place_ids, sku_ids))


def _spots(uow: UnitOfWork, access: Access, codes: set[str]) -> dict[str, Spot]:
    rows = uow.execute(
        "SELECT code, name, kind, lat, lon FROM location WHERE owner = %s AND brand = %s AND code = ANY (%s)",
        (access.owner, access.brand, sorted(codes)),
    )
    return {row["code"]: Spot(row["name"], row["kind"], row["lat"], row["lon"]) for row in rows}
