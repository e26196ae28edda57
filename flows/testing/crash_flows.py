"""Small flows that together use everything the runner can do, for tests that kill it.

Each committed step leaves a row in ``deed``; whatever is lost or doubled shows there, in the destination's books, or
in the runs themselves. The input's ``place`` keeps scenarios in one database apart.
"""

from collections.abc import Sequence
from typing import Any, Final

from canonical_model.errors import RejectedError
from canonical_model.ports import Record
from flows.runtime import runs
from flows.runtime.database import Database, UnitOfWork
from flows.runtime.flow import (
    Flow,
    Goto,
    OnReject,
    Run,
    Start,
    batch_step,
    children,
    outside,
    step,
    wait_for,
)

OWNER: Final = "owner"
BRAND: Final = "brand"
BATCH: Final = 12
PARCELS: Final = 2
QUICK: Final[dict[str, Any]] = {"first_wait_s": 0.05, "max_wait_s": 0.2}


def prepare(database: Database) -> None:
    """Make the table of deeds; from now on these flows can be started here."""
    database.flows = FLOWS
    database.run("CREATE TABLE IF NOT EXISTS deed (id bigint GENERATED ALWAYS AS IDENTITY, key text, what text)")


def _note(run: Run, uow: UnitOfWork, what: str) -> None:
    uow.execute("INSERT INTO deed (key, what) VALUES (%s, %s)", (run.business_key, what))


def _unreserve(run: Run, uow: UnitOfWork) -> None:
    _note(run, uow, "unreserve")


@step(undo=_unreserve, **QUICK)
def reserve(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Local work that can be taken back."""
    _note(run, uow, "reserve")
    return {"reserved": 1}


@children(**QUICK)
def dispatch(run: Run, uow: UnitOfWork) -> Sequence[Start]:
    """One child a parcel and round."""
    turn = run.results.get("settle", {}).get("round", 1)
    keys = [f"{run.business_key}/{turn}.{n}" for n in range(PARCELS)]
    return [Start(PARCEL.name, OWNER, BRAND, key, {}) for key in keys]


@step(**QUICK)
def settle(run: Run, uow: UnitOfWork) -> Goto | dict[str, Any]:
    """Go round a second time, with new children."""
    _note(run, uow, "settle")
    if "settle" not in run.results:
        return Goto("dispatch", {"round": 2})
    return {"round": 2, "ended": [child["outcome"] for child in run.results["dispatch"]]}


@outside("books.once", pivot=True, **QUICK)
def write_once(run: Run, uow: UnitOfWork) -> Record:
    """A destination that knows keys."""
    return {"parcel": run.business_key}


@outside("books.seen", **QUICK)
def write_seen(run: Run, uow: UnitOfWork) -> Record:
    """A destination that must be looked at after a doubt, or it doubles."""
    return {"parcel": run.business_key}


@step(**QUICK)
def announce(run: Run, uow: UnitOfWork) -> None:
    """The word that the next step waits for."""
    runs.signal(
        uow,
        owner=run.owner,
        brand=run.brand,
        flow=run.flow,
        key=run.business_key,
        name="confirmed",
        signal_key="1",
        payload={"n": 1},
    )


@step(**QUICK)
def consume(run: Run, uow: UnitOfWork) -> None:
    """The end of a parcel."""
    _note(run, uow, "consume")


PARCEL: Final = Flow(
    "crash.parcel",
    1,
    (reserve, write_once, write_seen, announce, wait_for("await_word", ("confirmed",), 600.0), consume),
)
ORDER: Final = Flow("crash.order", 1, (reserve, dispatch, settle))


@outside("books.once", **QUICK)
def take_back(run: Run, uow: UnitOfWork) -> Record:
    """Cancels what *write* wrote."""
    return {"cancels": run.results["write"]["outside_id"]}


write: Final = outside("books.once", name="write", undo_outside=take_back, **QUICK)(write_once.call)


@step(on_reject=OnReject.UNDO, **QUICK)
def refuse(run: Run, uow: UnitOfWork) -> None:
    """A refusal that turns the run round."""
    raise RejectedError("no", code="crash.refused")


REFUSED: Final = Flow("crash.refused", 1, (reserve, write, refuse))


@batch_step(**QUICK)
def count(batch: Sequence[Run], uow: UnitOfWork) -> Sequence[int]:
    """Many runs at once."""
    for run in batch:
        _note(run, uow, "count")
    return [1] * len(batch)


@batch_step(**QUICK)
def recount(batch: Sequence[Run], uow: UnitOfWork) -> Sequence[int]:
    """And once more."""
    for run in batch:
        _note(run, uow, "recount")
    return [2] * len(batch)


COUNTED: Final = Flow("crash.counted", 1, (count, recount))
TURN: Final = Flow("crash.turn", 1, (reserve, wait_for("nap", ("never",), 0.2, on_timeout=None), consume))
FLOWS: Final = {flow.name: flow for flow in (ORDER, PARCEL, REFUSED, COUNTED, TURN)}


def start(database: Database, place: str) -> None:
    """Start one of everything under keys that begin with ``place``."""

    def each(flow: Flow, name: str, order_key: str | None = None) -> Start:
        return Start(flow.name, OWNER, BRAND, f"{place}:{name}", {}, order_key=order_key)

    starts = [each(ORDER, "order"), each(REFUSED, "refused")]
    starts += [each(COUNTED, f"counted {n}") for n in range(BATCH)]
    starts += [each(TURN, f"turn {n}", order_key=place) for n in range(3)]
    with database.unit() as uow:
        runs.start_runs(uow, starts)
        uow.commit()


def ended(database: Database, place: str) -> bool:
    """Whether every run of that scenario has ended."""
    (row,) = database.run(
        "SELECT count(*) FILTER (WHERE state NOT IN ('done', 'undone')) AS live FROM flow_run"
        " WHERE starts_with(business_key, %s)",
        (f"{place}:",),
    )
    return bool(row["live"] == 0)


def outcome(database: Database, documents: dict[str, list[Any]], place: str) -> dict[str, Any]:
    """All that must not depend on who died when: runs, deeds, effects, words heard, and the destination's books."""

    def rows(query: Any) -> list[list[Any]]:
        found = database.run(query, (f"{place}:",))
        return sorted([[_plain(value, place) for value in row.values()] for row in found], key=str)

    return {
        "runs": rows(
            "SELECT flow, business_key, state, direction, outcome, results FROM flow_run"
            " WHERE starts_with(business_key, %s)"
        ),
        "deeds": rows("SELECT key, what FROM deed WHERE starts_with(key, %s)"),
        "order": [
            row["key"].removeprefix(place)
            for row in database.run("SELECT key FROM deed WHERE starts_with(key, %s) ORDER BY id", (f"{place}:turn",))
        ],
        "effects": rows(
            "SELECT e.key, e.state, e.outside_id FROM effect e JOIN flow_run r ON r.id = e.run_id"
            " WHERE starts_with(r.business_key, %s)"
        ),
        "words": rows(
            "SELECT s.name, s.key, s.payload, s.consumed_at IS NOT NULL FROM flow_signal s"
            " JOIN flow_run r ON r.id = s.run_id WHERE starts_with(r.business_key, %s)"
        ),
        "books": {
            _plain(path, place): _plain(found, place)
            for path, found in sorted(documents.items())
            if f":{place}:" in path
        },
    }


def _plain(value: Any, place: str) -> Any:
    """The value without the scenario's own name."""
    if isinstance(value, str):
        return value.replace(f"{place}:", "")
    if isinstance(value, list):
        return [_plain(each, place) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each, place) for name, each in value.items()}
    return value
