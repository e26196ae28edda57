"""What a person does about runs: look, let go on, cancel, settle a write in doubt. Only within their own brand.

What changes something takes the caller's Access, asks for ``ops:write`` whoever calls, and writes the audit log in the
same transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canonical_model.errors import NotFoundError
from flows.runtime import runs
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import audit
from hub_api.auth import Access


def get_run(uow: UnitOfWork, owner: str, brand: str, run_id: int) -> Row:
    """The run's row. NotFoundError if there is none of that id in the brand."""
    row = runs.get_run(uow, run_id)
    if (row["owner"], row["brand"]) != (owner, brand):
        raise NotFoundError(f"there is no run {run_id}", code="run.unknown")
    return row


def read_run(uow: UnitOfWork, owner: str, brand: str, run_id: int) -> dict[str, Any]:
    """The run with its history (every try of every step) and its effects (every outside write)."""
    row = get_run(uow, owner, brand, run_id)
    return {**row, "history": runs.get_history(uow, run_id), "effects": runs.list_effects(uow, run_id)}


def retry(hub: Hub, access: Access, run_id: int, step: str | None) -> dict[str, Any]:
    """Let a parked run go on, or again from an earlier step. Raises NotFoundError, ConflictError."""
    with _changing(hub, access, run_id) as uow:
        runs.retry(uow, run_id, step)
        return _recorded(uow, access, "run.retry", run_id, {"step": step})


def cancel(hub: Hub, access: Access, run_id: int) -> dict[str, Any]:
    """Ask a run to take back what it did. Raises NotFoundError, ConflictError."""
    with _changing(hub, access, run_id) as uow:
        runs.cancel(uow, run_id)
        return _recorded(uow, access, "run.cancel", run_id, {})


def settle(
    hub: Hub, access: Access, run_id: int, effect_id: int, *, landed: bool, outside_id: str | None
) -> dict[str, Any]:
    """Say whether an outside write in doubt landed; its run goes on. Raises NotFoundError, ConflictError."""
    with _changing(hub, access, run_id) as uow:
        if effect_id not in {effect["id"] for effect in runs.list_effects(uow, run_id)}:
            raise NotFoundError(f"run {run_id} has no effect {effect_id}", code="effect.unknown")
        runs.settle_effect(uow, effect_id, landed=landed, outside_id=outside_id)
        return _recorded(uow, access, "effect.settle", run_id, {"effect": effect_id, "landed": landed})


@contextmanager
def _changing(hub: Hub, access: Access, run_id: int) -> Iterator[UnitOfWork]:
    """A unit of work over a run that the caller may change."""
    access.require("ops", "write")
    with hub.database.unit() as uow:
        get_run(uow, access.owner, access.brand, run_id)
        yield uow


def _recorded(uow: UnitOfWork, access: Access, action: str, run_id: int, detail: dict[str, Any]) -> dict[str, Any]:
    row = runs.get_run(uow, run_id)
    audit.record(uow, access, action, f"run:{run_id}", {**detail, "flow": row["flow"]})
    uow.commit()
    return {"run_id": run_id, "state": row["state"]}
