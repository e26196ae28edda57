"""``/v1/runs``: the durable runs of flows, and what a person may do with one that is stuck."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from flows.runtime import runs
from flows.runtime.runs import RunFilter
from hub_api import operations
from hub_api.rest.dependencies import HubOf, Observer, Operator
from hub_api.rest.desk_shapes import Run, RunNow, RunState, WholeRun
from hub_api.rest.document import refuses
from hub_api.rest.paging import After, Limit, page
from hub_api.rest.shapes import Page

router = APIRouter(prefix="/v1/runs", tags=["runs"])

RowId = Annotated[int, Path(ge=1, le=2**62)]


class RetryOrder(BaseModel):
    """``step``: go on again from this earlier step; where it stopped when left out."""

    model_config = ConfigDict(extra="forbid")

    step: Annotated[str, Field(min_length=1, max_length=120)] | None = None


class Verdict(BaseModel):
    """What a person found out about a write in doubt. ``outside_id``: the destination's number of what landed."""

    model_config = ConfigDict(extra="forbid")

    landed: bool
    outside_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


@router.get("", response_model=Page[Run])
def list_runs(
    hub: HubOf,
    access: Observer,
    flow: str | None = None,
    state: RunState | None = None,
    key: str | None = None,
    parent_id: After | None = None,
    error_code: str | None = None,
    after: After | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Runs, newest first."""
    wanted = RunFilter(access.owner, access.brand, flow, state, key, parent_id, error_code)
    with hub.database.unit() as uow:
        return page(runs.list_runs(uow, wanted, after=after, limit=limit), limit)


@router.get("/{run_id}", response_model=WholeRun)
def get_run(hub: HubOf, access: Observer, run_id: RowId) -> dict[str, Any]:
    """One run with every try of every step and every outside write."""
    with hub.database.unit() as uow:
        return operations.read_run(uow, access.owner, access.brand, run_id)


@router.post("/{run_id}/retry", status_code=202, response_model=RunNow, responses=refuses(409))
def retry(hub: HubOf, access: Operator, run_id: RowId, order: RetryOrder | None = None) -> dict[str, Any]:
    """Let a parked run go on."""
    return operations.retry(hub, access, run_id, order.step if order else None)


@router.post("/{run_id}/cancel", status_code=202, response_model=RunNow, responses=refuses(409))
def cancel(hub: HubOf, access: Operator, run_id: RowId) -> dict[str, Any]:
    """Ask a run to stop and take back what it did."""
    return operations.cancel(hub, access, run_id)


@router.post("/{run_id}/effects/{effect_id}/settle", status_code=202, response_model=RunNow, responses=refuses(409))
def settle(hub: HubOf, access: Operator, run_id: RowId, effect_id: RowId, verdict: Verdict) -> dict[str, Any]:
    """Say whether a write in doubt landed."""
    return operations.settle(hub, access, run_id, effect_id, landed=verdict.landed, outside_id=verdict.outside_id)
