"""What pages look at: functions ``(hub, access, …)`` that read, each within one transaction and a bound."""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from flows.runtime import quarantine, runs
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row
from flows.runtime.quarantine import Selection
from flows.runtime.runs import RunFilter
from hub_api import audit, messages
from hub_api.auth import Access
from hub_api.messages import MessageFilter
from hub_api.stories import RunStory
from hub_api.stories.runs import tell_runs

PAGE_ROWS: Final = 50
STUCK_ROWS: Final = 10
MOST_COUNTED: Final = 1_000
OPEN_STATES: Final = ("parked", "running", "ready", "waiting")


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of a list; ``next`` is the cursor of the following page, None at the end."""

    items: list[Row]
    next: Any


@dataclass(frozen=True, slots=True)
class Stuck:
    """Runs that wait for a person, each with its history and writes; ``next`` as in Rows."""

    runs: list[RunStory]
    next: int | None


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


def list_stuck(hub: Hub, access: Access, *, after: int | None) -> Stuck:
    """Parked runs, newest first."""
    wanted = RunFilter(access.owner, access.brand, state="parked")
    with hub.database.unit() as uow:
        rows = runs.list_runs(uow, wanted, after=after, limit=STUCK_ROWS + 1)
        told = tell_runs(uow, access, rows[:STUCK_ROWS])
    return Stuck(told, told[-1].id if len(rows) > STUCK_ROWS else None)


def list_messages(hub: Hub, access: Access, wanted: MessageFilter, *, before: str | None) -> Rows:
    """Messages, newest first."""
    with hub.database.unit() as uow:
        rows = messages.list_messages(uow, access.owner, access.brand, wanted, before=before, limit=PAGE_ROWS + 1)
    return _page(rows, "id")


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


def list_audit(
    hub: Hub, access: Access, *, actor: str | None, action: str | None, subject: str | None, before: int | None
) -> Rows:
    """Entries of the brand's audit log, newest first. Needs ``audit:read``."""
    access.require("audit", "read")
    wanted = audit.AuditFilter(access.owner, access.brand, actor, action, subject)
    with hub.database.unit() as uow:
        rows = audit.list_entries(uow, wanted, before=before, limit=PAGE_ROWS + 1)
    return _page(rows, "seq")


def name_places(hub: Hub, access: Access) -> dict[str, str]:
    """The name of every place of the brand, by code."""
    with hub.database.unit() as uow:
        rows = uow.execute(
            "SELECT code, name FROM location WHERE owner = %s AND brand = %s", (access.owner, access.brand)
        )
        return {row["code"]: row["name"] for row in rows}


def attention(hub: Hub, access: Access) -> dict[str, int]:
    """By page, what waits for a person: parked runs, quarantined records; each counted up to MOST_COUNTED."""
    (row,) = hub.database.run(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM flow_run WHERE state = 'parked' AND owner = %(owner)s"
        " AND brand = %(brand)s LIMIT %(most)s) parked) AS parked,"
        " (SELECT count(*) FROM (SELECT 1 FROM quarantine WHERE state = 'open' AND owner = %(owner)s"
        " AND brand = %(brand)s LIMIT %(most)s) open) AS refused",
        {"owner": access.owner, "brand": access.brand, "most": MOST_COUNTED},
    )
    return {"/inbox": row["parked"], "/quarantine": row["refused"]}


def _page(rows: list[Row], key: str) -> Rows:
    """The page of PAGE_ROWS of a list that was asked for one more."""
    shown = rows[:PAGE_ROWS]
    return Rows(shown, shown[-1][key] if len(rows) > PAGE_ROWS else None)
