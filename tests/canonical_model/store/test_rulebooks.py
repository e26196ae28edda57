"""Rulebooks are only added; each brand counts its own versions, without a gap, whoever publishes at once."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import rulebooks
from canonical_model.store.rulebooks import RulebookDoc
from flows.runtime.database import Database


def publish(connection: Connection[DictRow], body: str, *, brand: str = "yunshang") -> RulebookDoc:
    fingerprint = hashlib.sha256(body.encode()).hexdigest()
    return rulebooks.publish(
        connection, "yunshang", brand, body=body, fingerprint=fingerprint, note=f"why {body}", by="li"
    )


@pytest.mark.every_postgres
def test_the_newest_version_is_in_force_and_every_other_stays(transaction: Connection[DictRow]) -> None:
    assert rulebooks.find_rulebook(transaction, "yunshang", "yunshang") is None
    assert rulebooks.newest(transaction, "yunshang", "yunshang") is None
    first, second = publish(transaction, "a"), publish(transaction, "b")
    assert (first.version, second.version) == (1, 2)
    assert rulebooks.find_rulebook(transaction, "yunshang", "yunshang") == second
    assert rulebooks.find_rulebook(transaction, "yunshang", "yunshang", 1) == first
    assert rulebooks.find_rulebook(transaction, "yunshang", "yunshang", 3) is None
    assert rulebooks.newest(transaction, "yunshang", "yunshang") == (2, second.fingerprint)


def test_the_same_text_again_is_the_same_version_until_another_came_between(
    transaction: Connection[DictRow],
) -> None:
    assert publish(transaction, "a") == publish(transaction, "a")
    publish(transaction, "b")
    assert publish(transaction, "a").version == 3


def test_each_brand_counts_its_own_versions(transaction: Connection[DictRow]) -> None:
    publish(transaction, "a")
    publish(transaction, "b")
    assert publish(transaction, "b", brand="yunshu").version == 1


def test_versions_are_listed_newest_first_page_by_page(transaction: Connection[DictRow]) -> None:
    for body in "abc":
        publish(transaction, body)
    page = rulebooks.list_rulebooks(transaction, "yunshang", "yunshang", limit=2)
    assert [(head.version, head.note) for head in page] == [(3, "why c"), (2, "why b")]
    rest = rulebooks.list_rulebooks(transaction, "yunshang", "yunshang", before=2)
    assert [head.version for head in rest] == [1]


def test_those_who_publish_at_once_get_one_version_each(database_url: str) -> None:
    with Database(database_url, pool_size=8) as database:

        def published(number: int) -> int:
            with database.unit() as uow:
                version = publish(uow.connection, f"text {number}").version
                uow.commit()
                return version

        with ThreadPoolExecutor(8) as threads:
            versions = sorted(threads.map(published, range(24)))
    assert versions == list(range(1, 25))
