"""``/v1/members``: members as their sources know them, masked, and their points entries."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from hub_api import members
from hub_api.auth import Access
from hub_api.rest.dependencies import HubOf, needs
from hub_api.rest.paging import After, Limit, page
from hub_api.rest.shapes import Member, MemberWithPoints, Page

router = APIRouter(prefix="/v1/members", tags=["members"])

MembersReader = Annotated[Access, needs("members", "read")]
MemberId = Annotated[int, Path(ge=1, le=2**62)]
CodeFilter = Annotated[str | None, Query(max_length=120)]


class ByMobile(BaseModel):
    """Whom to find. A number belongs in a body: addresses end up in logs."""

    model_config = ConfigDict(extra="forbid")
    mobile: Annotated[str, Field(min_length=1, max_length=40)]


@router.get("", response_model=Page[Member], response_model_exclude_unset=True)
def list_members(
    hub: HubOf,
    access: MembersReader,
    system: CodeFilter = None,
    code: CodeFilter = None,
    after: After = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Members, oldest first; ``code`` also finds the one who had it before."""
    with hub.database.unit() as uow:
        rows = members.list_members(uow, access, system=system, code=code, after=after, limit=limit)
    return page(rows, limit)


@router.post("/find", response_model=Page[Member], response_model_exclude_unset=True)
def find_members(
    hub: HubOf, access: MembersReader, wanted: ByMobile, after: After = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Members with this mobile number, however either is written: ``+86 138-0013-8000`` is ``13800138000``."""
    with hub.database.unit() as uow:
        rows = members.list_members(uow, access, mobile=wanted.mobile, after=after, limit=limit)
    return page(rows, limit)


@router.get("/{member_id:int}", response_model=MemberWithPoints, response_model_exclude_unset=True)
def get_member(hub: HubOf, access: MembersReader, member_id: MemberId) -> dict[str, Any]:
    """One member, masked, with the newest points entries."""
    with hub.database.unit() as uow:
        return members.read_member(uow, access, member_id)
