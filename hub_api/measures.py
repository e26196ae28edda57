"""What the hub measures of itself, read from the database when asked: the truth all processes share."""

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flows.runtime.database import Database

_GAUGES: Final = (
    (
        "yipan_messages",
        "Messages of the last 24 hours.",
        ("system", "stream", "state"),
        """SELECT system, stream, state, count(*) AS value FROM message
            WHERE received_at > now() - interval '24 hours' GROUP BY 1, 2, 3""",
    ),
    (
        "yipan_quarantined_records",
        "Records in quarantine, open.",
        ("system", "stream", "cause"),
        "SELECT system, stream, cause, count(*) AS value FROM quarantine WHERE state = 'open' GROUP BY 1, 2, 3",
    ),
    (
        "yipan_runs",
        "Runs that have not ended.",
        ("flow", "state"),
        "SELECT flow, state, count(*) AS value FROM flow_run WHERE state NOT IN ('done', 'undone') GROUP BY 1, 2",
    ),
    (
        "yipan_effects_in_doubt",
        "Outside writes that may have landed.",
        ("system",),
        "SELECT system, count(*) AS value FROM effect WHERE state = 'in_doubt' GROUP BY 1",
    ),
    (
        "yipan_lane_blocked",
        "1 while a destination is given a rest or paused.",
        ("lane",),
        "SELECT name AS lane, (paused OR coalesce(blocked_until > clock_timestamp(), false))::int AS value FROM lane",
    ),
    (
        "yipan_shortfalls",
        "Open shortfalls: promised units that are not there.",
        (),
        "SELECT count(*) AS value FROM stock_shortfall WHERE state = 'open'",
    ),
    (
        "yipan_relay_lag_seconds",
        "Age of the oldest wake-up that was not handed on yet.",
        (),
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float AS value FROM outbox",
    ),
)


class HubCollector(Collector):
    """Gauges of one hub for Prometheus; each scrape asks the database anew."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge, in one snapshot. TransientError when the database is away."""
        with self._database.unit() as uow:
            for name, text, labels, query in _GAUGES:
                gauge = GaugeMetricFamily(name, text, labels=labels)
                for row in uow.execute(query):
                    gauge.add_metric([row[label] for label in labels], row["value"])
                yield gauge


def relay_lag_s(database: Database) -> float:
    """Age of the oldest wake-up in the outbox, in seconds; 0 when it is empty."""
    row: dict[str, Any] = database.run(_GAUGES[-1][-1])[0]
    return float(row["value"])
