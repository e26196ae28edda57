"""Putting things right: a quarantined record, the mapping of a stream; and seeing personal values for a reason."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from canonical_model.errors import Issue, RecordError, RejectedError
from flows.runtime.quarantine import Selection
from flows.runtime.revisions import MAX_REASON, MAX_TEXT
from hub_api import corrections, unmasking
from hub_api.auth import Access
from hub_api.corrections import MappingState, Preview, Revision, Trial
from hub_api.rest.dependencies import HubOf, Observer, needs
from hub_api.rest.desk_shapes import Corrected
from hub_api.rest.document import refuses
from hub_api.rest.quarantine import RowIds
from hub_api.rest.runs import RowId
from mappings.paths import member

router = APIRouter(prefix="/v1", tags=["corrections"])

Steward = Annotated[Access, needs("data", "write")]
Unmasker = Annotated[Access, needs("data", "unmask")]
Name = Annotated[str, Path(min_length=1, max_length=60)]
Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON)]
TableText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Correction(_Order):
    """The record as it should have been; ``document`` instead when a whole document could not be read."""

    record: JsonValue = None
    document: str | None = None

    def raw(self) -> bytes | None:
        """The bytes to keep; None when neither is given. RecordError names every value that no record can have."""
        if self.document is not None:
            return self.document.encode("utf-8", "replace")
        if self.record is None:
            return None
        if issues := tuple(_unstorable(self.record)):
            raise RecordError(issues)
        try:
            return orjson.dumps(self.record)
        except TypeError as error:
            raise RecordError([Issue("", "value.unstorable", "nests too deep; flatten it")]) from error


def _unstorable(record: Any) -> Iterator[Issue]:
    """Every place in ``record`` with half a surrogate pair or a number beyond 64 bits."""
    detail = "has a character or size that nothing stored can have; remove it"
    waiting: list[tuple[str, Any]] = [("", record)]
    while waiting:
        place, value = waiting.pop()
        match value:
            case dict():
                waiting += [(member(place, key), inner) for key, inner in reversed(value.items())]
                value = dict.fromkeys(value)
            case list():
                waiting += [(member(place, index), inner) for index, inner in reversed([*enumerate(value)])]
                continue
        try:
            orjson.dumps(value)
        except TypeError:
            yield Issue(place.encode("utf-8", "replace").decode(), "value.unstorable", detail)


class PreviewOrder(Correction):
    """``mapping``: the text of a table to try it with."""

    mapping: TableText | None = None


class TrialOrder(_Order):
    """A table to try, and on which open rows: all of the stream when no criterion is given."""

    text: TableText
    cause: Word | None = None
    message_id: Word | None = None
    ids: RowIds | None = None


class RevisionOrder(_Order):
    """A table to put in force."""

    text: TableText
    reason: Reason


class ActivationOrder(_Order):
    """An earlier revision to put in force again; null is the packaged table."""

    number: Annotated[int, Field(ge=1, le=2**31 - 1)] | None
    reason: Reason


class UnmaskOrder(_Order):
    """Whose values: an order's, member's or quarantine row's id, or ``msg_…:position``."""

    what: Literal["order", "message", "quarantine", "member"]
    id: Word
    reason: Reason


@router.post("/quarantine/{row_id}/preview")
def preview(hub: HubOf, access: Steward, row_id: RowId, order: PreviewOrder) -> Preview:
    """How a record would fare, as it is or corrected; nothing is stored."""
    return corrections.preview(hub, access, row_id, order.raw(), order.mapping)


@router.post("/quarantine/{row_id}/correct", status_code=202, response_model=Corrected, responses=refuses(409))
def correct(hub: HubOf, access: Steward, row_id: RowId, order: Correction) -> dict[str, Any]:
    """Keep the corrected record beside what came, and feed it again."""
    raw = order.raw()
    if raw is None:
        raise RejectedError("give the corrected record, or the document", code="correction.empty")
    return corrections.correct(hub, access, row_id, raw)


@router.get("/mappings/{system}/{stream}")
def get_mapping(hub: HubOf, access: Observer, system: Name, stream: Name) -> MappingState:
    """The table in force for a stream, the packaged one, and every revision."""
    return corrections.mapping_state(hub, access, system, stream)


@router.post("/mappings/{system}/{stream}/try")
def try_mapping(hub: HubOf, access: Steward, system: Name, stream: Name, order: TrialOrder) -> Trial:
    """What a table would change for quarantined and for recent good records; nothing is stored."""
    selection = Selection(access.owner, access.brand, order.ids, None, None, order.cause, order.message_id)
    return corrections.try_mapping(hub, access, system, stream, order.text, selection)


@router.post("/mappings/{system}/{stream}/revisions", status_code=201)
def revise(hub: HubOf, access: Steward, system: Name, stream: Name, order: RevisionOrder) -> Revision:
    """Put a table in force, from the next message on."""
    return corrections.revise_mapping(hub, access, system, stream, order.text, order.reason)


@router.post("/mappings/{system}/{stream}/activate")
def activate(hub: HubOf, access: Steward, system: Name, stream: Name, order: ActivationOrder) -> MappingState:
    """Put an earlier revision, or the packaged table, in force again."""
    return corrections.activate_mapping(hub, access, system, stream, order.number, order.reason)


@router.post("/unmask", responses=refuses(404, 429))
def unmask(hub: HubOf, access: Unmasker, order: UnmaskOrder) -> dict[str, Any]:
    """The personal values of one thing, for a written reason; it is in the audit log."""
    return unmasking.reveal(hub, access, order.what, order.id, order.reason)
