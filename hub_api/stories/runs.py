"""Runs as told in stories: every try of every step, every outside write, and what a person may do."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from canonical_model.errors import ConfigurationError
from flows.runtime import runs
from flows.runtime.database import Row, UnitOfWork
from hub_api.auth import Access
from hub_api.stories.shapes import EffectStory, RunStory, StepStory, url_of

MAX_STEPS: Final = 200
MAX_EFFECTS: Final = 100
MAX_RUNS: Final = 50
IN_DOUBT: Final = ("in_doubt", "intended")
_RUN_FIELDS: Final = (
    *("id", "flow", "version", "business_key", "state", "direction", "position", "lane", "attempt", "outcome"),
    *("waiting_for", "wake_at", "deadline", "cancel_requested", "parent_id", "error", "created_at", "updated_at"),
)
_STEP_FIELDS: Final = ("step", "direction", "attempt", "outcome", "started_at", "ended_at", "result", "error")
_EFFECT_FIELDS: Final = (
    *("id", "run_id", "step", "system", "writer", "key", "state", "attempts"),
    *("outside_id", "answer", "error", "intended_at", "settled_at"),
)


def tell_runs(uow: UnitOfWork, access: Access, rows: Sequence[Row]) -> list[RunStory]:
    """The runs of those ``flow_run`` rows, in the same order, at most MAX_RUNS; of each the latest MAX_STEPS tries and
    MAX_EFFECTS writes."""
    rows = rows[:MAX_RUNS]
    ids = [row["id"] for row in rows]
    steps = _latest(uow, "flow_step", ids, MAX_STEPS)
    effects = _latest(uow, "effect", ids, MAX_EFFECTS)
    return [_tell(uow, row, steps[row["id"]], effects[row["id"]]) for row in rows]


def family(uow: UnitOfWork, access: Access, rows: Sequence[Row]) -> list[Row]:
    """The runs and their children, children after their parents, at most MAX_RUNS."""
    children = uow.execute(
        "SELECT * FROM flow_run WHERE parent_id = ANY(%s) AND owner = %s AND brand = %s ORDER BY id LIMIT %s",
        ([row["id"] for row in rows], access.owner, access.brand, MAX_RUNS),
    ).fetchall()
    known = {row["id"] for row in rows}
    return [*rows, *(row for row in children if row["id"] not in known)][:MAX_RUNS]


def runs_by_key(uow: UnitOfWork, access: Access, keys: Sequence[str]) -> list[Row]:
    """Runs of any flow with those business keys, oldest first."""
    return uow.execute(
        "SELECT r.* FROM unnest(%s::text[]) AS known (flow) CROSS JOIN unnest(%s::text[]) AS asked (key)"
        " CROSS JOIN LATERAL (SELECT * FROM flow_run WHERE owner = %s AND brand = %s AND flow = known.flow"
        " AND business_key = asked.key OFFSET 0) r ORDER BY r.id LIMIT %s",
        (list(uow.flows), list(keys), access.owner, access.brand, MAX_RUNS),
    ).fetchall()


def runs_by_id(uow: UnitOfWork, access: Access, ids: Sequence[int]) -> list[Row]:
    """Runs of the caller's brand among those ids, oldest first."""
    return uow.execute(
        "SELECT * FROM flow_run WHERE id = ANY(%s) AND owner = %s AND brand = %s ORDER BY id LIMIT %s",
        (list(ids), access.owner, access.brand, MAX_RUNS),
    ).fetchall()


def tell_effect(row: Mapping[str, Any]) -> EffectStory:
    """One row of ``effect``."""
    return EffectStory(**{name: row[name] for name in _EFFECT_FIELDS})


def _latest(uow: UnitOfWork, table: str, run_ids: Sequence[int], most: int) -> dict[int, list[Row]]:
    """By run, the last rows of a table that belongs to runs, oldest first."""
    query = {
        "flow_step": "SELECT e.* FROM unnest(%s::bigint[]) AS asked (id) CROSS JOIN LATERAL"
        " (SELECT * FROM flow_step WHERE run_id = asked.id ORDER BY id DESC LIMIT %s) e ORDER BY e.id",
        "effect": "SELECT e.* FROM unnest(%s::bigint[]) AS asked (id) CROSS JOIN LATERAL"
        " (SELECT id, run_id, step, system, writer, key, state, attempts, outside_id, answer, error, intended_at,"
        " settled_at FROM effect WHERE run_id = asked.id ORDER BY id DESC LIMIT %s) e ORDER BY e.id",
    }[table]
    found: dict[int, list[Row]] = defaultdict(list)
    for row in uow.execute(query, (list(run_ids), most)):
        found[row["run_id"]].append(row)
    return found


def _tell(uow: UnitOfWork, row: Row, steps: Sequence[Row], effects: Sequence[Row]) -> RunStory:
    doubts = [effect for effect in effects if effect["state"] in IN_DOUBT]
    return RunStory(
        **{name: row[name] for name in _RUN_FIELDS},
        flow_steps=_flow_steps(uow, row),
        steps=[StepStory(**{name: step[name] for name in _STEP_FIELDS}) for step in steps],
        effects=[tell_effect(effect) for effect in effects],
        can=_possible(row, doubts),
        url=url_of("run", row["id"]),
    )


def _flow_steps(uow: UnitOfWork, row: Row) -> tuple[str, ...]:
    try:
        return tuple(step.name for step in runs.get_version(uow, row).steps)
    except ConfigurationError:  # a version that this release has forgotten
        return ()


def _possible(row: Row, doubts: Sequence[Row]) -> tuple[str, ...]:
    """What the operator's buttons offer; the operation itself decides."""
    if row["state"] in runs.ENDED:
        return ()
    if row["state"] != "parked":
        return ("cancel",)
    return ("settle",) if doubts else ("retry", "cancel")
