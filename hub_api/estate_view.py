"""The connected systems as operations watch them: streams, lanes, backlog, last error; pause and resume."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import AccessError, ConflictError, NotFoundError
from canonical_model.ports import Connector, LaneSpec, StreamSpec
from flows.runtime import lanes as way_out
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import audit
from hub_api.auth import Access
from mappings.engine import load_mapping

MOST_COUNTED: Final = 10_000
LATEST: Final = 50
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
LATE: Final = 2.0  # a pull is overdue after so many of its intervals
SLOW_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Records by what became of them, and the messages they came in. ``capped``: there were more than were counted."""

    messages: int = 0
    accepted: int = 0
    quarantined: int = 0
    ignored: int = 0
    capped: bool = False


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream. ``lag_s``: from received to applied, the slowest of the latest messages, or the age of the oldest of
    them that still waits; None without messages. ``waiting``: how many of those are not applied yet.

    Of a pulled stream: ``cursor``, ``pulled_at``, and whether the schedule is ``overdue``.
    """

    name: str
    entity: str
    direction: str
    mapping: str
    mapping_version: str
    last_message_at: datetime | None
    lag_s: float | None
    waiting: int
    hour: Counts
    day: Counts
    open_quarantine: int
    schedule_s: float | None = None
    cursor: str | None = None
    pulled_at: datetime | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class LaneState:
    """The way out to a destination. ``state``: open, struggling (failures, still tried), resting (until
    ``rests_until``) or paused by a person. ``oldest_at``: since when the longest queued run is due.
    """

    name: str
    systems: Sequence[str]
    state: str
    paused: bool
    concurrency: int
    rate_per_s: float
    failures: int
    rests_until: datetime | None
    under_way: int
    queued: int
    oldest_at: datetime | None
    in_doubt: int
    last_error: Mapping[str, Any] | None
    advice: str


@dataclass(frozen=True, slots=True)
class SystemState:
    """One connected system. ``health``: well, waiting, struggling, resting, paused. ``advice``: what to do next, empty
    when all is well.
    """

    name: str
    title: str
    connector: str
    brand: str
    health: str
    advice: str
    streams: Sequence[StreamState]
    lanes: Sequence[LaneState]
    backlog: int
    in_doubt: int
    open_quarantine: int
    last_message_at: datetime | None
    last_error: Mapping[str, Any] | None


def systems(hub: Hub, access: Access) -> list[SystemState]:
    """Every system of the caller's brand, by name. Needs ``ops:read``."""
    access.require("ops", "read")
    return _look(hub, access, _names(hub, access))


def system(hub: Hub, access: Access, name: str) -> SystemState:
    """One of them. NotFoundError if the brand has none of that name."""
    access.require("ops", "read")
    _check_system(hub, access, name)
    (state,) = _look(hub, access, [name])
    return state


def lanes(hub: Hub, access: Access) -> list[LaneState]:
    """Every lane of the brand's destinations, by name."""
    access.require("ops", "read")
    with hub.database.unit() as uow:
        return list(_lanes(hub, uow, access, _names(hub, access)).values())


def pause(hub: Hub, access: Access, lane: str) -> LaneState:
    """Send nothing more over ``lane``, in any process, until it is resumed; calls under way are finished.

    Needs ``estate:write``; audited. NotFoundError if the brand has no such lane, AccessError if another brand's
    system shares it.
    """
    return _switch(hub, access, [lane], "lane.pause", way_out.pause)[lane]


def resume(hub: Hub, access: Access, lane: str) -> LaneState:
    """Send again, at once; a rest after failures ends too. Needs ``estate:write``; audited. Errors as ``pause``."""
    return _switch(hub, access, [lane], "lane.resume", way_out.resume)[lane]


def pause_system(hub: Hub, access: Access, name: str) -> SystemState:
    """``pause`` for every lane of a system. ConflictError if nothing is sent to it."""
    _switch(hub, access, _lanes_of(hub, access, name), "lane.pause", way_out.pause)
    return _look(hub, access, [name])[0]


def resume_system(hub: Hub, access: Access, name: str) -> SystemState:
    """``resume`` for every lane of a system. ConflictError if nothing is sent to it."""
    _switch(hub, access, _lanes_of(hub, access, name), "lane.resume", way_out.resume)
    return _look(hub, access, [name])[0]


