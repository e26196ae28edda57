"""``/v1/audit``: who changed what, for whoever watches the watchers."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from hub_api import audit
from hub_api.audit import AuditFilter
from hub_api.rest.dependencies import Auditor, HubOf
from hub_api.rest.desk_shapes import AuditEntry
from hub_api.rest.paging import Limit, page
from hub_api.rest.shapes import Page

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Word = Annotated[str | None, Query(max_length=200)]
Before = Annotated[int | None, Query(ge=1, le=2**62, description="`next` of the page before.")]


@router.get("", response_model=Page[AuditEntry])
def list_entries(
    hub: HubOf,
    access: Auditor,
    actor: Word = None,
    action: Word = None,
    subject: Word = None,
    before: Before = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Entries of the caller's brand, newest first; each with its hash."""
    wanted = AuditFilter(access.owner, access.brand, actor, action, subject)
    with hub.database.unit() as uow:
        return page(audit.list_entries(uow, wanted, before=before, limit=limit), limit, key="seq")
