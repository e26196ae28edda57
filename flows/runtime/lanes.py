"""The lanes of destinations, as a person sees and pauses them."""

from flows.runtime.database import Row, UnitOfWork


def pause(uow: UnitOfWork, lane: str) -> None:
    """Send nothing more to this destination until ``resume``; calls under way are finished."""
    uow.execute(
        "INSERT INTO lane (name, paused) VALUES (%s, true) ON CONFLICT (name) DO UPDATE SET paused = true", (lane,)
    )


def resume(uow: UnitOfWork, lane: str) -> None:
    """Send again, at once: a block after failures is lifted too, and the next call is a probe."""
    uow.execute("UPDATE lane SET paused = false, blocked_until = NULL WHERE name = %s", (lane,))
    uow.execute("SELECT flow_wake(ARRAY[%s::text])", (lane,))


def list_lanes(uow: UnitOfWork) -> list[Row]:
    """Every lane used so far: its limits, its health, how many calls are under way and how many runs are queued."""
    return uow.execute(
        "SELECT l.name, l.concurrency, l.rate_per_s, l.paused, l.failures, l.blocked_until, l.last_error,"
        " count(r.id) FILTER (WHERE r.state = 'running') AS under_way,"
        " count(r.id) FILTER (WHERE r.state = 'ready') AS queued"
        " FROM lane l LEFT JOIN flow_run r ON r.lane = l.name AND r.state IN ('ready', 'running')"
        " GROUP BY l.name ORDER BY l.name"
    ).fetchall()
