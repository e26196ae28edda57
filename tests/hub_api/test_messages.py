"""Messages are listed newest first, page by page, and those of a stream without walking past everybody else's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest
from psycopg import sql

from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from hub_api.messages import MessageFilter, list_messages

FILL = """
    INSERT INTO message (id, owner, brand, system, stream, idempotency_key, fingerprint, media_type, state)
        SELECT 'msg_' || lpad(to_hex(n), 32, '0'), 'owner', 'brand', 'hub',
        CASE WHEN n <= 3000 THEN 'silent' ELSE 'busy' END, 'k' || n, 'f', 'application/json',
        CASE WHEN n % 2 = 0 THEN 'applied' ELSE 'received' END FROM generate_series(1, 20000) n
"""


@dataclass
class Explaining:
    """A unit of work that tells how it would answer."""

    uow: UnitOfWork

    def execute(self, query: sql.Composable, values: dict[str, Any]) -> Any:
        return self.uow.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + query, values)


@pytest.fixture
def filled(hub: Hub) -> Iterator[UnitOfWork]:
    """3,000 messages of a stream that is silent since, and 17,000 of another."""
    with hub.database.unit() as uow:
        uow.execute(FILL)
        uow.execute("ANALYZE message")
        yield uow


def number(row: Mapping[str, Any]) -> int:
    return int(row["id"].removeprefix("msg_"), 16)


def listed(uow: UnitOfWork, wanted: MessageFilter, before: str | None = None) -> list[int]:
    return [number(row) for row in list_messages(uow, "owner", "brand", wanted, before=before, limit=3)]


def indexes(plan: Any) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for part in plan.get("Plans", ()):
        yield from indexes(part)


@pytest.mark.parametrize("before", [None, "msg_" + "f" * 32])
def test_a_silent_stream_is_found_by_its_index(filled: UnitOfWork, before: str | None) -> None:
    explaining = cast(UnitOfWork, Explaining(filled))
    wanted = MessageFilter("hub", "silent")
    (row,) = list_messages(explaining, "owner", "brand", wanted, before=before, limit=100)
    assert list(indexes(row["QUERY PLAN"][0]["Plan"])) == ["ix_message_stream"]


@pytest.mark.parametrize(
    ("wanted", "pages"),
    [
        (MessageFilter(), [[20000, 19999, 19998], [19997, 19996, 19995]]),
        (MessageFilter("hub", "silent"), [[3000, 2999, 2998], [2997, 2996, 2995]]),
        (MessageFilter("hub", "silent", "applied"), [[3000, 2998, 2996], [2994, 2992, 2990]]),
        (MessageFilter(stream="silent"), [[3000, 2999, 2998], [2997, 2996, 2995]]),
        (MessageFilter("hub", "unheard"), [[]]),
    ],
)
def test_messages_come_newest_first_page_by_page(
    filled: UnitOfWork, wanted: MessageFilter, pages: list[list[int]]
) -> None:
    before = None
    for expected in pages:
        assert listed(filled, wanted, before) == expected
        before = f"msg_{expected[-1]:032x}" if expected else None
