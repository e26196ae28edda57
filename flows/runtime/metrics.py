"""Counters of this process; the door shows them at /metrics."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

RUNS_STARTED = Counter("yipan_runs_started_total", "Runs started", ["flow"])
RUNS_ENDED = Counter("yipan_runs_ended_total", "Runs that ended or were parked", ["flow", "state"])
STEPS = Counter("yipan_steps_total", "Tries of steps by how they came out", ["flow", "step", "outcome"])
STEP_SECONDS = Histogram(
    "yipan_step_seconds",
    "How long a try of a step took, batches counted once",
    ["flow", "step"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)
EFFECTS = Counter("yipan_effects_total", "Outside writes by what is known of them", ["system", "writer", "state"])
LEASES_LOST = Counter("yipan_leases_lost_total", "Commits refused because another worker held the run")
LANE_FAILURES = Gauge("yipan_lane_failures", "Failures in a row of a destination; three block its lane", ["lane"])
WAKES = Counter("yipan_wakes_total", "Wake-ups handed to the broker", ["lane"])
SPANS_DROPPED = Counter("yipan_spans_dropped_total", "Spans lost because the queue was full or the database away")
RECORDS = Counter("yipan_records_total", "Records of messages by what became of them", ["system", "stream", "result"])


@cache
def steps(flow: str, step: str, outcome: str) -> Counter:
    """The counter of that outcome; finding it by its labels is slow beside counting."""
    return STEPS.labels(flow, step, outcome)


@cache
def step_seconds(flow: str, step: str) -> Histogram:
    """The histogram of that step."""
    return STEP_SECONDS.labels(flow, step)
