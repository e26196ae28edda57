"""``/v1/points``: earn, spend and exchange points; what members have, and why; what people put right."""

from datetime import datetime
from typing import Annotated, Any, Final

import anyio
import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel
from starlette.responses import Response

from canonical_model.errors import Issue, RecordError
from flows.points import requests
from flows.points.earning import EarnLine
from hub_api import points, points_quotes, points_rules, points_views
from hub_api.auth import Access
from hub_api.rest import points_orders as orders
from hub_api.rest import points_shapes as shapes
from hub_api.rest.dependencies import HubOf, needs
from hub_api.rest.document import refuses
from hub_api.rest.intake import JSON, POLL_S
from hub_api.rest.paging import After, Limit, page
from hub_api.rest.problems import answer as refusal_answer
from hub_api.rest.routing_shapes import Published
from hub_api.rest.shapes import Page

router = APIRouter(prefix="/v1/points", tags=["points"])

Reader = Annotated[Access, needs("points", "read")]
Writer = Annotated[Access, needs("points", "write")]
Adjuster = Annotated[Access, needs("points", "adjust")]
RuleMaker = Annotated[Access, needs("points", "rules")]


def _of_our_time(value: datetime) -> datetime:
    if not 1900 < value.year < 2200:
        raise ValueError("this is not of our time; correct the date")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_time)]
Member = Annotated[str, Path(min_length=1, max_length=180, description="Our id, or `system:code` such as `crm:C1`.")]
Programme = Annotated[str, Query(min_length=1, max_length=120, description="`brand/code`, or an outside unit's code.")]
Word = Annotated[str | None, Query(min_length=1, max_length=200)]
RowId = Annotated[int, Path(ge=1, le=2**62)]
Version = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="The version; else the one in force.")]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the page before.")]
Wait = Annotated[bool, Query(description="Answer when it is done or refused.")]
At = Annotated[Moment | None, Query(description="At that time instead of now, with an offset.")]
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": shapes.Deed, "description": "Done; what came of it."},
    202: {"model": shapes.Deed, "description": "Taken; it is carried out whatever happens."},
    **refuses(404, 409),
}


@router.get("/programmes", response_model=shapes.Programmes)
def list_programmes(hub: HubOf, access: Reader, at: At = None) -> dict[str, Any]:
    """The group's programmes with what they earn, are worth and exchange into, by the rules of today."""
    return {"items": points_views.list_programmes(hub, access, at=at)}


@router.get("/rules", response_model=shapes.PointsRulesState, responses=refuses(404))
def get_rules(hub: HubOf, access: Reader, version: Version = None) -> Any:
    """The rulebook in force, or another version; version 0 is what a group without a rulebook has."""
    return points_rules.rules_state(hub, access, version)


@router.get("/rules/history", response_model=Page[shapes.PointsRulesHead])
def list_versions(hub: HubOf, access: Reader, before: Before = None, limit: Limit = 100) -> dict[str, Any]:
    """Every version without its text, newest first."""
    rows = points_rules.list_versions(hub, access, before=before, limit=limit)
    return page([shapes.PointsRulesHead.model_validate(row).model_dump() for row in rows], limit, key="version")


@router.post("/rules/check", response_model=shapes.PointsRulesCheck)
def check_rules(hub: HubOf, access: Reader, order: orders.RulesCheckOrder) -> Any:
    """What is wrong with a rulebook, and which lines it would change; nothing is stored."""
    return points_rules.check_rules(hub, access, order.text)


@router.post("/rules", status_code=201, responses=refuses(409))
def publish_rules(hub: HubOf, access: RuleMaker, order: orders.RulesOrder) -> Published:
    """Put a rulebook in force. The same text again is the same version; nobody changes another brand's programmes."""
    return Published(version=points_rules.publish(hub, access, order.text, order.note, against=order.against))


@router.post("/quotes/earn", response_model=shapes.EarnQuote, responses=refuses(404))
def quote_earn(hub: HubOf, access: Reader, order: orders.EarnQuoteOrder) -> dict[str, Any]:
    """What a sale would earn; nothing is stored."""
    lines = [EarnLine(line.line_no, line.sku, line.quantity, line.amount_minor) for line in order.lines]
    if len({line.line_no for line in lines}) != len(lines):
        raise RecordError([Issue("lines", "points.invalid", "line numbers repeat; give every line its own line_no")])
    return points_quotes.earn(
        hub,
        access,
        programme=order.programme,
        lines=lines,
        holder=order.holder,
        channel=order.channel,
        happened_at=order.happened_at,
    )