def _names(hub: Hub, access: Access) -> list[str]:
    mine = (access.owner, access.brand)
    connectors = hub.estate.connectors.items()
    return sorted(name for name, each in connectors if (each.config.owner, each.config.brand) == mine)


def _check_system(hub: Hub, access: Access, name: str) -> None:
    if name not in _names(hub, access):
        raise NotFoundError(f"no system {name!r} is connected for this brand", code="system.unknown", system=name)


def _users(hub: Hub) -> dict[str, tuple[LaneSpec, list[str]]]:
    """Every lane: what it bears, and the systems that are written to over it."""
    found: dict[str, tuple[LaneSpec, list[str]]] = {}
    for name, connector in sorted(hub.estate.connectors.items()):
        for spec in connector.manifest.writers:
            writer = hub.estate.writer(f"{name}.{spec.name}")
            users = found.setdefault(writer.lane, (writer.lane_spec, []))[1]
            if name not in users:
                users.append(name)
    return found


def _lanes_of(hub: Hub, access: Access, system: str) -> list[str]:
    _check_system(hub, access, system)
    found = [lane for lane, (_, users) in _users(hub).items() if system in users]
    if not found:
        raise ConflictError(f"nothing is sent to {system}; there is nothing to pause", code="lane.none")
    return found


def _switch(
    hub: Hub, access: Access, names: Sequence[str], action: str, switch: Callable[[UnitOfWork, str], None]
) -> dict[str, LaneState]:
    access.require("estate", "write")
    mine, users = _names(hub, access), _users(hub)
    for lane in names:
        if lane not in users or not set(users[lane][1]) & set(mine):
            raise NotFoundError(f"there is no lane {lane!r} for this brand", code="lane.unknown", lane=lane)
        if others := set(users[lane][1]) - set(mine):
            raise AccessError(
                f"{lane} also carries another brand's {', '.join(sorted(others))}; agree with them, then use the"
                " command line on the hub",
                code="lane.shared",
            )
    with hub.database.unit() as uow:
        for lane in sorted(names):
            switch(uow, lane)
        for lane in sorted(names):
            audit.record(uow, access, action, f"lane:{lane}")
        states = _lanes(hub, uow, access, mine)
        uow.commit()
    return states


def _lanes(hub: Hub, uow: UnitOfWork, access: Access, systems: Sequence[str]) -> dict[str, LaneState]:
    """The lanes over which these systems are written to, by name."""
    users = {lane: found for lane, found in _users(hub).items() if set(found[1]) & set(systems)}
    rows = uow.execute(_LANES, {"lanes": sorted(users), "most": MOST_COUNTED}).fetchall()
    doubts = _doubts(uow, access, systems)
    return {row["name"]: _lane(row, *users[row["name"]], doubts) for row in rows}


def _lane(row: Row, spec: LaneSpec, users: Sequence[str], doubts: Mapping[str, int]) -> LaneState:
    failures = row["failures"] or 0
    paused, resting = bool(row["paused"]), bool(row["resting"])
    state = "paused" if paused else "resting" if resting else "struggling" if failures else "open"
    in_doubt = sum(doubts.get(system, 0) for system in users)
    return LaneState(
        name=row["name"],
        systems=tuple(users),
        state=state,
        paused=paused,
        concurrency=spec.concurrency,
        rate_per_s=spec.rate_per_s,
        failures=failures,
        rests_until=row["blocked_until"] if resting else None,
        under_way=row["under_way"],
        queued=row["queued"],
        oldest_at=row["oldest_at"],
        in_doubt=in_doubt,
        last_error=row["last_error"],
        advice=_lane_advice(state, row["last_error"] or {}, in_doubt),
    )


def _lane_advice(state: str, error: Mapping[str, Any], in_doubt: int) -> str:
    if state == "paused":
        return "a person paused it; resume it when the destination may be written to again"
    if state in ("resting", "struggling"):
        code = error.get("code", "an error")
        return (
            f"it fails with {code}; it is tried again by itself, so see whether the destination and the way there work"
        )
    if in_doubt:
        return "writes are in doubt; look at their evidence under Runs and settle them"
    return ""


