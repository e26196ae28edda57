"""One search over every name that a thing may go by: indexed look-ups only, each bounded.

Nothing personal is read: a phone is looked up by its keyed token, by those who may see members, so often an hour, and
each time that somebody is found is in the audit log, without the number.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import LimitError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Query, Row, UnitOfWork
from hub_api import audit
from hub_api.auth import Access
from hub_api.stories.shapes import Hit, Kind, url_of
from hub_api.unmasking import count_look, looked

MAX_TEXT: Final = 200
MAX_HITS: Final = 50
PER_NAME: Final = 20
MIN_PREFIX: Final = 3
MAX_KEYS: Final = 200
MAX_ID: Final = 2**62
MOST_PEOPLE_AN_HOUR: Final = 120
LAST: Final = "\U0010ffff"

_HEX_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_GTIN: Final = re.compile(r"[0-9]{8,14}")
_PHONE: Final = re.compile(r"[+0-9][0-9\s\-().]{5,24}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked for, by whom."""

    uow: UnitOfWork
    hub: Hub
    access: Access
    text: str

    @property
    def mine(self) -> tuple[str, str]:
        return self.access.owner, self.access.brand

    @property
    def number(self) -> int | None:
        """The text as the id of a row, if it can be one."""
        digits = self.text.removeprefix("#")
        return int(digits) if digits.isascii() and digits.isdecimal() and 0 < int(digits or 0) < MAX_ID else None

    def rows(self, query: Query, parameters: dict[str, Any] | None = None) -> list[Row]:
        given = {"owner": self.access.owner, "brand": self.access.brand, "text": self.text, "most": PER_NAME}
        channel = {"channel": self.access.channel, "below": self.text + LAST}
        return self.uow.execute(query, given | channel | (parameters or {})).fetchall()


def search(hub: Hub, access: Access, text: str) -> list[Hit]:
    """What goes by ``text``: an order, channel order, parcel or waybill number, SKU code, GTIN or other identifier,
    phone, message id, idempotency key, trace or run id, SAP or WMS document number, effect key, member code.

    Exact hits come before those that only begin with it. Nothing found is an empty list. A phone finds nothing without
    ``members:read``. LimitError (``search.rate``): this person found somebody by phone MOST_PEOPLE_AN_HOUR times.
    """
    access.require("ops", "read")
    text = text.strip()
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        return []
    with hub.database.unit() as uow:
        asked = _Asked(uow, hub, access, text)
        exact = [*_orders(asked), *_parcels(asked), *_goods(asked), *_traffic(asked)]
        loose = list(_beginning(asked)) if len(text) >= MIN_PREFIX else []
        exact += _people(asked, found=bool(exact or loose))
    return _distinct([*exact, *loose])[:MAX_HITS]


def _orders(asked: _Asked) -> Iterator[Hit]:
    """By the channel's number, by our own id."""
    for row in asked.rows(_ORDER + " AND order_no = %(text)s" + _NEWEST):
        yield _order(row, "order_no")
    if asked.number is not None:
        for row in asked.rows(_ORDER + " AND id = %(id)s", {"id": asked.number}):
            yield _order(row, "order_id")


def _parcels(asked: _Asked) -> Iterator[Hit]:
    """Their orders, by parcel number, waybill, or the number that a destination gave to what it was sent."""
    for row in asked.rows(_PARCEL + " AND p.parcel_no = %(text)s LIMIT %(most)s"):
        yield _order(row, "parcel_no", note=row["parcel_no"])
    for row in asked.rows(_PARCEL + " AND p.waybill = %(text)s LIMIT %(most)s"):
        yield _order(row, "waybill", note=row["parcel_no"])
    for row in asked.rows(_EFFECT + " AND e.outside_id = %(text)s ORDER BY e.id DESC LIMIT %(most)s"):
        yield from _effect_hits(asked, row, "document")


