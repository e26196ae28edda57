"""What a person does about records that went wrong: look, feed again, discard, replay a whole message."""

import secrets
from typing import Any, Final

import orjson

from canonical_model.errors import AccessError, RejectedError
from flows.ingest.refeed import feed_open, start_refeed
from flows.runtime import quarantine
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.inbox import INGEST_FLOW
from flows.runtime.quarantine import Selection
from flows.runtime.runs import start_runs
from flows.runtime.sealing import Sealed
from hub_api import audit
from hub_api.auth import Access
from hub_api.masking import hide_undeclared, mask_fields
from hub_api.messages import get_message

MAX_IDS_NAMED: Final = 100


def read_quarantined(uow: UnitOfWork, owner: str, brand: str, row_id: int) -> dict[str, Any]:
    """One row with its raw value as text; personal fields masked, None when it was erased."""
    row = quarantine.get(uow.connection, owner, brand, row_id)
    return {key: value for key, value in row.items() if key != "key_id"} | {"raw": _raw_text(uow, row)}


def refeed(hub: Hub, access: Access, selection: Selection, *, dry_run: bool) -> dict[str, Any]:
    """Start a run that feeds the selected open rows again: ``{"run_id"}``.

    ``dry_run`` changes nothing and tells how the first rows would fare: ``{"fed", "accepted", "more"}``.
    RejectedError when no criterion is given; AccessError when the rows are another brand's.
    """
    _check(access, selection)
    with hub.database.unit() as uow:
        if dry_run:
            report = feed_open(uow, selection, dry_run=True)
            return {"dry_run": True, "fed": report.fed, "accepted": report.accepted, "more": report.more}
        key = f"asked:{secrets.token_hex(8)}"
        run_id = start_refeed(uow, owner=selection.owner, brand=selection.brand, key=key, selection=selection)
        audit.record(uow, access, "quarantine.refeed", f"run:{run_id}", _named(selection))
        uow.commit()
    return {"run_id": run_id}


def discard(hub: Hub, access: Access, selection: Selection) -> dict[str, Any]:
    """End the selected open rows for good: ``{"discarded"}``. Raises as ``refeed``."""
    _check(access, selection)
    with hub.database.unit() as uow:
        count = quarantine.discard(uow.connection, selection)
        audit.record(uow, access, "quarantine.discard", "quarantine", {**_named(selection), "discarded": count})
        uow.commit()
    return {"discarded": count}


def replay(hub: Hub, access: Access, message_id: str) -> dict[str, Any]:
    """Ingest a stored message once more with the mapping as it is now: ``{"run_id"}``. NotFoundError if unknown."""
    access.require("ops", "write")
    with hub.database.unit() as uow:
        message = get_message(uow, access.owner, access.brand, message_id)
        start = Start(
            flow=INGEST_FLOW,
            owner=access.owner,
            brand=access.brand,
            key=f"{message_id}:{secrets.token_hex(4)}",
            input={"message_id": message_id},
            traceparent=message["traceparent"],
        )
        (started,) = start_runs(uow, [start])
        audit.record(uow, access, "message.replay", f"message:{message_id}", {"run": started.run_id})
        uow.commit()
    return {"run_id": started.run_id}


def _check(access: Access, selection: Selection) -> None:
    access.require("ops", "write")
    if (selection.owner, selection.brand) != (access.owner, access.brand):
        raise AccessError("these records belong to another brand", code="access.brand")
    if not any((selection.ids, selection.system, selection.stream, selection.cause, selection.message_id)):
        raise RejectedError("name at least one of ids, system, stream, cause, message_id", code="selection.empty")


def _named(selection: Selection) -> dict[str, Any]:
    """The criteria for the audit log; of many ids the first, and how many there are."""
    criteria = {name: getattr(selection, name) for name in ("system", "stream", "cause", "message_id")}
    named: dict[str, Any] = {name: value for name, value in criteria.items() if value is not None}
    if selection.ids:
        named |= {"ids": list(selection.ids[:MAX_IDS_NAMED]), "records": len(selection.ids)}
    return named


def _raw_text(uow: UnitOfWork, row: dict[str, Any]) -> str | None:
    if row["key_id"] is None:
        return quarantine.read_raw(row).decode("utf-8", "replace")
    (plain,) = uow.services.vault.open_many(uow.connection, [Sealed(row["key_id"], row["raw"])])
    if plain is None:
        return None
    stream = uow.services.estate.stream(row["system"], row["stream"])
    schema = uow.services.estate.connector(row["system"]).schemas[stream.name]
    return orjson.dumps(hide_undeclared(mask_fields(orjson.loads(plain), stream.personal), schema)).decode()