def _doubts(uow: UnitOfWork, access: Access, systems: Sequence[str]) -> dict[str, int]:
    rows = uow.execute(
        "SELECT system, count(*) AS n FROM effect WHERE state = 'in_doubt' AND system = ANY(%s)"
        " AND owner = %s AND brand = %s GROUP BY system",
        (list(systems), access.owner, access.brand),
    )
    return {row["system"]: row["n"] for row in rows}


def _look(hub: Hub, access: Access, names: Sequence[str]) -> list[SystemState]:
    pairs = [(name, spec.name) for name in names for spec in hub.estate.connector(name).manifest.streams]
    given = {
        "owner": access.owner,
        "brand": access.brand,
        "systems": [system for system, _ in pairs],
        "streams": [stream for _, stream in pairs],
        "day": first_id_since(DAY_S),
        "hour": first_id_since(HOUR_S),
        "most": MOST_COUNTED,
        "latest": LATEST,
    }
    with hub.database.unit() as uow:
        rows = {(row["system"], row["stream"]): row for row in uow.execute(_STREAMS, given)}
        versions = {
            (row["connector"], row["mapping"]): row["version"] for row in uow.execute(_VERSIONS, given).fetchall()
        }
        by_lane = _lanes(hub, uow, access, names)
        doubts = _doubts(uow, access, names)
    return [_system(hub.estate.connector(name), rows, versions, list(by_lane.values()), doubts) for name in names]


def _system(
    connector: Connector,
    rows: Mapping[tuple[str, str], Row],
    versions: Mapping[tuple[str, str], str],
    by_lane: Sequence[LaneState],
    doubts: Mapping[str, int],
) -> SystemState:
    config = connector.config
    streams = [
        _stream(spec, rows[config.name, spec.name], _version(connector, spec, versions))
        for spec in connector.manifest.streams
    ]
    mine = [lane for lane in by_lane if config.name in lane.systems]
    errors = [lane.last_error for lane in mine if lane.last_error]
    errors += [error for spec in streams if (error := rows[config.name, spec.name]["error"])]
    health, advice = _health(mine, streams)
    return SystemState(
        name=config.name,
        title=connector.manifest.title,
        connector=config.connector,
        brand=config.brand,
        health=health,
        advice=advice,
        streams=streams,
        lanes=mine,
        backlog=sum(lane.queued + lane.under_way for lane in mine) + sum(stream.waiting for stream in streams),
        in_doubt=doubts.get(config.name, 0),
        open_quarantine=sum(stream.open_quarantine for stream in streams),
        last_message_at=max((s.last_message_at for s in streams if s.last_message_at), default=None),
        last_error=errors[0] if errors else None,
    )


def _health(lanes: Sequence[LaneState], streams: Sequence[StreamState]) -> tuple[str, str]:
    """The worst of what is going on, and what to do about it."""
    for health in ("paused", "resting", "struggling"):
        for lane in lanes:
            if lane.state == health:
                return health, lane.advice
    for stream in streams:
        if stream.overdue:
            return "waiting", f"{stream.name} should have been pulled by now; see whether a worker runs and it answers"
        if stream.waiting and (stream.lag_s or 0) > SLOW_S:
            return "waiting", f"messages of {stream.name} wait to be applied; see whether a worker runs"
    for lane in lanes:
        if lane.advice:
            return "waiting", lane.advice
    if any(stream.open_quarantine for stream in streams):
        return "well", "records lie in quarantine; correct them or the mapping, then feed them again"
    return "well", ""


def _version(connector: Connector, spec: StreamSpec, versions: Mapping[tuple[str, str], str]) -> str:
    name = connector.config.connector
    return versions.get((name, spec.mapping)) or load_mapping(name, spec.mapping).version