def _goods(asked: _Asked) -> Iterator[Hit]:
    """SKUs by our code or by anyone's: GTIN, SAP, WMS, POS; members by theirs."""
    for row in asked.rows(_SKU + " AND code = %(text)s LIMIT %(most)s"):
        yield _sku(row, "sku")
    names = [asked.text, *_other_gtins(asked.text)]
    for row in asked.rows(_NAMED, {"names": names}):
        yield _sku(row, row["scheme"])
    if asked.access.covers("members:read"):
        for row in asked.rows(_MEMBER_NAMED):
            yield _member(row, "member_code")


def _traffic(asked: _Asked) -> Iterator[Hit]:
    """Messages, runs, effects and traces by their ids and keys."""
    for row in asked.rows(_MESSAGE + " AND id = %(text)s"):
        yield _message(row, "message_id")
    for row in asked.rows(_BY_IDEMPOTENCY_KEY, _streams(asked)):
        yield _message(row, "idempotency_key")
    for row in asked.rows(_EFFECT_BY_KEY, _writers(asked)):
        yield _run(row, "effect_key")
    if asked.number is not None:
        for row in asked.rows(_RUN + " AND r.id = %(id)s", {"id": asked.number}):
            yield _run(row, "run_id")
    for row in asked.rows(_RUN_BY_KEY, {"flows": list(asked.hub.flows)}):
        yield _run(row, "business_key")
    yield from _traces(asked)


def _people(asked: _Asked, *, found: bool) -> list[Hit]:
    """What is the person's of that phone or card number; counted and audited if anything is. ``found``: anything else.

    Over the limit a number that nothing else goes by is refused whether it is anybody's or not, which would tell.
    """
    if not _PHONE.fullmatch(asked.text) or not asked.access.covers("members:read"):
        return []
    actor = f"search:{asked.access.actor}"
    if (times := looked(asked.uow, actor)) >= MOST_PEOPLE_AN_HOUR:
        if found:
            return []
        raise LimitError(
            f"you have found somebody by phone {times} times in the last hour, the limit is {MOST_PEOPLE_AN_HOUR};"
            " wait, or search by order number",
            code="search.rate",
        )
    if hits := list(_of_person(asked)):
        count_look(asked.uow, actor)
        audit.record(asked.uow, asked.access, "search.phone", "search", {"found": len(hits)})
        asked.uow.commit()
    return hits


def _of_person(asked: _Asked) -> Iterator[Hit]:
    """Orders, messages and members of the person with that phone or card number, found by its token."""
    token = asked.hub.vault.token(asked.text)
    keys = asked.rows(
        "SELECT id FROM data_key WHERE subject_token = %(token)s ORDER BY id DESC LIMIT %(keys)s",
        {"token": token, "keys": MAX_KEYS},
    )
    given = {"token": token, "keys": [row["id"] for row in keys]}
    for row in asked.rows(_ORDER + " AND receiver_key_id = ANY(%(keys)s)" + _NEWEST, given):
        yield _order(row, "phone")
    if asked.access.channel is not None:
        return
    for row in asked.rows(_MESSAGE_OF_PERSON, given):
        yield _message(row, "phone")
    for row in asked.rows(_MEMBER + " AND mobile_token = %(token)s LIMIT %(most)s", given):
        yield _member(row, "phone")


def _beginning(asked: _Asked) -> Iterator[Hit]:
    """What only begins with the text."""
    for row in asked.rows(_ORDER + " AND order_no ~>=~ %(text)s AND order_no ~<~ %(below)s LIMIT %(most)s"):
        yield _order(row, "order_no", exact=False)
    for row in asked.rows(_PARCEL + " AND p.parcel_no ~>=~ %(text)s AND p.parcel_no ~<~ %(below)s LIMIT %(most)s"):
        yield _order(row, "parcel_no", note=row["parcel_no"], exact=False)
    for row in asked.rows(_PARCEL + " AND p.waybill ~>=~ %(text)s AND p.waybill ~<~ %(below)s LIMIT %(most)s"):
        yield _order(row, "waybill", note=row["parcel_no"], exact=False)
    for row in asked.rows(_SKU + " AND code ~>=~ %(text)s AND code ~<~ %(below)s LIMIT %(most)s"):
        yield _sku(row, "sku", exact=False)


