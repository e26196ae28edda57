"""An order from its message to its last parcel."""

from typing import Any, Final

from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import orders
from hub_api.auth import Access
from hub_api.stories.messages import tell_message
from hub_api.stories.runs import MAX_RUNS, family, runs_by_key, tell_runs
from hub_api.stories.shapes import MessageStory, Story, url_of
from hub_api.stories.waterfall import waterfalls

MAX_HOLDS: Final = 200
MAX_MESSAGES: Final = 10
_HOLDS: Final = """
    SELECT hold.id, hold.reference AS parcel_no, hold.line_no, sku.code AS sku, location.code AS location,
        level.quality, hold.quantity, hold.deducting, hold.shipped, hold.state, hold.reason, hold.named, hold.picked,
        hold.accepted_at, hold.shipped_at, hold.expires_at, hold.created_at, hold.ended_at
    FROM stock_hold AS hold JOIN stock_level AS level ON level.id = hold.level_id
    JOIN sku ON sku.id = level.sku_id JOIN location ON location.id = level.location_id
    WHERE hold.order_id = %s ORDER BY hold.id LIMIT %s
"""


def tell_order(hub: Hub, uow: UnitOfWork, access: Access, order_id: int) -> Story:
    """The order. NotFoundError outside the caller's brand or channel."""
    shown = orders.read_order(uow, access, order_id)
    events = shown.pop("events")
    own = runs_by_key(uow, access, [str(order_id), *(parcel["parcel_no"] for parcel in shown["parcels"])])
    rows = sorted(family(uow, access, own), key=lambda row: row["id"])
    rows = [row for row in rows if _is_about(row, order_id)]
    holds = uow.execute(_HOLDS, (order_id, MAX_HOLDS + 1)).fetchall()
    messages, more = _messages(hub, uow, access, shown, rows)
    cut = {"runs": len(rows) >= MAX_RUNS, "holds": len(holds) > MAX_HOLDS, "messages": more}
    return Story(
        kind="order",
        id=str(order_id),
        title=f"{shown['channel']} {shown['order_no']}",
        state=shown["status"],
        when=shown["created_at"],
        url=url_of("order", order_id),
        summary=shown,
        messages=messages,
        runs=tell_runs(uow, access, rows),
        events=events,
        holds=holds[:MAX_HOLDS],
        waterfalls=waterfalls(uow, access, [shown["traceparent"], *(row["traceparent"] for row in rows)]),
        cut=[name for name, longer in cut.items() if longer],
    )


def _is_about(row: Row, order_id: int) -> bool:
    """Whether a run with one of the order's keys is the order's: numbers of other things may read the same."""
    return str(row["input"].get("order_id", order_id)) == str(order_id)


def _messages(
    hub: Hub, uow: UnitOfWork, access: Access, order: dict[str, Any], rows: list[Row]
) -> tuple[list[MessageStory], bool]:
    """The message that brought the order, and those that brought word of its parcels; of each only its records."""
    words = uow.execute(
        "SELECT DISTINCT payload -> 'source' ->> 'message_id' AS message_id, payload -> 'source' ->> 'id' AS source_id"
        " FROM flow_signal WHERE run_id = ANY(%s) AND payload -> 'source' ->> 'message_id' IS NOT NULL LIMIT %s",
        ([row["id"] for row in rows], MAX_MESSAGES),
    ).fetchall()
    names: dict[str, list[str]] = {order["message_id"]: [order["source_id"]]}
    for word in words:
        names.setdefault(word["message_id"], []).append(word["source_id"])
    found = uow.execute(
        "SELECT * FROM message WHERE id = ANY(%s) AND owner = %s AND brand = %s ORDER BY id",
        (list(names), access.owner, access.brand),
    ).fetchall()
    told = [tell_message(hub, uow, access, row, only=names[row["id"]]) for row in found[:MAX_MESSAGES]]
    return told, len(found) > MAX_MESSAGES
