"""What pages look at: functions ``(hub, access, …)`` that read, each within one transaction and a bound."""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from flows.runtime import quarantine, runs
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row
from flows.runtime.quarantine import Selection
from flows.runtime.runs import RunFilter
from hub_api import messages, operations, repair
from hub_api.auth import Access
from hub_api.messages import MessageFilter
from hub_api.results import read_results

PAGE_ROWS: Final = 50
MOST_COUNTED: Final = 1_000
OPEN_STATES: Final = ("parked", "running", "ready", "waiting")
IN_DOUBT: Final = ("in_doubt", "intended")


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of a list; ``next`` is the cursor of the following page, None at the end."""

    items: list[Row]
    next: Any


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its history, effects, children and the steps of its flow's version."""

    run: Row
    children: list[Row]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stuck:
    """A run that waits for a person, and its writes that may or may not have landed."""

    run: Row
    doubts: list[Row]


@dataclass(frozen=True, slots=True)
class MessageDetail:
    """A message, what became of its records (the first of them), and its body as text; personal fields are masked."""

    message: Row
    results: list[dict[str, Any]]
    raw: bytes
    media_type: str


def list_runs(
    hub: Hub, access: Access, *, flow: str | None, state: str | None, key: str | None, after: int | None
) -> Rows:
    """Runs, newest first."""
    wanted = RunFilter(access.owner, access.brand, flow, state, key)
    with hub.database.unit() as uow:
        return _page(runs.list_runs(uow, wanted, after=after, limit=PAGE_ROWS + 1), "id")


def count_runs(hub: Hub, access: Access) -> dict[str, int]:
    """How many runs are in each state that is not an end, each counted up to MOST_COUNTED."""
    counted = [
        sql.SQL(
            "(SELECT count(*) FROM (SELECT 1 FROM flow_run WHERE state = {state} AND owner = %(owner)s"
            " AND brand = %(brand)s LIMIT {most}) counted) AS {name}"
        ).format(state=state, most=MOST_COUNTED, name=sql.Identifier(state))
        for state in OPEN_STATES
    ]
    query = sql.SQL("SELECT ") + sql.SQL(", ").join(counted)
    (row,) = hub.database.run(query, {"owner": access.owner, "brand": access.brand})
    return dict(row)


def list_stuck(hub: Hub, access: Access, *, after: int | None) -> Rows:
    """Parked runs with their writes in doubt (``Stuck``), newest first."""
    wanted = RunFilter(access.owner, access.brand, state="parked")
    with hub.database.unit() as uow:
        page = _page(runs.list_runs(uow, wanted, after=after, limit=PAGE_ROWS + 1), "id")
        doubts = uow.execute(
            "SELECT id, run_id, step, system, writer, key, state, attempts, outside_id, answer, error, intended_at"
            " FROM effect WHERE run_id = ANY(%s) AND state = ANY(%s) ORDER BY id",
            ([row["id"] for row in page.items], list(IN_DOUBT)),
        ).fetchall()
    stuck = [Stuck(row, [each for each in doubts if each["run_id"] == row["id"]]) for row in page.items]
    return Rows(stuck, page.next)  # type: ignore[arg-type]


def read_run(hub: Hub, access: Access, run_id: int) -> RunDetail:
    """One run. NotFoundError if the brand has none of that id."""
    with hub.database.unit() as uow:
        run = operations.read_run(uow, access.owner, access.brand, run_id)
        children = runs.list_runs(uow, RunFilter(access.owner, access.brand, parent_id=run_id), limit=PAGE_ROWS)
        steps = tuple(step.name for step in runs.get_version(uow, run).steps)
    return RunDetail(run, children, steps)


def list_messages(hub: Hub, access: Access, wanted: MessageFilter, *, before: str | None) -> Rows:
    """Messages, newest first."""
    with hub.database.unit() as uow:
        rows = messages.list_messages(uow, access.owner, access.brand, wanted, before=before, limit=PAGE_ROWS + 1)
    return _page(rows, "id")


def read_message(hub: Hub, access: Access, message_id: str) -> MessageDetail:
    """One message. NotFoundError if the brand has none of that id."""
    with hub.database.unit() as uow:
        message = messages.get_message(uow, access.owner, access.brand, message_id)
        results = read_results(uow, message).get("results", [])
        raw, media_type = messages.read_raw(uow, access.owner, access.brand, message_id)
    return MessageDetail(message, results, raw, media_type)


def list_causes(hub: Hub, access: Access, *, system: str | None, stream: str | None, cause: str | None) -> list[Row]:
    """Open quarantined records counted by system, stream and cause, the most frequent first."""
    selection = Selection(access.owner, access.brand, None, system, stream, cause)
    with hub.database.unit() as uow:
        return quarantine.list_causes(uow.connection, selection)


def list_quarantined(
    hub: Hub, access: Access, *, system: str | None, stream: str | None, cause: str | None, state: str, after: int
) -> Rows:
    """Quarantined records without their raw value, oldest first."""
    selection = Selection(access.owner, access.brand, None, system, stream, cause)
    with hub.database.unit() as uow:
        rows = quarantine.list_rows(uow.connection, selection, state=state, after=after, limit=PAGE_ROWS + 1)
    return _page(rows, "id")


def read_quarantined(hub: Hub, access: Access, row_id: int) -> dict[str, Any]:
    """One record with its raw value, masked. NotFoundError if the brand has none of that id."""
    with hub.database.unit() as uow:
        return repair.read_quarantined(uow, access.owner, access.brand, row_id)


def attention(hub: Hub, access: Access) -> dict[str, int]:
    """What waits for a person: parked runs and open quarantined records, each counted up to MOST_COUNTED."""
    (row,) = hub.database.run(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM flow_run WHERE state = 'parked' AND owner = %(owner)s"
        " AND brand = %(brand)s LIMIT %(most)s) parked) AS runs,"
        " (SELECT count(*) FROM (SELECT 1 FROM quarantine WHERE state = 'open' AND owner = %(owner)s"
        " AND brand = %(brand)s LIMIT %(most)s) open) AS quarantine",
        {"owner": access.owner, "brand": access.brand, "most": MOST_COUNTED},
    )
    return dict(row)


def _page(rows: list[Row], key: str) -> Rows:
    """The page of PAGE_ROWS of a list that was asked for one more."""
    shown = rows[:PAGE_ROWS]
    return Rows(shown, shown[-1][key] if len(rows) > PAGE_ROWS else None)
