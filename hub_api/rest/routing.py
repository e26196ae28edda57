"""``/v1/routing``: the rules by which orders are routed, and what others would have done."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from canonical_model.store import rulebooks
from flows.rule_document import MAX_BYTES
from flows.runtime.revisions import MAX_REASON
from hub_api import routing_rules, what_if
from hub_api.rest.corrections import Steward
from hub_api.rest.dependencies import HubOf, Observer
from hub_api.rest.document import refuses
from hub_api.rest.paging import Limit, page
from hub_api.rest.routing_shapes import Published, RulesCheck, RulesHead, RulesState, WhatIf
from hub_api.rest.shapes import Page

router = APIRouter(prefix="/v1/routing", tags=["routing"])

MAX_ORDERS: Final = 2_000
AT_MOST_S: Final = 20.0

Version = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="The version; else the one in force.")]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the page before.")]
Text = Annotated[str, Field(min_length=1, max_length=MAX_BYTES, description="A rulebook: TOML.")]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CheckOrder(_Asked):
    """A rulebook to look at."""

    text: Text


class PublishOrder(CheckOrder):
    """A rulebook to put in force. ``against``: the version that was in force when it was checked, 0 for none."""

    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]
    against: Annotated[int, Field(ge=0, le=2**31 - 1)]


class WhatIfOrder(_Asked):
    """Other rules, and for which recorded orders: the newest ``limit`` that were first routed from ``since`` on and
    before ``until``. ``independent``: no order of the replay takes from the next."""

    rules: Text
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    channel: Annotated[str | None, Field(min_length=1, max_length=120)] = None
    limit: Annotated[int, Field(ge=1, le=MAX_ORDERS)] = 500
    independent: bool = False


@router.get("/rules", response_model=RulesState, responses=refuses(404))
def get_rules(hub: HubOf, access: Observer, version: Version = None) -> Any:
    """The rulebook in force, or another version; version 0 is what a brand without a rulebook has."""
    return routing_rules.rules_state(hub, access, version)


@router.get("/rules/history", response_model=Page[RulesHead])
def list_versions(hub: HubOf, access: Observer, before: Before = None, limit: Limit = 100) -> dict[str, Any]:
    """Every version without its text, newest first."""
    with hub.database.unit() as uow:
        rows = rulebooks.list_rulebooks(uow.connection, access.owner, access.brand, before=before, limit=limit)
    return page([RulesHead.model_validate(row).model_dump() for row in rows], limit, key="version")


@router.post("/rules/check", response_model=RulesCheck)
def check_rules(hub: HubOf, access: Observer, order: CheckOrder) -> Any:
    """What is wrong with a rulebook, and what it would change; nothing is stored."""
    return routing_rules.check_rules(hub, access, order.text)


@router.post("/rules", status_code=201, responses=refuses(409))
def publish_rules(hub: HubOf, access: Steward, order: PublishOrder) -> Published:
    """Put a rulebook in force from the next decision on. The same text again is the same version."""
    version = routing_rules.publish_rules(hub, access, order.text, order.reason, against=order.against)
    return Published(version=version)


@router.post("/what-if", response_model=WhatIf)
def ask_what_if(hub: HubOf, access: Observer, order: WhatIfOrder) -> dict[str, Any]:
    """How recorded orders would ship under other rules; nothing is stored. ``left_out``: what time did not suffice
    for; ``unreadable``: orders whose record cannot be read."""
    asked = what_if.Asked(order.since, order.until, order.channel, order.limit, order.independent)
    return what_if.what_if(hub, access, order.rules, asked, at_most_s=AT_MOST_S).document()
