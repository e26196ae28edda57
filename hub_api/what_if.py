"""What other routing rules would have done with the orders that came. Reads only; one at a time in a process."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import tee
from time import monotonic
from typing import Final

from canonical_model.errors import RecordError, TransientError
from canonical_model.store.decisions import list_names
from canonical_model.store.replays import Placed, list_placed
from flows.one_stock.replay import Replayed, replay
from flows.one_stock.routed import Routed, routed
from flows.one_stock.routing.record import Record, unpack
from flows.one_stock.routing.rulebook import Rulebook, Rules
from flows.one_stock.what_if import WhatIf
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from hub_api.decisions import bounded

CHUNK: Final = 200

_running: Final = threading.Lock()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which orders: the newest ``limit`` that were first routed from ``since`` on and before ``until``."""

    since: datetime | None = None
    until: datetime | None = None
    channel: str | None = None
    limit: int = 1_000
    independent: bool = False


def what_if(
    hub: Hub,
    access: Access,
    text: str,
    asked: Asked,
    *,
    at_most_s: float | None = None,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> WhatIf:
    """How those orders would ship under the rulebook ``text``, beside how they were first routed; priced as then.

    After ``at_most_s`` the rest is left out, and counted; so is an order whose record cannot be read. ``told`` hears
    how many are done, of how many. Needs ``ops:read`` and ``orders:read``; whoever speaks for a channel sees only its
    orders. Raises RecordError (what is wrong with the text), TransientError while another one runs in this process.
    """
    access.require("ops", "read")
    access.require("orders", "read")
    book = Rulebook(text)
    if not _running.acquire(blocking=False):
        raise TransientError("another what-if is running here; try again when it is done", code="what_if.busy")
    try:
        return _compared(hub, access, book, asked, monotonic() + at_most_s if at_most_s else None, told)
    finally:
        _running.release()


def _compared(
    hub: Hub,
    access: Access,
    book: Rulebook,
    asked: Asked,
    deadline: float | None,
    told: Callable[[int, int], None],
) -> WhatIf:
    rows = _placed(hub, access, asked)
    skus: dict[int, str] = {}
    found = WhatIf()
    readable, material = tee(_readable(hub, access, rows, skus, found))
    records = ((record, row.decided_at) for row, record in material)
    replays = replay(records, _rules_for(access, book), independent=asked.independent)
    for (row, _), replayed in zip(readable, replays, strict=True):
        found.add(*_both(row.order_no, replayed, skus))
        done = len(found.orders) + found.unreadable
        told(done, len(rows))
        if deadline is not None and monotonic() > deadline:
            found.left_out = len(rows) - done
            break
    return found


def _placed(hub: Hub, access: Access, asked: Asked) -> list[Placed]:
    if access.channel is not None and asked.channel not in (None, access.channel):
        return []
    with hub.database.unit() as uow:
        return list_placed(
            uow.connection,
            access.owner,
            access.brand,
            since=asked.since,
            until=asked.until,
            channel=access.channel or asked.channel,
            limit=asked.limit,
        )


def _readable(
    hub: Hub, access: Access, rows: Sequence[Placed], skus: dict[int, str], found: WhatIf
) -> Iterator[tuple[Placed, Record]]:
    """The orders and their records, a few at a time; ``skus`` learns the codes of what they want."""
    for start in range(0, len(rows), CHUNK):
        chunk = [(row, record) for row in rows[start : start + CHUNK] if (record := _unpacked(row, found)) is not None]
        parts = (part for _, record in chunk for item in record.problem.items for part in item.parts)
        if unknown := {part.sku_id for part in parts} - skus.keys():
            with hub.database.unit() as uow:
                _, codes = list_names(uow.connection, access.owner, access.brand, [], sorted(unknown))
            skus.update({sku_id: codes.get(sku_id, str(sku_id)) for sku_id in unknown})
        yield from chunk


def _unpacked(row: Placed, found: WhatIf) -> Record | None:
    """The record, or None, counted, if it cannot be read: one bad row must not keep a question from its answer."""
    try:
        return unpack(row.record)
    except RecordError as error:
        _log.warning("the decision about order %s of %s is left out: %s", row.order_no, row.channel, error)
        found.unreadable += 1
        return None


def _rules_for(access: Access, book: Rulebook) -> Callable[[str], Rules]:
    """The rules by channel; who does not sit at the machine may not keep it busy with rules of their own."""

    @cache
    def rules_of(channel: str) -> Rules:
        rules = book.rules(channel)
        return rules if access.kind == "cli" else bounded(rules)

    return rules_of


def _both(order_no: str, replayed: Replayed, skus: dict[int, str]) -> tuple[Routed, Routed]:
    places = {place.id: place.code or str(place.id) for place in replayed.problem.places}
    return (
        routed(order_no, replayed.record.decision, places, skus),
        routed(order_no, replayed.decision, places, skus, replayed.ms).priced_by(replayed.record.rules),
    )
