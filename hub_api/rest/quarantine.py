"""``/v1/quarantine``: records that could not be taken, grouped by cause; fed again or discarded by a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from flows.runtime import quarantine
from flows.runtime.quarantine import Selection
from hub_api import repair
from hub_api.auth import Access
from hub_api.rest.dependencies import HubOf, Observer, Operator
from hub_api.rest.desk_shapes import Causes, Discarded, DryRun, Quarantined, QuarantinedHead, RunStarted
from hub_api.rest.paging import After, Limit, page
from hub_api.rest.shapes import Page

router = APIRouter(prefix="/v1/quarantine", tags=["quarantine"])

RowId = Annotated[int, Path(ge=1, le=2**62)]
RowIds = Annotated[list[Annotated[int, Field(ge=1, le=2**62)]], Field(min_length=1, max_length=10_000)]


class Criteria(BaseModel):
    """Which open rows; every criterion given must hold, and at least one is given."""

    model_config = ConfigDict(extra="forbid")

    ids: RowIds | None = None
    system: str | None = None
    stream: str | None = None
    cause: str | None = None
    message_id: str | None = None

    def selection(self, access: Access) -> Selection:
        """The criteria within the caller's brand."""
        return Selection(access.owner, access.brand, **self.model_dump())


class RefeedOrder(Criteria):
    """Which rows to feed again; ``dry_run`` only tells what would become of them."""

    dry_run: bool = False

    def selection(self, access: Access) -> Selection:
        """The criteria within the caller's brand."""
        return Selection(access.owner, access.brand, **self.model_dump(exclude={"dry_run"}))


@router.get("", response_model=Causes)
def list_causes(
    hub: HubOf,
    access: Observer,
    system: str | None = None,
    stream: str | None = None,
    cause: str | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """Open rows counted by system, stream and cause, the most frequent first."""
    selection = Selection(access.owner, access.brand, None, system, stream, cause, message_id)
    with hub.database.unit() as uow:
        return {"items": quarantine.list_causes(uow.connection, selection)}


@router.get("/records", response_model=Page[QuarantinedHead])
def list_records(
    hub: HubOf,
    access: Observer,
    system: str | None = None,
    stream: str | None = None,
    cause: str | None = None,
    message_id: str | None = None,
    state: Literal["open", "accepted", "discarded", "erased"] = "open",
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Rows without their raw value, oldest first."""
    selection = Selection(access.owner, access.brand, None, system, stream, cause, message_id)
    with hub.database.unit() as uow:
        rows = quarantine.list_rows(uow.connection, selection, state=state, after=after, limit=limit)
    return page(rows, limit)


@router.get("/{row_id:int}", response_model=Quarantined)
def get_record(hub: HubOf, access: Observer, row_id: RowId) -> dict[str, Any]:
    """One row with its raw value; personal fields are masked."""
    with hub.database.unit() as uow:
        return repair.read_quarantined(uow, access.owner, access.brand, row_id)


@router.post("/refeed", status_code=202, response_model=RunStarted | DryRun)
def refeed(hub: HubOf, access: Operator, order: RefeedOrder) -> dict[str, Any]:
    """Feed rows again with the mapping as it is now."""
    return repair.refeed(hub, access, order.selection(access), dry_run=order.dry_run)


@router.post("/{row_id}/refeed", status_code=202, response_model=RunStarted | DryRun)
def refeed_one(hub: HubOf, access: Operator, row_id: RowId, dry_run: bool = False) -> dict[str, Any]:
    """Feed one row again."""
    with hub.database.unit() as uow:
        quarantine.get(uow.connection, access.owner, access.brand, row_id)
    return repair.refeed(hub, access, Selection(access.owner, access.brand, [row_id]), dry_run=dry_run)


@router.post("/discard", response_model=Discarded)
def discard(hub: HubOf, access: Operator, criteria: Criteria) -> dict[str, Any]:
    """End rows for good."""
    return repair.discard(hub, access, criteria.selection(access))


@router.post("/{row_id}/discard", response_model=Discarded)
def discard_one(hub: HubOf, access: Operator, row_id: RowId) -> dict[str, Any]:
    """End one row for good."""
    return repair.discard(hub, access, Selection(access.owner, access.brand, [row_id]))
