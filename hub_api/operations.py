"""What a person does about runs: look, let go on, cancel, settle a write in doubt. Only within their own brand."""

from typing import Any

from canonical_model.errors import NotFoundError
from flows.runtime import runs
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork


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


def retry(hub: Hub, owner: str, brand: str, run_id: int, step: str | None) -> dict[str, Any]:
    """Let a parked run go on, or again from an earlier step. Raises NotFoundError, ConflictError."""
    with hub.database.unit() as uow:
        get_run(uow, owner, brand, run_id)
        runs.retry(uow, run_id, step)
        return _committed(uow, run_id)


def cancel(hub: Hub, owner: str, brand: str, run_id: int) -> dict[str, Any]:
    """Ask a run to take back what it did. Raises NotFoundError, ConflictError."""
    with hub.database.unit() as uow:
        get_run(uow, owner, brand, run_id)
        runs.cancel(uow, run_id)
        return _committed(uow, run_id)


def settle(
    hub: Hub, owner: str, brand: str, run_id: int, effect_id: int, *, landed: bool, outside_id: str | None
) -> dict[str, Any]:
    """Say whether an outside write in doubt landed; its run goes on. Raises NotFoundError, ConflictError."""
    with hub.database.unit() as uow:
        get_run(uow, owner, brand, run_id)
        if effect_id not in {effect["id"] for effect in runs.list_effects(uow, run_id)}:
            raise NotFoundError(f"run {run_id} has no effect {effect_id}", code="effect.unknown")
        runs.settle_effect(uow, effect_id, landed=landed, outside_id=outside_id)
        return _committed(uow, run_id)


def _committed(uow: UnitOfWork, run_id: int) -> dict[str, Any]:
    row = runs.get_run(uow, run_id)
    uow.commit()
    return {"run_id": run_id, "state": row["state"]}