def _traces(asked: _Asked) -> Iterator[Hit]:
    whole = _TRACEPARENT.fullmatch(asked.text)
    trace_id = whole[1] if whole else asked.text.lower()
    if not _HEX_TRACE.fullmatch(trace_id) or asked.access.channel is not None:
        return
    spans = asked.rows(
        "SELECT name, started_at FROM span WHERE trace_id = %(trace)s AND NOT EXISTS (SELECT FROM span s"
        " WHERE s.trace_id = %(trace)s AND s.attributes ->> 'yipan.brand' <> %(brand)s) ORDER BY started_at LIMIT 1",
        {"trace": trace_id},
    )
    for row in spans:
        yield Hit("trace", trace_id, row["name"], row["started_at"], url_of("trace", trace_id), "trace_id")


def _effect_hits(asked: _Asked, row: Row, matched: str) -> Iterator[Hit]:
    """The order that the write was about, if it was about a parcel, and the run that wrote it."""
    for parcel in asked.rows(_PARCEL + " AND p.parcel_no = %(key)s LIMIT 1", {"key": row["business_key"]}):
        yield _order(parcel, matched, note=f"{row['system']} {row['outside_id']}")
    yield _run(row, matched)


def _streams(asked: _Asked) -> dict[str, Any]:
    """Every stream of the brand: the unique key of messages begins with them."""
    pairs = [
        (name, spec.name)
        for name, connector in asked.hub.estate.connectors.items()
        if (connector.config.owner, connector.config.brand) == asked.mine
        for spec in connector.manifest.streams
    ]
    return {"systems": [system for system, _ in pairs], "streams": [stream for _, stream in pairs]}


def _writers(asked: _Asked) -> dict[str, Any]:
    pairs = [
        (name, spec.name)
        for name, connector in asked.hub.estate.connectors.items()
        for spec in connector.manifest.writers
    ]
    return {"systems": [system for system, _ in pairs], "writers": [writer for _, writer in pairs]}


def _other_gtins(text: str) -> list[str]:
    """The same trade item with fewer or more leading zeros: tills scan 13 digits, cartons carry 14."""
    if not _GTIN.fullmatch(text):
        return []
    plain = text.lstrip("0")
    return [plain.zfill(length) for length in (8, 12, 13, 14) if len(plain) <= length and plain.zfill(length) != text]


def _distinct(hits: Iterable[Hit]) -> list[Hit]:
    """The first hit of each thing."""
    first: dict[tuple[str, str], Hit] = {}
    for hit in hits:
        first.setdefault((hit.kind, hit.id), hit)
    return list(first.values())


def _order(row: Row, matched: str, *, note: str = "", exact: bool = True) -> Hit:
    title = f"{row['channel']} {row['order_no']} · {row['status']}" + (f" · {note}" if note else "")
    return _hit("order", row["id"], title, row["created_at"], matched, exact=exact)


def _sku(row: Row, matched: str, *, exact: bool = True) -> Hit:
    return _hit("sku", row["code"], f"{row['code']} · {row['name']}", row["updated_at"], matched, exact=exact)


def _message(row: Row, matched: str) -> Hit:
    title = f"{row['system']}/{row['stream']} · {row['state']}"
    return _hit("message", row["id"], title, row["received_at"], matched)


def _run(row: Row, matched: str) -> Hit:
    title = f"{row['flow']} · {row['business_key']} · {row['state']}"
    return _hit("run", row["id"], title, row["created_at"], matched)


def _member(row: Row, matched: str) -> Hit:
    return _hit("member", row["id"], f"{row['system']} {row['code']}", row["updated_at"], matched)


def _hit(kind: Kind, key: object, title: str, when: datetime, matched: str, *, exact: bool = True) -> Hit:
    return Hit(kind, str(key), title, when, url_of(kind, key), matched, exact)


