"""Transfers: the newest state wins, and its lines replace the known ones."""

from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.store.transfers import NewTransfer, get_transfer, upsert_transfers
from tests.canonical_model.store.shelf import OWNER, at

pytestmark = pytest.mark.every_postgres

BRAND = "yunshang"


def state(
    number: str = "DB1", seconds: float = 0, status: str = "approved", *quantities: int, system: str = "drp"
) -> NewTransfer:
    lines = [
        {"line_no": n, "sku": f"A{n}", "sku_id": n, "quantity": quantity, "shipped": quantity, "received": 0}
        for n, quantity in enumerate(quantities or (20,), start=1)
    ]
    body: dict[str, Any] = {
        "owner": OWNER,
        "brand": BRAND,
        "source": {"system": system, "id": number, "occurred_at": at(seconds), "message_id": f"m{seconds}"},
        "number": number,
        "status": status,
        "lines": lines,
    }
    return NewTransfer(body, from_location_id=1, to_location_id=2, lines=lines)


def known(connection: Connection[DictRow], number: str = "DB1", system: str = "drp") -> tuple[str, list[int]]:
    row = get_transfer(connection, OWNER, BRAND, system, number)
    return row["status"], [line["quantity"] for line in row["lines"]]


def test_a_later_state_replaces_the_known_one_with_its_lines(transaction: Connection[DictRow]) -> None:
    assert upsert_transfers(transaction, [state("DB1", 0, "approved", 20, 30)]) == []
    assert upsert_transfers(transaction, [state("DB1", 60, "shipped", 18)]) == []
    assert known(transaction) == ("shipped", [18])


def test_an_earlier_state_changes_nothing(transaction: Connection[DictRow]) -> None:
    upsert_transfers(transaction, [state("DB1", 60, "shipped", 18)])
    assert upsert_transfers(transaction, [state("DB2", 0), state("DB1", 0, "approved", 20)]) == [1]
    assert known(transaction) == ("shipped", [18])


def test_of_one_batch_the_newest_wins_and_of_one_moment_the_last(transaction: Connection[DictRow]) -> None:
    states = [state("DB1", 60, "shipped"), state("DB1", 0, "approved"), state("DB1", 60, "received")]
    assert upsert_transfers(transaction, states) == [0, 1]
    assert known(transaction) == ("received", [20])


def test_the_same_state_twice_is_the_same(transaction: Connection[DictRow]) -> None:
    for _ in range(2):
        assert upsert_transfers(transaction, [state("DB1", 0, "approved", 20, 30)]) == []
    assert known(transaction) == ("approved", [20, 30])


def test_two_systems_number_their_transfers_for_themselves(transaction: Connection[DictRow]) -> None:
    upsert_transfers(transaction, [state(status="shipped"), state(status="received", system="wms")])
    assert (known(transaction)[0], known(transaction, system="wms")[0]) == ("shipped", "received")


def test_nothing_to_write_writes_nothing(transaction: Connection[DictRow]) -> None:
    assert upsert_transfers(transaction, []) == []
    with pytest.raises(NotFoundError, match="DB9"):
        get_transfer(transaction, OWNER, BRAND, "drp", "DB9")
