"""``/v1/traces``: one business message from push to write-back."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from canonical_model.errors import NotFoundError
from flows.runtime import telemetry
from hub_api.rest.dependencies import HubOf, Observer
from hub_api.rest.desk_shapes import Trace

router = APIRouter(prefix="/v1/traces", tags=["traces"])

BRAND: Final = "yipan.brand"

TraceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@router.get("/{trace_id}", response_model=Trace)
def get_trace(hub: HubOf, access: Observer, trace_id: TraceId) -> dict[str, Any]:
    """The spans of one trace, in the order they started. What belongs to another brand does not exist."""
    with hub.database.unit() as uow:
        spans = telemetry.get_trace(uow.connection, trace_id)
    if not spans or any(span.attributes.get(BRAND, access.brand) != access.brand for span in spans):
        raise NotFoundError(f"there is no trace {trace_id}", code="trace.unknown")
    return {"trace_id": trace_id, "spans": spans}