@router.post("/quotes/spend", response_model=shapes.SpendQuote, responses=refuses(404))
def quote_spend(hub: HubOf, access: Reader, order: orders.SpendQuoteOrder) -> dict[str, Any]:
    """What points of a member would pay of an amount; nothing is stored."""
    return points_quotes.spend(hub, access, **order.model_dump())


@router.post("/quotes/exchange", response_model=shapes.ExchangeQuote)
def quote_exchange(hub: HubOf, access: Reader, order: orders.ExchangeQuoteOrder) -> dict[str, Any]:
    """What points would become at the rate of the day; nothing is stored."""
    return points_quotes.exchange(hub, access, **order.model_dump())


@router.post("/earns", status_code=202, responses=ANSWERS)
async def earn(request: Request, access: Writer, order: requests.Earn, wait: Wait = False) -> Response:
    """A sale earns points by the rules of its day, once for each programme, channel, order number and part."""
    return await _ask(request, access, "earn", order, wait=wait)


@router.post("/returns", status_code=202, responses=ANSWERS)
async def take_back(request: Request, access: Writer, order: requests.ClawBack, wait: Wait = False) -> Response:
    """What came back of a sale takes back what it had earned, once for each return number."""
    return await _ask(request, access, "return", order, wait=wait)


@router.post("/spends", status_code=202, responses=ANSWERS)
async def spend(request: Request, access: Writer, order: requests.Spend, wait: Wait = False) -> Response:
    """Goods of a supplier for points and cash, once for each order number: all of it, or nothing (409)."""
    return await _ask(request, access, "spend", order, wait=wait)


@router.post("/refunds", status_code=202, responses=ANSWERS)
async def refund(request: Request, access: Writer, order: requests.Refund, wait: Wait = False) -> Response:
    """Points of a spend given back to the lots they came from, once for each refund number."""
    return await _ask(request, access, "refund", order, wait=wait)


@router.post("/exchanges", status_code=202, responses=ANSWERS)
async def exchange(request: Request, access: Writer, order: requests.Exchange, wait: Wait = False) -> Response:
    """Points into another programme or an outside unit, or back, once for each exchange number."""
    return await _ask(request, access, "exchange", order, wait=wait)


@router.get("/members/{member}", response_model=shapes.MemberPoints)
def get_member(hub: HubOf, access: Reader, member: Member, at: At = None) -> dict[str, Any]:
    """What a member has of each programme; ``at`` decides what is due and which level holds."""
    return points_views.read_member(hub, access, member, at=at)


@router.get("/members/{member}/lots", response_model=shapes.Lots)
def list_lots(
    hub: HubOf,
    access: Reader,
    member: Member,
    programme: Programme,
    open_only: Annotated[bool, Query(alias="open", description="Only those with points left.")] = True,
    limit: Limit = 500,
) -> dict[str, Any]:
    """The lots of a member, in the order in which they are spent."""
    return points_views.read_lots(hub, access, member, programme, open_only=open_only, limit=limit)