def _stream(spec: StreamSpec, row: Row, version: str) -> StreamState:
    return StreamState(
        name=spec.name,
        entity=str(spec.entity),
        direction=spec.direction,
        mapping=spec.mapping,
        mapping_version=version,
        last_message_at=row["last_message_at"],
        lag_s=row["lag_s"],
        waiting=row["waiting"],
        hour=_counts(row, "hour"),
        day=_counts(row, "day"),
        open_quarantine=row["open_quarantine"],
        schedule_s=spec.schedule_s,
        cursor=row["cursor"],
        pulled_at=row["pulled_at"],
        overdue=spec.schedule_s is not None and (row["idle_s"] is None or row["idle_s"] > LATE * spec.schedule_s),
    )


def _counts(row: Row, span: str) -> Counts:
    names = ("messages", "accepted", "quarantined", "ignored")
    capped = row[f"{span}_messages"] >= MOST_COUNTED
    return Counts(**{name: int(row[f"{span}_{name}"] or 0) for name in names}, capped=capped)


def first_id_since(seconds: float) -> str:
    """The lowest id that a message of the last ``seconds`` can have: ids begin with the time."""
    return f"msg_{int((time.time() - seconds) * 1000):012x}"


_LANES: Final = """
    SELECT asked.name, lane.paused, lane.failures, lane.blocked_until, lane.last_error,
        lane.blocked_until > clock_timestamp() AS resting,
        (SELECT count(*) FROM flow_run WHERE state = 'running' AND lane = asked.name) AS under_way,
        (SELECT count(*) FROM (SELECT 1 FROM flow_run WHERE state = 'ready' AND lane = asked.name LIMIT %(most)s)
            AS few) AS queued,
        (SELECT wake_at FROM flow_run WHERE state = 'ready' AND lane = asked.name ORDER BY wake_at LIMIT 1) AS oldest_at
    FROM unnest(%(lanes)s::text[]) AS asked (name) LEFT JOIN lane ON lane.name = asked.name
    ORDER BY asked.name
"""
_STREAMS: Final = """
    SELECT asked.system, asked.stream, latest.*, counted.*, pulled.cursor, pulled.updated_at AS pulled_at,
        extract(epoch FROM clock_timestamp() - pulled.updated_at)::float AS idle_s,
        (SELECT count(*) FROM (
            SELECT 1 FROM quarantine WHERE owner = %(owner)s AND brand = %(brand)s AND system = asked.system
                AND stream = asked.stream AND state = 'open' LIMIT %(most)s) AS few) AS open_quarantine
    FROM unnest(%(systems)s::text[], %(streams)s::text[]) AS asked (system, stream)
    CROSS JOIN LATERAL (
        SELECT max(received_at) AS last_message_at, count(*) FILTER (WHERE applied_at IS NULL) AS waiting,
            extract(epoch FROM max(coalesce(applied_at, clock_timestamp()) - received_at))::float AS lag_s,
            (array_agg(error) FILTER (WHERE error IS NOT NULL))[1] AS error
        FROM (SELECT received_at, applied_at, error FROM message
              WHERE owner = %(owner)s AND brand = %(brand)s AND system = asked.system AND stream = asked.stream
              ORDER BY id USING ~>~ LIMIT %(latest)s) AS last) AS latest
    CROSS JOIN LATERAL (
        SELECT count(*) AS day_messages, sum(accepted) AS day_accepted, sum(quarantined) AS day_quarantined,
            sum(ignored) AS day_ignored, count(*) FILTER (WHERE id >= %(hour)s) AS hour_messages,
            sum(accepted) FILTER (WHERE id >= %(hour)s) AS hour_accepted,
            sum(quarantined) FILTER (WHERE id >= %(hour)s) AS hour_quarantined,
            sum(ignored) FILTER (WHERE id >= %(hour)s) AS hour_ignored
        FROM (SELECT id, accepted, quarantined, ignored FROM message
              WHERE owner = %(owner)s AND brand = %(brand)s AND system = asked.system AND stream = asked.stream
                AND id ~>=~ %(day)s ORDER BY id USING ~>~ LIMIT %(most)s) AS recent) AS counted
    LEFT JOIN stream_cursor AS pulled ON (pulled.owner, pulled.brand, pulled.system, pulled.stream)
        = (%(owner)s, %(brand)s, asked.system, asked.stream)
"""
_VERSIONS: Final = """
    SELECT connector, mapping, version FROM mapping_revision
    WHERE owner = %(owner)s AND brand = %(brand)s AND active
"""
