"""The story of an order, message, run, SKU, trace or member."""

from collections.abc import Iterable
from typing import Final

from canonical_model.errors import NotFoundError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from flows.runtime.inbox import INGEST_FLOW
from hub_api import members
from hub_api.auth import Access
from hub_api.stories.messages import message_row, tell_message
from hub_api.stories.orders import tell_order
from hub_api.stories.runs import family, runs_by_id, runs_by_key, tell_runs
from hub_api.stories.shapes import KINDS, Hit, Kind, Story, url_of
from hub_api.stories.skus import tell_sku
from hub_api.stories.waterfall import message_ids, run_ids, waterfall, waterfalls

MAX_ID: Final = 2**62
MAX_RELATED: Final = 20


def story(hub: Hub, access: Access, kind: str, story_id: str) -> Story:
    """Everything about one thing, in one answer; ``kind`` is one of KINDS. A SKU goes by its code, the others by id.

    NotFoundError if there is none of that id in the caller's brand. AccessError: a channel sees only its orders; a
    member needs ``members:read``.
    """
    access.require("ops", "read")
    if kind not in KINDS:
        raise NotFoundError(f"there are no stories of {kind!r}; there are {', '.join(KINDS)}", code="story.unknown")
    if access.channel is not None and kind not in ("order", "sku"):
        raise NotFoundError(f"there is no {kind} {story_id!r}", code="story.unknown")
    with hub.database.unit() as uow:
        match kind:
            case "order":
                return tell_order(hub, uow, access, _number(kind, story_id))
            case "message":
                return _message(hub, uow, access, story_id)
            case "run":
                return _run(hub, uow, access, _number(kind, story_id))
            case "sku":
                return tell_sku(uow, access, story_id)
            case "member":
                return _member(uow, access, _number(kind, story_id))
        return _trace(uow, access, story_id)


def _message(hub: Hub, uow: UnitOfWork, access: Access, message_id: str) -> Story:
    row = message_row(uow, access, message_id)
    told = tell_message(hub, uow, access, row)
    rows = runs_by_key(uow, access, [message_id])
    return Story(
        kind="message",
        id=message_id,
        title=f"{row['system']}/{row['stream']}",
        state=row["state"],
        when=row["received_at"],
        url=told.url,
        summary={name: value for name, value in row.items() if name not in ("body", "fingerprint")},
        messages=[told],
        runs=tell_runs(uow, access, rows),
        waterfalls=waterfalls(uow, access, [row["traceparent"], *(each["traceparent"] for each in rows)]),
        related=_distinct(hit for record in told.records for hit in record.became),
        cut=["records"] if told.records_cut else [],
    )


def _run(hub: Hub, uow: UnitOfWork, access: Access, run_id: int) -> Story:
    found = runs_by_id(uow, access, [run_id])
    if not found:
        raise NotFoundError(f"there is no run {run_id}", code="run.unknown")
    (row,) = found
    messages = []
    if row["flow"] == INGEST_FLOW:
        messages = [tell_message(hub, uow, access, message_row(uow, access, row["input"]["message_id"]))]
    order_id, parent_id = row["input"].get("order_id"), row["parent_id"]
    related = [_hit("order", order_id, "run")] if order_id else []
    related += [_hit("run", parent_id, "parent")] if parent_id else []
    return Story(
        kind="run",
        id=str(run_id),
        title=f"{row['flow']} · {row['business_key']}",
        state=row["state"],
        when=row["created_at"],
        url=url_of("run", run_id),
        summary={name: value for name, value in row.items() if name not in ("lease_owner", "lease_until", "fence")},
        messages=messages,
        runs=tell_runs(uow, access, family(uow, access, [row])),
        waterfalls=waterfalls(uow, access, [row["traceparent"]]),
        related=related,
    )


def _trace(uow: UnitOfWork, access: Access, trace_id: str) -> Story:
    fall = waterfall(uow, access, trace_id)
    if fall is None:
        raise NotFoundError(f"there is no trace {trace_id}", code="trace.unknown")
    rows = runs_by_id(uow, access, run_ids([fall]))
    messages = uow.execute(
        "SELECT id, system, stream, received_at FROM message WHERE id = ANY(%s) AND owner = %s AND brand = %s",
        (message_ids([fall]), access.owner, access.brand),
    ).fetchall()
    hits = [
        Hit(
            "message",
            each["id"],
            f"{each['system']}/{each['stream']}",
            each["received_at"],
            url_of("message", each["id"]),
            "trace",
        )
        for each in messages
    ]
    orders = dict.fromkeys(row["input"]["order_id"] for row in rows if row["input"].get("order_id"))
    hits += [_hit("order", each, "trace") for each in orders]
    return Story(
        kind="trace",
        id=trace_id,
        title=fall.bars[0].name,
        state="error" if any(bar.failed for bar in fall.bars) else "ok",
        when=fall.started_at,
        url=url_of("trace", trace_id),
        summary={"trace_id": trace_id, "spans": len(fall.bars), "duration_ms": fall.duration_ms},
        runs=tell_runs(uow, access, rows),
        waterfalls=[fall],
        related=hits[:MAX_RELATED],
        cut=["spans"] if fall.cut else [],
    )


def _member(uow: UnitOfWork, access: Access, member_id: int) -> Story:
    access.require("members", "read")
    shown = members.read_member(uow, access, member_id)
    return Story(
        kind="member",
        id=str(member_id),
        title=f"{shown['system']} {shown['code']}",
        state="active" if shown["active"] else "closed",
        when=shown["updated_at"],
        url=url_of("member", member_id),
        summary={name: value for name, value in shown.items() if name != "points"},
        events=shown["points"],
        related=_sources(uow, access, shown["message_id"]),
    )


def _sources(uow: UnitOfWork, access: Access, message_id: str) -> list[Hit]:
    row = message_row(uow, access, message_id)
    title = f"{row['system']}/{row['stream']}"
    return [Hit("message", message_id, title, row["received_at"], url_of("message", message_id), "member")]


def _hit(kind: Kind, key: object, matched: str) -> Hit:
    return Hit(kind, str(key), f"{kind} {key}", None, url_of(kind, key), matched)


def _distinct(hits: Iterable[Hit]) -> list[Hit]:
    first = {(hit.kind, hit.id): hit for hit in hits}
    return list(first.values())[:MAX_RELATED]


def _number(kind: str, story_id: str) -> int:
    """The id of a row. NotFoundError if the text is none."""
    if story_id.isascii() and story_id.isdecimal() and 0 < int(story_id) < MAX_ID:
        return int(story_id)
    raise NotFoundError(f"there is no {kind} {story_id!r}", code=f"{kind}.unknown")