@router.get("/members/{member}/journal", response_model=shapes.JournalPage)
def list_journal(
    hub: HubOf, access: Reader, member: Member, kind: Word = None, after: After | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """What moved a member's points, newest first, and the lots that it filled or emptied."""
    return points_views.read_journal(hub, access, member, kind=kind, after=after, limit=limit)


@router.get("/members/{member}/as-of", response_model=shapes.AsOf)
def get_as_of(
    hub: HubOf,
    access: Reader,
    member: Member,
    programme: Programme,
    happened: Annotated[Moment | None, Query(description="What had happened by then.")] = None,
    recorded: Annotated[Moment | None, Query(description="As far as it was recorded by then.")] = None,
) -> dict[str, Any]:
    """What a member had at a time, as it was known at another."""
    return points_views.read_as_of(hub, access, member, programme, happened=happened, recorded=recorded)


@router.get("/members/{member}/why", response_model=shapes.Why)
def get_why(
    hub: HubOf,
    access: Reader,
    member: Member,
    programme: Programme,
    since: Annotated[Moment | None, Query(description="What was recorded since then; a day ago.")] = None,
) -> dict[str, Any]:
    """Why a balance is as it is: its lots and where their points went, and why it was another before."""
    return points_views.read_why(hub, access, member, programme, since=since)


@router.get("/transfers", response_model=shapes.TransferPage)
def list_transfers(
    hub: HubOf,
    access: Reader,
    reference: Word = None,
    kind: Word = None,
    after: After | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """The brand's transfers, newest first; ``reference`` is an order's number. Not for a channel's key."""
    return points_views.list_transfers(hub, access, reference=reference, kind=kind, after=after, limit=limit)


@router.get("/transfers/{transfer_id}", response_model=shapes.Transfer)
def get_transfer(hub: HubOf, access: Reader, transfer_id: RowId) -> dict[str, Any]:
    """A transfer with its postings, lots and reversals. Not for a channel's key."""
    return points_views.read_transfer(hub, access, transfer_id)


@router.get("/issuers", response_model=shapes.Issuers)
def list_issuers(hub: HubOf, access: Reader) -> dict[str, Any]:
    """Who bears the points of the brand's programmes, and what became of them. Not for a channel's key."""
    return {"items": points_views.list_issuers(hub, access)}


@router.get("/due", response_model=shapes.Due)
def list_due(hub: HubOf, access: Reader) -> dict[str, Any]:
    """Points of the brand's programmes by the month in which they go. Not for a channel's key."""
    return {"items": points_views.list_due(hub, access)}


@router.get("/proofs", response_model=shapes.Proofs)
def get_proofs(hub: HubOf, access: Reader) -> dict[str, Any]:
    """How far the journal is sealed, and when the books were last verified. Not for a channel's key."""
    return points_views.read_proofs(hub, access)


@router.post("/adjustments", response_model=shapes.Adjusted, responses=refuses(404, 409))
def adjust(hub: HubOf, access: Adjuster, order: orders.AdjustOrder) -> dict[str, Any]:
    """Give a member points, or take some, by hand; audited with its reason."""
    return points.adjust(
        hub,
        access,
        number=order.adjustment_no,
        programme=order.programme,
        holder=order.holder,
        points=order.points,
        reason=order.reason,
    )


@router.post("/merges", response_model=shapes.Merged, responses=refuses(404, 409))
def merge(hub: HubOf, access: Adjuster, order: orders.MergeOrder) -> dict[str, Any]:
    """Let two members spend from one wallet; audited with its reason. No points are moved."""
    return points.merge(hub, access, number=order.merge_no, kept=order.kept, merged=order.merged, reason=order.reason)


@router.delete("/merges/{merge_id}", response_model=shapes.Unmerged)
def unmerge(hub: HubOf, access: Adjuster, merge_id: RowId) -> dict[str, Any]:
    """Give each a wallet of their own again, with what is left of their own lots; audited."""
    return points.unmerge(hub, access, merge_id)


async def _ask(request: Request, access: Access, deed: str, order: BaseModel, *, wait: bool) -> Response:
    """Start it; with ``wait`` carry it on here, or wait while a worker does, for ``wait_s`` at most.

    200 when it is done, 202 while it is under way or a person looks at it, 409 when it was refused.
    """
    hub = request.app.state.hub
    body = order.model_dump(mode="json", by_alias=True)
    told = await run_sync(points.ask, hub, access, deed, body)
    if wait and not points.is_over(told):
        told = await _carried_out(hub, access, told)
    if (refused := points.refusal(told)) is not None:
        return refusal_answer(refused)
    status = 200 if told["state"] == "done" else 202
    return Response(orjson.dumps(shapes.Deed(**told).model_dump()), status, media_type=JSON)


async def _carried_out(hub: Any, access: Access, told: dict[str, Any]) -> dict[str, Any]:
    deadline = anyio.current_time() + hub.settings.wait_s
    with anyio.move_on_after(hub.settings.wait_s):
        await run_sync(hub.runner.run_now, told["run_id"], abandon_on_cancel=True)
    while True:
        found = await run_sync(points.read_outcome, hub, access, told["run_id"])
        if points.is_over(found) or anyio.current_time() >= deadline:
            return {**found, "repeated": told["repeated"]}
        await anyio.sleep(POLL_S)
