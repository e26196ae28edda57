"""A pulled stream's pages become messages; the cursor moves with them, and nobody pulls beside another."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from canonical_model.errors import ConflictError, NotFoundError, RejectedError, TransientError
from canonical_model.ports import Page
from flows.ingest.pull import pull, pull_due
from tests.flows.desk import Desk, count


class Shelves:
    """A reader over pages held in memory; ``fails_at`` breaks off before that page."""

    def __init__(self, pages: list[list[Any]]) -> None:
        self.pages_held = pages
        self.fails_at: int | None = None
        self.asked: list[str | None] = []

    def pages(self, cursor: str | None) -> Iterator[Page]:
        self.asked.append(cursor)
        for number in range(int(cursor or 0), len(self.pages_held)):
            if number == self.fails_at:
                raise TransientError("the system is away")
            last = number + 1 == len(self.pages_held)
            yield Page(self.pages_held[number], None if last else str(number + 1))


@pytest.fixture
def shelves(stocked: Desk) -> Shelves:
    """The shop's stock, pulled instead of pushed."""
    reader = Shelves([[count("TEE", "W1", 1)], [], [count("NUT", "W1", 2), count("NEW", "W1", 3)]])
    connector = stocked.hub.estate.connector("shop")
    stock = connector.manifest.stream("stock")
    assert stock is not None
    pulled = stock.model_copy(update={"direction": "pull", "schedule_s": 3600.0})
    streams = tuple(pulled if stream.name == "stock" else stream for stream in connector.manifest.streams)
    manifest = connector.manifest.model_copy(update={"streams": streams})
    connectors: Any = stocked.hub.estate.connectors
    connectors["shop"] = replace(connector, manifest=manifest, readers={"stock": reader})
    return reader


def messages(desk: Desk) -> int:
    return int(desk.one("SELECT count(*) FROM message WHERE stream = 'stock'"))


def test_every_page_with_records_is_a_message_and_the_stream_starts_over_next_time(
    stocked: Desk, shelves: Shelves
) -> None:
    report = pull(stocked.hub, "shop", "stock")
    stocked.work()
    assert (report.pages, report.records, len(report.messages), report.error) == (3, 3, 2, None)
    assert stocked.one("SELECT sum(on_hand) FROM stock_level") == 3
    assert stocked.one("SELECT count(*) FROM quarantine") == 1
    pull(stocked.hub, "shop", "stock")
    assert shelves.asked == [None, None]
    assert messages(stocked) == 4


def test_pages_stored_before_a_failure_stay_and_the_next_pull_goes_on_behind_them(
    stocked: Desk, shelves: Shelves
) -> None:
    shelves.fails_at = 2
    report = pull(stocked.hub, "shop", "stock")
    assert (report.pages, str(report.error)) == (2, "the system is away")
    assert messages(stocked) == 1
    with pytest.raises(ConflictError, match="wait"):
        pull(stocked.hub, "shop", "stock")
    shelves.fails_at = None
    stocked.hub.database.run("UPDATE stream_cursor SET pulling_until = now()")
    assert pull(stocked.hub, "shop", "stock").error is None
    assert shelves.asked == [None, "2"]
    assert messages(stocked) == 2


def test_a_second_process_that_took_over_keeps_the_first_from_storing(stocked: Desk, shelves: Shelves) -> None:
    class Slow(Shelves):
        def pages(self, cursor: str | None) -> Iterator[Page]:
            for page in super().pages(cursor):
                yield page
                if not self.fails_at:
                    self.fails_at = -1
                    stocked.hub.database.run("UPDATE stream_cursor SET pulling_until = now()")
                    assert pull(stocked.hub, "shop", "stock").error is None

    slow = Slow(shelves.pages_held)
    connectors: Any = stocked.hub.estate.connectors
    connectors["shop"] = replace(connectors["shop"], readers={"stock": slow})
    report = pull(stocked.hub, "shop", "stock")
    assert isinstance(report.error, ConflictError)
    assert report.pages == 1
    assert messages(stocked) == 2


def test_only_what_is_due_is_pulled(stocked: Desk, shelves: Shelves) -> None:
    assert [report.stream for report in pull_due(stocked.hub, "shop")] == ["stock"]
    assert pull_due(stocked.hub, "shop") == []
    stocked.hub.database.run("UPDATE stream_cursor SET updated_at = now() - interval '2 hours'")
    assert len(pull_due(stocked.hub, "shop")) == 1


def test_a_stream_that_keeps_its_place_goes_on_from_there_when_its_schedule_says_so(
    stocked: Desk, shelves: Shelves
) -> None:
    class Changes(Shelves):
        def pages(self, cursor: str | None) -> Iterator[Page]:
            self.asked.append(cursor)
            yield Page([count("TEE", "W1", 1)], f"after {cursor}")

    changes = Changes([])
    connectors: Any = stocked.hub.estate.connectors
    connectors["shop"] = replace(connectors["shop"], readers={"stock": changes})
    assert len(pull_due(stocked.hub, "shop")) == 1
    assert pull_due(stocked.hub, "shop") == []
    stocked.hub.database.run("UPDATE stream_cursor SET updated_at = now() - interval '2 hours'")
    assert len(pull_due(stocked.hub, "shop")) == 1
    assert changes.asked == [None, "after None"]


def test_a_pull_that_broke_off_is_due_again_after_a_moment(stocked: Desk, shelves: Shelves) -> None:
    shelves.fails_at = 1
    (broken,) = pull_due(stocked.hub, "shop")
    assert broken.error is not None
    assert pull_due(stocked.hub, "shop") == []
    stocked.hub.database.run("UPDATE stream_cursor SET pulling_until = now()")
    assert len(pull_due(stocked.hub, "shop")) == 1


def test_what_cannot_be_pulled_is_said(stocked: Desk) -> None:
    with pytest.raises(RejectedError, match="is pushed"):
        pull(stocked.hub, "shop", "products")
    with pytest.raises(NotFoundError):
        pull(stocked.hub, "shop", "nothing")
