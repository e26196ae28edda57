"""``/v1/systems``: the connected systems, what comes from them and what goes to them; pause and resume."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from hub_api import estate_view
from hub_api.auth import Access
from hub_api.estate_view import SystemState
from hub_api.rest.dependencies import HubOf, Observer, needs
from hub_api.rest.document import refuses

router = APIRouter(prefix="/v1/systems", tags=["systems"])

SystemName = Annotated[str, Path(min_length=1, max_length=60)]
Switcher = Annotated[Access, needs("estate", "write")]


class Systems(BaseModel):
    """Every system of the caller's brand."""

    items: list[SystemState]


@router.get("")
def list_systems(hub: HubOf, access: Observer) -> Systems:
    """Systems with their streams, lanes, backlog and last error."""
    return Systems(items=estate_view.systems(hub, access))


@router.get("/{name}")
def get_system(hub: HubOf, access: Observer, name: SystemName) -> SystemState:
    """One system."""
    return estate_view.system(hub, access, name)


@router.post("/{name}/pause", responses=refuses(409))
def pause(hub: HubOf, access: Switcher, name: SystemName) -> SystemState:
    """Send nothing more to it, from any process; calls under way are finished. What it sends is still taken."""
    return estate_view.pause_system(hub, access, name)


@router.post("/{name}/resume", responses=refuses(409))
def resume(hub: HubOf, access: Switcher, name: SystemName) -> SystemState:
    """Send to it again, at once."""
    return estate_view.resume_system(hub, access, name)
