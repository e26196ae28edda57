"""Transfers between places and their lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.errors import NotFoundError

_UPSERT: Final = """
    INSERT INTO transfer AS known (
        owner, brand, system, number, from_location_id, to_location_id, status, shipped_at, received_at, body,
        source_id, message_id, occurred_at)
    SELECT owner, brand, system, number, from_location_id, to_location_id, status, shipped_at, received_at, body,
        source_id, message_id, occurred_at
    FROM jsonb_to_recordset(%s) AS asked (
        owner text, brand text, system text, number text, from_location_id bigint, to_location_id bigint, status text,
        shipped_at timestamptz, received_at timestamptz, body jsonb, source_id text, message_id text,
        occurred_at timestamptz)
    ORDER BY owner, brand, system, number
    ON CONFLICT (owner, brand, system, number) DO UPDATE SET
        from_location_id = excluded.from_location_id, to_location_id = excluded.to_location_id,
        status = excluded.status, shipped_at = excluded.shipped_at, received_at = excluded.received_at,
        body = excluded.body, source_id = excluded.source_id, message_id = excluded.message_id,
        occurred_at = excluded.occurred_at, updated_at = excluded.updated_at
    WHERE known.occurred_at <= excluded.occurred_at
    RETURNING owner, brand, system, number, id
"""
_INSERT_LINES: Final = """
    INSERT INTO transfer_line (transfer_id, line_no, sku_id, sku_code, quantity, shipped, received)
    SELECT transfer_id, line_no, sku_id, sku_code, quantity, shipped, received
    FROM jsonb_to_recordset(%s) AS asked (
        transfer_id bigint, line_no integer, sku_id bigint, sku_code text, quantity bigint, shipped bigint,
        received bigint)
"""

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """``body`` is the canonical Transfer (JSON); ``lines`` have sku_id and quantities in base units."""

    body: Mapping[str, Any]
    from_location_id: int
    to_location_id: int
    lines: Sequence[Mapping[str, Any]]


def upsert_transfers(connection: Connection[DictRow], transfers: Sequence[NewTransfer]) -> list[int]:
    """Write the transfers with their lines; the positions of those that changed nothing, older than what is known.

    The one with the latest ``occurred_at`` wins, the later one of a batch on a tie. Its lines replace the known ones.
    """
    newest = _newest(transfers)
    rows = [_row(transfers[position]) for position in newest.values()]
    written = {
        (row["owner"], row["brand"], row["system"], row["number"]): row["id"]
        for row in connection.execute(_UPSERT, [Jsonb(rows)])
    }
    taken = {position for key, position in newest.items() if key in written}
    connection.execute("DELETE FROM transfer_line WHERE transfer_id = ANY(%s)", [list(written.values())])
    lines = [
        _line(written[_key(transfers[position].body)], line) for position in taken for line in transfers[position].lines
    ]
    connection.execute(_INSERT_LINES, [Jsonb(lines)])
    return sorted(set(range(len(transfers))) - taken)


def get_transfer(connection: Connection[DictRow], owner: str, brand: str, system: str, number: str) -> DictRow:
    """The transfer of that number, with ``lines`` by line_no; NotFoundError otherwise."""
    row = connection.execute(
        "SELECT transfer.*, (SELECT coalesce(jsonb_agg(to_jsonb(line) - 'transfer_id' ORDER BY line_no), '[]')"
        " FROM transfer_line AS line WHERE line.transfer_id = transfer.id) AS lines"
        " FROM transfer WHERE owner = %s AND brand = %s AND system = %s AND number = %s",
        [owner, brand, system, number],
    ).fetchone()
    if row is None:
        raise NotFoundError(f"{system} has sent no transfer {number!r}", code="transfer.unknown", number=number)
    return row


def _newest(transfers: Sequence[NewTransfer]) -> dict[Key, int]:
    order = sorted(
        range(len(transfers)),
        key=lambda position: (datetime.fromisoformat(transfers[position].body["source"]["occurred_at"]), position),
    )
    return {_key(transfers[position].body): position for position in order}


def _key(body: Mapping[str, Any]) -> Key:
    return body["owner"], body["brand"], body["source"]["system"], body["number"]


def _row(transfer: NewTransfer) -> dict[str, Any]:
    body = transfer.body
    return {
        "owner": body["owner"],
        "brand": body["brand"],
        "system": body["source"]["system"],
        "number": body["number"],
        "from_location_id": transfer.from_location_id,
        "to_location_id": transfer.to_location_id,
        "status": body["status"],
        "shipped_at": body.get("shipped_at"),
        "received_at": body.get("received_at"),
        "body": body,
        "source_id": body["source"]["id"],
        "message_id": body["source"]["message_id"],
        "occurred_at": body["source"]["occurred_at"],
    }


def _line(transfer_id: int, line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "transfer_id": transfer_id,
        "line_no": line["line_no"],
        "sku_id": line["sku_id"],
        "sku_code": line["sku"],
        "quantity": line["quantity"],
        "shipped": line["shipped"],
        "received": line["received"],
    }
