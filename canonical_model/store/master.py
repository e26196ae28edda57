"""What SKUs and places have in common: the newest record wins, and every name it carries enters the crosswalk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.store.crosswalk import HUB, CrosswalkEntry, Kind, link, scheme_of

Record = Mapping[str, Any]
Key = tuple[str, str, str]
Name = tuple[str, str, str, str]

_NAMED: Final = """
    SELECT owner, brand, scheme, outside_id, inner_id FROM crosswalk
    JOIN jsonb_to_recordset(%s) AS asked (owner text, brand text, scheme text, outside_id text)
        USING (owner, brand, scheme, outside_id)
    WHERE kind = %s
"""


@dataclass(frozen=True, slots=True)
class TakenName:
    """The record at ``position`` claims a name that already means another row; the record was left out."""

    position: int
    scheme: str
    outside_id: str


@dataclass(frozen=True, slots=True)
class Upserted:
    """``accepted`` records are in. ``stale`` are the positions of those older than what is known.

    ``taken`` ones claim names of other rows and were left out. ``linked`` are the crosswalk entries that are new.
    """

    accepted: int
    stale: list[int] = field(default_factory=list)
    taken: list[TakenName] = field(default_factory=list)
    linked: list[CrosswalkEntry] = field(default_factory=list)


def upsert(
    connection: Connection[DictRow],
    records: Sequence[Record],
    *,
    kind: Kind,
    statement: LiteralString,
    rows: Sequence[Mapping[str, Any]],
) -> Upserted:
    """Write ``rows`` (column values, parallel to the canonical ``records``) with ``statement``, and link their names.

    ``statement`` takes the rows as one JSON parameter and returns owner, brand, code and id of those it wrote.
    """
    newest = _newest(records)
    taken = _taken(connection, records, sorted(newest.values()), kind)
    refused = {name.position for name in taken}
    chosen = [position for position in newest.values() if position not in refused]
    written = {
        (row["owner"], row["brand"], row["code"]): row["id"]
        for row in connection.execute(statement, [Jsonb([rows[position] for position in chosen])])
    }
    accepted = [position for position in chosen if _key(records[position]) in written]
    entries = [
        CrosswalkEntry(
            owner, brand, kind, scheme, outside_id, written[_key(records[position])], _message_id(records[position])
        )
        for position in accepted
        for owner, brand, scheme, outside_id in _names(records[position])
    ]
    stale = sorted(set(range(len(records))) - refused - set(accepted))
    return Upserted(len(accepted), stale, taken, link(connection, entries))


def _key(record: Record) -> Key:
    return record["owner"], record["brand"], record["code"]


def _message_id(record: Record) -> str:
    return str(record["source"]["message_id"])


def _newest(records: Sequence[Record]) -> dict[Key, int]:
    order = sorted(
        range(len(records)),
        key=lambda position: (datetime.fromisoformat(records[position]["source"]["occurred_at"]), position),
    )
    return {_key(records[position]): position for position in order}


def _names(record: Record) -> list[Name]:
    outside = [(HUB, record["code"]), (record["source"]["system"], record["source"]["id"])]
    outside += [(scheme_of(name["scheme"]), name["value"]) for name in record.get("identifiers", ())]
    return [(record["owner"], record["brand"], scheme, value) for scheme, value in dict.fromkeys(outside)]


def _taken(
    connection: Connection[DictRow], records: Sequence[Record], positions: Sequence[int], kind: Kind
) -> list[TakenName]:
    asked = {name for position in positions for name in _names(records[position])}
    named = [dict(zip(("owner", "brand", "scheme", "outside_id"), name, strict=True)) for name in asked]
    meaning: dict[Name, int | Key] = {
        (row["owner"], row["brand"], row["scheme"], row["outside_id"]): row["inner_id"]
        for row in connection.execute(_NAMED, [Jsonb(named), kind])
    }
    taken = []
    for position in positions:
        owner, brand, code = key = _key(records[position])
        own = meaning.get((owner, brand, HUB, code), key)
        names = _names(records[position])
        others = [name for name in names if meaning.get(name, own) != own]
        if others:
            taken.append(TakenName(position, others[0][2], others[0][3]))
        else:
            meaning.update((name, own) for name in names)
    return taken
