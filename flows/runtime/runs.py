"""Starting runs, sending them signals, finding them, and what a person may do with a run that is stuck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import orjson

from canonical_model.errors import ConfigurationError, ConflictError, NotFoundError
from flows.runtime import metrics, telemetry
from flows.runtime.database import Row, UnitOfWork
from flows.runtime.flow import Flow, OutsideStep, Start

MAX_PAGE: Final = 500
ENDED: Final = ("done", "undone")


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was asked for; ``new`` is False if the same key had started it before."""

    run_id: int
    new: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """Under whose name a run begins, and for how long before others may take it."""

    worker: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; what is None does not restrict."""

    owner: str | None = None
    brand: str | None = None
    flow: str | None = None
    state: str | None = None
    key: str | None = None
    parent_id: int | None = None
    error_code: str | None = None


def start_runs(
    uow: UnitOfWork,
    starts: Sequence[Start],
    *,
    parent_id: int | None = None,
    lease: Lease | None = None,
    commit: bool = False,
) -> list[Started]:
    """Start runs in the caller's transaction, in one statement; the results are in the order of ``starts``.

    The same (owner, brand, flow, key) starts once. A run without a traceparent gets the current span's. With a
    ``lease`` the new runs begin under it (see ``Runner.begin``). ``commit`` makes them durable in the same round
    trip. ConfigurationError: unknown flow.
    """
    if not starts:
        return []
    context = telemetry.current_traceparent()
    rows = orjson.dumps([_row(get_flow(uow, start.flow), start, context, parent_id) for start in starts]).decode()
    query: LiteralString = "SELECT * FROM flow_start(%s, %s, %s)"
    given = (rows, lease and lease.worker, lease and lease.seconds)
    found = uow.commit_with(query, given) if commit else uow.execute(query, given).fetchall()
    for start, row in zip(starts, found, strict=True):
        if row["is_new"]:
            metrics.RUNS_STARTED.labels(start.flow).inc()
    return [Started(row["run_id"], row["is_new"]) for row in found]


def get_flow(uow: UnitOfWork, name: str) -> Flow:
    """The present version of that flow. ConfigurationError names the flows there are."""
    if found := uow.flows.get(name):
        return found
    raise ConfigurationError(
        f"there is no flow {name!r}; there are {', '.join(sorted(uow.flows)) or 'none'}", code="flow.unknown", flow=name
    )


def _row(flow: Flow, start: Start, context: str | None, parent_id: int | None) -> dict[str, Any]:
    return {
        "owner": start.owner,
        "brand": start.brand,
        "flow": start.flow,
        "version": flow.version,
        "key": start.key,
        "lane": flow.lane,
        "input": start.input,
        "parent_id": parent_id,
        "order_key": start.order_key,
        "traceparent": start.traceparent or context,
    }


def signal(
    uow: UnitOfWork,
    *,
    owner: str,
    brand: str,
    flow: str,
    key: str,
    name: str,
    signal_key: str,
    payload: Mapping[str, Any],
) -> bool:
    """Send a word to a run; it is kept until the run asks for it. True if new: the same ``signal_key`` twice is one.

    NotFoundError: no such run.
    """
    (row,) = uow.execute(
        "SELECT flow_signal_send(%s, %s, %s, %s, %s, %s, %s) AS new",
        (owner, brand, flow, key, name, signal_key, orjson.dumps(payload).decode()),
    ).fetchall()
    if row["new"] is None:
        raise NotFoundError(
            f"no run of {flow} has the key {key!r}; the signal {name!r} was not kept", code="run.unknown", flow=flow
        )
    return bool(row["new"])


def find_run(uow: UnitOfWork, owner: str, brand: str, flow: str, key: str) -> Row | None:
    """The ``flow_run`` row of that business key, or None."""
    return uow.execute(
        "SELECT * FROM flow_run WHERE owner = %s AND brand = %s AND flow = %s AND business_key = %s",
        (owner, brand, flow, key),
    ).fetchone()


def get_run(uow: UnitOfWork, run_id: int) -> Row:
    """The ``flow_run`` row. NotFoundError if there is none."""
    row = uow.execute("SELECT * FROM flow_run WHERE id = %s", (run_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}", code="run.unknown")
    return row


def list_runs(uow: UnitOfWork, filters: RunFilter, *, after: int | None = None, limit: int = 100) -> list[Row]:
    """Runs, newest first; ``after`` is the last id of the page before. At most ``MAX_PAGE``."""
    return uow.execute(
        "SELECT * FROM flow_run WHERE (%(owner)s::text IS NULL OR owner = %(owner)s)"
        " AND (%(brand)s::text IS NULL OR brand = %(brand)s) AND (%(flow)s::text IS NULL OR flow = %(flow)s)"
        " AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(key)s::text IS NULL OR business_key = %(key)s)"
        " AND (%(parent)s::bigint IS NULL OR parent_id = %(parent)s)"
        " AND (%(code)s::text IS NULL OR error ->> 'code' = %(code)s)"
        " AND (%(after)s::bigint IS NULL OR id < %(after)s) ORDER BY id DESC LIMIT %(limit)s",
        {
            "owner": filters.owner,
            "brand": filters.brand,
            "flow": filters.flow,
            "state": filters.state,
            "key": filters.key,
            "parent": filters.parent_id,
            "code": filters.error_code,
            "after": after,
            "limit": min(limit, MAX_PAGE),
        },
    ).fetchall()


def get_history(uow: UnitOfWork, run_id: int) -> list[Row]:
    """Every try of every step of that run, oldest first."""
    return uow.execute("SELECT * FROM flow_step WHERE run_id = %s ORDER BY id", (run_id,)).fetchall()


def retry(uow: UnitOfWork, run_id: int, step: str | None = None) -> None:
    """Let a parked run go on, at the step where it stopped or again from an earlier one. What it wrote outside is
    not written again.

    Raises NotFoundError (run, step), ConflictError (not parked; an outside write is in doubt).
    """
    row = _parked(uow, run_id)
    position = row["position"]
    forget: list[str] = []
    if step is not None:
        names = [each.name for each in get_version(uow, row).steps]
        if step not in names[: position + 1] or row["direction"] == "undo":
            raise NotFoundError(f"run {run_id} has not passed a step {step!r}; it passed {names[: position + 1]}")
        position = names.index(step)
        forget = [each.name for each in get_version(uow, row).steps[position:] if not isinstance(each, OutsideStep)]
    uow.execute(
        "UPDATE flow_run SET state = 'ready', wake_at = clock_timestamp(), position = %s,"
        " results = results - %s::text[], lane = %s, attempt = 0, error = NULL, deadline = NULL,"
        " updated_at = clock_timestamp() WHERE id = %s",
        (position, forget, get_version(uow, row).lane, run_id),
    )
    uow.execute("SELECT flow_wake(ARRAY[%s::text])", (get_version(uow, row).lane,))


def cancel(uow: UnitOfWork, run_id: int) -> None:
    """Ask a run to stop and take back what it did. A run that is working right now stops after its present step.

    Raises NotFoundError, ConflictError (ended; past its pivot; an outside write is in doubt).
    """
    row = _locked(uow, run_id)
    if row["state"] in ENDED:
        raise ConflictError(f"run {run_id} has ended as {row['state']}; there is nothing to cancel", code="run.ended")
    flow = get_version(uow, row)
    if any(each.pivot and row["results"].get(each.name) is not None for each in flow.steps[: row["position"]]):
        raise ConflictError(f"run {run_id} is past its pivot and can only go forward", code="run.pivoted")
    if row["state"] == "parked" and in_doubt(uow, run_id):
        raise ConflictError(
            f"run {run_id} has a write in doubt; settle its effect, then cancel it", code="effect.in_doubt"
        )
    uow.execute("SELECT flow_cancel(ARRAY[%s::bigint])", (run_id,))


def settle_effect(uow: UnitOfWork, effect_id: int, *, landed: bool, outside_id: str | None = None) -> None:
    """A person says whether a write in doubt landed; the run goes on. ``outside_id``: the destination's own number.

    Raises NotFoundError, ConflictError (not in doubt, or its run is not parked).
    """
    effect = uow.execute("SELECT * FROM effect WHERE id = %s", (effect_id,)).fetchone()
    if effect is None:
        raise NotFoundError(f"there is no effect {effect_id}", code="effect.unknown")
    row = _parked(uow, effect["run_id"])
    effect = uow.execute("SELECT * FROM effect WHERE id = %s FOR UPDATE", (effect_id,)).fetchone()
    if effect is None or effect["state"] not in ("in_doubt", "intended"):
        raise ConflictError(f"effect {effect_id} is not in doubt", code="effect.settled")
    if landed and not outside_id:
        raise ConflictError("say the destination's own number of the document that landed", code="effect.no_outside_id")
    uow.execute(
        "UPDATE effect SET state = %s, outside_id = %s, answer = %s, settled_at = clock_timestamp() WHERE id = %s",
        ("confirmed" if landed else "failed", outside_id, '{"by": "operator"}' if landed else None, effect_id),
    )
    retry(uow, row["id"])


def list_effects(uow: UnitOfWork, run_id: int) -> list[Row]:
    """The outside writes of a run, oldest first, without their bodies."""
    return uow.execute(
        "SELECT id, step, system, writer, key, state, attempts, outside_id, answer, error, intended_at, settled_at"
        " FROM effect WHERE run_id = %s ORDER BY id",
        (run_id,),
    ).fetchall()


def _locked(uow: UnitOfWork, run_id: int) -> Row:
    row = uow.execute("SELECT * FROM flow_run WHERE id = %s FOR UPDATE", (run_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}", code="run.unknown")
    return row


def _parked(uow: UnitOfWork, run_id: int) -> Row:
    row = _locked(uow, run_id)
    if row["state"] != "parked":
        raise ConflictError(
            f"run {run_id} is {row['state']}; only a parked run waits for a person", code="run.not_parked"
        )
    return row


def get_version(uow: UnitOfWork, row: Row) -> Flow:
    """The version of the flow that a run was started with. ConfigurationError if this release lacks it."""
    flow = get_flow(uow, row["flow"])
    for each in (flow, *flow.retired):
        if each.version == row["version"]:
            return each
    raise ConfigurationError(
        f"run {row['id']} needs {row['flow']} version {row['version']}; deploy it as a retired version",
        code="flow.version",
    )


def in_doubt(uow: UnitOfWork, run_id: int) -> bool:
    """Whether a write of that run may have landed without our knowing."""
    return bool(
        uow.execute(
            "SELECT 1 FROM effect WHERE run_id = %s AND state IN ('in_doubt', 'intended')", (run_id,)
        ).fetchone()
    )
