"""Runs held under a lease: claiming them, keeping them while a step is long, giving them back."""

import logging
import os
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

import orjson
import psycopg

from canonical_model.errors import HubError
from canonical_model.ports import LaneSpec
from flows.runtime import telemetry
from flows.runtime.catalogue import Catalogue
from flows.runtime.database import Database, Row, UnitOfWork
from flows.runtime.flow import BatchStep, Flow, Run, Start, Step
from flows.runtime.runs import Lease, Started, get_flow, start_runs

LOST_LEASE_SQLSTATE: Final = "YP001"
STRUGGLING: Final = 3
BEATS_PER_LEASE: Final = 3

_COLUMNS: Final[LiteralString] = (
    "SELECT id, owner, brand, flow, version, business_key, input::text, results::text, attempt, parent_id, traceparent,"
    " fence, lane, position, direction, deadline, cancel_requested, error, wake_at FROM "
)

_log = logging.getLogger(__name__)


class LostLeaseError(HubError):
    """Another worker holds the run now; what this one did about it is rolled back."""

    default_code = "lease.lost"

    def __init__(self, run_ids: Iterable[int]) -> None:
        self.run_ids = frozenset(run_ids)
        super().__init__(f"the lease of run {sorted(self.run_ids)} was lost; another worker goes on", runs=self.run_ids)

    @classmethod
    def read(cls, error: psycopg.Error) -> "LostLeaseError | None":
        """The lost lease that a database error reports, if that is what it is."""
        if error.sqlstate != LOST_LEASE_SQLSTATE:
            return None
        return cls(int(each) for each in (error.diag.message_detail or "").split(",") if each)


@dataclass(frozen=True, slots=True)
class Claim:
    """A run held under a lease: what it is, where it stands, and the fence that its next commit must show."""

    run: Run
    flow: Flow
    fence: int
    lane: str
    position: int
    direction: str
    deadline: datetime | None
    cancel_requested: bool
    error: Mapping[str, Any] | None

    @property
    def step(self) -> Step:
        """The step to do, or to take back, next."""
        return self.flow.steps[self.position]

    @property
    def undoing(self) -> bool:
        """Whether the run is taking back what it did."""
        return self.direction == "undo"

    @property
    def company(self) -> str | None:
        """The word that runs must share to be done together at this step, if it asks for one."""
        step = self.step
        return self.run.input.get(step.together) if isinstance(step, BatchStep) and step.together else None

    @property
    def pivoted(self) -> bool:
        """Whether a pivot step is done, so that the run may only go forward."""
        return any(s.pivot and self.run.results.get(s.name) is not None for s in self.flow.steps[: self.position])


def _read_run(row: Row) -> Run:
    return Run(
        id=row["id"],
        owner=row["owner"],
        brand=row["brand"],
        flow=row["flow"],
        version=row["version"],
        business_key=row["business_key"],
        input=orjson.loads(row["input"]),
        results=orjson.loads(row["results"]),
        attempt=row["attempt"],
        parent_id=row["parent_id"],
        traceparent=row["traceparent"],
    )