_NEWEST: Final = " ORDER BY id DESC LIMIT %(most)s"
_ORDER: Final = (
    "SELECT id, channel, order_no, status, created_at FROM sales_order"
    " WHERE owner = %(owner)s AND brand = %(brand)s AND (%(channel)s::text IS NULL OR channel = %(channel)s)"
)
_PARCEL: Final = (
    "SELECT o.id, o.channel, o.order_no, o.status, o.created_at, p.parcel_no FROM parcel p"
    " JOIN sales_order o ON o.id = p.order_id WHERE p.owner = %(owner)s AND p.brand = %(brand)s"
    " AND (%(channel)s::text IS NULL OR o.channel = %(channel)s)"
)
_SKU: Final = "SELECT code, name, updated_at FROM sku WHERE owner = %(owner)s AND brand = %(brand)s"
_NAMED: Final = (
    "SELECT s.code, s.name, s.updated_at, c.scheme FROM crosswalk c JOIN sku s ON s.id = c.inner_id"
    " WHERE c.owner = %(owner)s AND c.brand = %(brand)s AND c.outside_id = ANY(%(names)s) AND c.kind = 'sku'"
    " LIMIT %(most)s"
)
_MESSAGE: Final = (
    "SELECT id, system, stream, state, received_at FROM message"
    " WHERE owner = %(owner)s AND brand = %(brand)s AND %(channel)s::text IS NULL"
)
_BY_IDEMPOTENCY_KEY: Final = (
    "SELECT m.id, m.system, m.stream, m.state, m.received_at"
    " FROM unnest(%(systems)s::text[], %(streams)s::text[]) AS known (system, stream)"
    " CROSS JOIN LATERAL (SELECT * FROM message WHERE owner = %(owner)s AND brand = %(brand)s"
    " AND system = known.system AND stream = known.stream AND idempotency_key = %(text)s OFFSET 0) m"
    " WHERE %(channel)s::text IS NULL LIMIT %(most)s"
)
_MESSAGE_OF_PERSON: Final = (
    "SELECT m.id, m.system, m.stream, m.state, m.received_at FROM message m WHERE m.owner = %(owner)s"
    " AND m.brand = %(brand)s AND m.id IN (SELECT r.message_id FROM message_record r WHERE r.key_id = ANY(%(keys)s))"
    " ORDER BY m.id DESC LIMIT %(most)s"
)
_RUN: Final = (
    "SELECT r.id, r.flow, r.business_key, r.state, r.created_at FROM flow_run r"
    " WHERE r.owner = %(owner)s AND r.brand = %(brand)s AND %(channel)s::text IS NULL"
)
_RUN_BY_KEY: Final = (
    "SELECT r.id, r.flow, r.business_key, r.state, r.created_at FROM unnest(%(flows)s::text[]) AS known (flow)"
    " CROSS JOIN LATERAL (SELECT * FROM flow_run WHERE owner = %(owner)s AND brand = %(brand)s"
    " AND flow = known.flow AND business_key = %(text)s OFFSET 0) r WHERE %(channel)s::text IS NULL LIMIT %(most)s"
)
_EFFECT: Final = (
    "SELECT r.id, r.flow, r.business_key, r.state, r.created_at, e.system, e.outside_id FROM effect e"
    " JOIN flow_run r ON r.id = e.run_id WHERE e.owner = %(owner)s AND e.brand = %(brand)s"
    " AND %(channel)s::text IS NULL"
)
_EFFECT_BY_KEY: Final = (
    "SELECT r.id, r.flow, r.business_key, r.state, r.created_at"
    " FROM unnest(%(systems)s::text[], %(writers)s::text[]) AS known (system, writer)"
    " CROSS JOIN LATERAL (SELECT * FROM effect WHERE owner = %(owner)s AND brand = %(brand)s"
    " AND system = known.system AND writer = known.writer AND key = %(text)s OFFSET 0) e"
    " JOIN flow_run r ON r.id = e.run_id WHERE %(channel)s::text IS NULL LIMIT %(most)s"
)
_MEMBER_NAMED: Final = (
    "SELECT m.id, m.system, m.code, m.updated_at FROM crosswalk c JOIN member m ON m.id = c.inner_id"
    " WHERE c.owner = %(owner)s AND c.brand = %(brand)s AND c.outside_id = %(text)s AND c.kind = 'member'"
    " LIMIT %(most)s"
)
_MEMBER: Final = "SELECT id, system, code, updated_at FROM member WHERE owner = %(owner)s AND brand = %(brand)s"
