"""Search looks things up: no question makes PostgreSQL read a whole table."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from psycopg import sql

from flows.runtime.bootstrap import Hub
from hub_api.stories import search
from hub_api.stories.search import _Asked
from tests.hub_api.test_stories import ME

ROWS = 20_000
QUESTIONS = (
    *("M100", "M1000", "P100", "SF100", "SF1000", "S100", "6901234500100", "W-100", "k-100", "100", "#100", "D100"),
    *("key-100", f"msg_{100:012x}{'0' * 20}", "13800000100", "0af7651916cd43dd8448eb211c80319c", "T-nothing"),
)
FILL = """
    INSERT INTO data_key (subject_token, wrapped) SELECT 'token ' || n, 'x' FROM generate_series(1, {n}) n;
    INSERT INTO sku (owner, brand, code, spu, name, status, system, source_id, message_id, occurred_at) SELECT
        'owner', 'brand', 'S' || n, 'S', 'N', 'active', 'hub', 'S' || n, 'm', now() FROM generate_series(1,
        {n}) n;
    INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)
        SELECT owner, brand, 'gtin', 'sku', (6901234500000 + substr(code, 2)::bigint)::text, id, 'm' FROM sku;
    INSERT INTO sales_order (owner, brand, channel, order_no, kind, status, currency, total_minor, placed_at,
        system, source_id, message_id, occurred_at, receiver_key_id) SELECT 'owner', 'brand', 'shop', 'M' ||
        n, 'delivery', 'received', 'CNY', 1, now(), 'shop', 'M' || n, 'm', now(), n FROM generate_series(1,
        {n}) n;
    INSERT INTO parcel (owner, brand, order_id, parcel_no, location_id, status, waybill)
        SELECT owner, brand, id, 'P' || substr(order_no, 2), 1, 'planned', 'SF' || substr(order_no, 2) FROM sales_order;
    INSERT INTO message (id, owner, brand, system, stream, idempotency_key, fingerprint, media_type) SELECT
        'msg_' || lpad(to_hex(n), 12, '0') || repeat('0', 20), 'owner', 'brand', 'hub', 'products', 'k-' || n,
        'f', 'application/json' FROM generate_series(1, {n}) n;
    INSERT INTO message_record (message_id, position, key_id, sealed) SELECT 'msg_' || lpad(to_hex(n), 12,
        '0') || repeat('0', 20), 0, n, 'x' FROM generate_series(1, {n}) n;
    INSERT INTO flow_run (owner, brand, flow, version, business_key, state) SELECT 'owner', 'brand',
        'one_stock.ship_parcel', 1, 'P' || n, 'done' FROM generate_series(1, {n}) n;
    INSERT INTO effect (owner, brand, run_id, step, system, writer, key, state, outside_id)
        SELECT owner, brand, id, 's', 'wms', 'delivery_order', 'key-' || substr(business_key, 2), 'confirmed',
        'D' || substr(business_key, 2) FROM flow_run;
    INSERT INTO span (trace_id, span_id, name, kind, status, started_at, ended_at) SELECT md5(n::text), '1',
        'n', 'internal', 'ok', now(), now() FROM generate_series(1, {n}) n;
    INSERT INTO member (owner, brand, system, source_id, code, sealed, key_id, mobile_token, message_id,
        occurred_at) SELECT 'owner', 'brand', 'crm', 'C' || n, 'C' || n, 'x', n, 'token ' || n, 'm', now()
        FROM generate_series(1, {n}) n;
"""


def fill(hub: Hub, rows: int) -> None:
    """So many of everything that search looks at."""
    with hub.database.unit() as uow:
        uow.connection.execute(FILL.replace("{n}", str(rows)).encode())
        uow.commit()
    for table in ("data_key", "sku", "crosswalk", "sales_order", "parcel", "message", "message_record", "flow_run"):
        hub.database.run(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
    hub.database.run("ANALYZE effect, span, member")


def scanned(plan: Any) -> Iterator[str]:
    """The tables that a plan reads from end to end."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


@pytest.fixture
def filled(hub: Hub) -> Iterator[Hub]:
    fill(hub, ROWS)
    yield hub
    hub.database.run("DELETE FROM data_key WHERE subject_token LIKE 'token %%'")


def test_every_question_is_answered_by_indexes(filled: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, list[str]]] = []
    ask = _Asked.rows

    def explained(self: Any, query: Any, parameters: Any = None) -> Any:
        (row,) = ask(self, "EXPLAIN (FORMAT JSON) " + query, parameters)
        plan = row["QUERY PLAN"]
        plan = orjson.loads(plan) if isinstance(plan, str) else plan
        found.append((query, list(scanned(plan[0]["Plan"]))))
        return ask(self, query, parameters)

    monkeypatch.setattr(_Asked, "rows", explained)
    kinds = {question: {hit.matched for hit in search(filled, ME, question)} for question in QUESTIONS}
    assert {query: tables for query, tables in found if tables} == {}
    assert kinds["M1000"] >= {"order_no"}
    assert kinds["6901234500100"] == {"gtin"}
    assert kinds["D100"] == {"document"}
    assert kinds["key-100"] == {"effect_key"}
    assert kinds["T-nothing"] == set()