class Leases:
    """The runs that this process holds. A thread prolongs their leases; it starts with the first claim."""

    def __init__(self, database: Database, catalogue: Catalogue, lease_s: float) -> None:
        self.lease_s = lease_s
        self.worker: Final = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._database = database
        self._catalogue = catalogue
        self._held: Counter[tuple[int, int]] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._beat: threading.Thread | None = None

    def claim(self, lane: str, wanted: int) -> list[Claim]:
        """Due runs of a flow lane, oldest first."""
        return self._taken(
            _COLUMNS + "flow_claim(%s, %s, %s, %s, %s)",
            (lane, self.worker, self.lease_s, wanted, self._catalogue.known),
        )

    def claim_batch(self, like: Claim, wanted: int) -> list[Claim]:
        """More due runs that stand at the same step of the same flow for the first time and may be done with it."""
        return self._taken(
            _COLUMNS + "flow_claim(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                like.lane,
                self.worker,
                self.lease_s,
                wanted,
                self._catalogue.known,
                like.flow.name,
                like.flow.version,
                like.position,
                like.step.together if isinstance(like.step, BatchStep) else None,
                like.company,
            ),
        )

    def claim_slot(self, lane: str, spec: LaneSpec) -> list[Claim]:
        """A due run of a destination's lane, if the lane has a free slot and a token, and is not paused or blocked."""
        return self._taken(
            _COLUMNS + "flow_claim_slot(%s, %s, %s, 1, %s, %s, %s, %s)",
            (
                lane,
                self.worker,
                self.lease_s,
                self._catalogue.known,
                STRUGGLING,
                spec.concurrency,
                spec.rate_per_s,
            ),
        )

    def claim_these(self, run_ids: Sequence[int]) -> list[Claim]:
        """Those of these runs that are due in a flow lane and that nobody else holds."""
        return self._taken(
            _COLUMNS + "flow_claim_these(%s, %s, %s, %s, %s)",
            (list(run_ids), list(self._catalogue.lanes), self.worker, self.lease_s, self._catalogue.known),
        )

    def begin(self, uow: UnitOfWork, start: Start, *, commit: bool) -> tuple[Started, Claim | None]:
        """Start a run under a lease of this process, in the caller's transaction; no claim if it is not new."""
        (started,) = start_runs(uow, [start], lease=Lease(self.worker, self.lease_s), commit=commit)
        if not started.new or start.order_key is not None:
            return started, None
        flow = get_flow(uow, start.flow)
        run = Run(
            id=started.run_id,
            owner=start.owner,
            brand=start.brand,
            flow=flow.name,
            version=flow.version,
            business_key=start.key,
            input=start.input,
            results={},
            attempt=1,
            traceparent=start.traceparent or telemetry.current_traceparent(),
        )
        return started, Claim(
            run=run,
            flow=flow,
            fence=1,
            lane=flow.lane,
            position=0,
            direction="forward",
            deadline=None,
            cancel_requested=False,
            error=None,
        )

    def hold(self, claims: Iterable[Claim]) -> None:
        """Prolong the leases of these runs from now on, until they are forgotten as often as they were held."""
        with self._lock:
            self._held.update((claim.run.id, claim.fence) for claim in claims)
            if self._held and self._beat is None:
                self._beat = threading.Thread(target=self._prolong, name="yipan-leases", daemon=True)
                self._beat.start()

    def forget(self, claims: Iterable[Claim]) -> None:
        """Stop prolonging. ``claims`` as they were given out: another thread may hold a later claim of the run."""
        with self._lock:
            for claim in claims:
                name = claim.run.id, claim.fence
                self._held[name] -= 1
                if self._held[name] <= 0:
                    del self._held[name]

    def give_back(self, claims: list[Claim]) -> None:
        """Let others have runs that were claimed but not begun."""
        self._database.run(
            "WITH given AS (UPDATE flow_run r SET state = 'ready', wake_at = clock_timestamp(), lease_owner = NULL,"
            " lease_until = NULL, attempt = r.attempt - 1, fence = r.fence + 1"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS c (id, fence)"
            " WHERE r.id = c.id AND r.fence = c.fence AND r.state = 'running' RETURNING r.lane)"
            " SELECT flow_wake(array_agg(DISTINCT lane)) FROM given",
            ([claim.run.id for claim in claims], [claim.fence for claim in claims]),
        )

    def close(self) -> None:
        """End the thread; leases still held run out by themselves."""
        self._closing.set()
        if self._beat is not None:
            self._beat.join()

    def _taken(self, query: Any, parameters: tuple[Any, ...]) -> list[Claim]:
        rows = self._database.run(query, parameters)
        rows.sort(key=lambda row: row["wake_at"])
        claims = [self._read(row) for row in rows]
        self.hold(claims)
        return claims

    def _read(self, row: Row) -> Claim:
        flow = self._catalogue.find(row["flow"], row["version"])
        assert flow is not None, "only known flows are claimed"
        return Claim(
            run=_read_run(row),
            flow=flow,
            fence=row["fence"],
            lane=row["lane"],
            position=row["position"],
            direction=row["direction"],
            deadline=row["deadline"],
            cancel_requested=row["cancel_requested"],
            error=row["error"],
        )

    def _prolong(self) -> None:
        while not self._closing.wait(self.lease_s / BEATS_PER_LEASE):
            with self._lock:
                held = [run_id for run_id, _ in self._held]
            if not held:
                continue
            try:
                self._database.run(
                    "UPDATE flow_run SET lease_until = clock_timestamp() + make_interval(secs => %s)"
                    " WHERE id = ANY(%s) AND lease_owner = %s AND state = 'running'",
                    (self.lease_s, held, self.worker),
                )
            except Exception as error:  # noqa: BLE001 - nobody else would prolong
                _log.warning("the leases of %d runs could not be prolonged: %s", len(held), error)
