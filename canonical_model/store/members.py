"""Members as their sources know them, each with the codes by which other records name them."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.errors import NotFoundError
from canonical_model.store.crosswalk import CrosswalkEntry, link

MAX_PAGE: Final = 500

_UPSERT: Final = """
    INSERT INTO member AS known (
        owner, brand, system, source_id, code, level, home_store, active, sealed, key_id, mobile_token, message_id,
        occurred_at)
    SELECT owner, brand, system, source_id, code, level, home_store, active, decode(sealed, 'base64'), key_id,
        mobile_token, message_id, occurred_at
    FROM jsonb_to_recordset(%s) AS asked (
        owner text, brand text, system text, source_id text, code text, level text, home_store text, active boolean,
        sealed text, key_id bigint, mobile_token text, message_id text, occurred_at timestamptz)
    ORDER BY owner, brand, system, source_id
    ON CONFLICT (owner, brand, system, source_id) DO UPDATE SET
        code = excluded.code, level = excluded.level, home_store = excluded.home_store, active = excluded.active,
        sealed = excluded.sealed, key_id = excluded.key_id, mobile_token = excluded.mobile_token,
        message_id = excluded.message_id, occurred_at = excluded.occurred_at, updated_at = clock_timestamp()
    WHERE known.occurred_at <= excluded.occurred_at
    RETURNING id, owner, brand, system, source_id
"""

# Each asked row is looked up by itself: joined, a planner without fresh statistics compares every row with every other.
_NAMED: Final = """
    SELECT asked.owner, asked.brand, asked.scheme AS system, asked.outside_id AS code, known.source_id
    FROM jsonb_to_recordset(%s) AS asked (owner text, brand text, scheme text, outside_id text)
    CROSS JOIN LATERAL (
        SELECT member.source_id FROM crosswalk AS name JOIN member ON member.id = name.inner_id
        WHERE (name.owner, name.brand, name.scheme, name.kind, name.outside_id)
            = (asked.owner, asked.brand, asked.scheme, 'member', asked.outside_id)
        LIMIT 1
    ) AS known
"""

_KEEP_KEYS: Final = """
    INSERT INTO member_key (key_id, member_id)
    SELECT asked.key_id, known.id
    FROM jsonb_to_recordset(%s) AS asked (owner text, brand text, system text, source_id text, key_id bigint)
    CROSS JOIN LATERAL (
        SELECT id FROM member AS known
        WHERE (known.owner, known.brand, known.system, known.source_id)
            = (asked.owner, asked.brand, asked.system, asked.source_id)
        LIMIT 1
    ) AS known
    ON CONFLICT DO NOTHING
"""

_KEY: Final = ("owner", "brand", "system", "source_id")
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member to write. ``body`` is the canonical Member (JSON); its personal part is ``sealed`` by the caller."""

    body: Mapping[str, Any]
    sealed: bytes
    key_id: int
    mobile_token: str | None = None


@dataclass(frozen=True, slots=True)
class UpsertedMembers:
    """Positions of the ``stale`` (older than what is known) and of the ``taken``, whose code names somebody else.

    ``linked``: codes that are new.
    """

    stale: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    linked: list[CrosswalkEntry] = field(default_factory=list)


def upsert_members(connection: Connection[DictRow], members: Sequence[NewMember]) -> UpsertedMembers:
    """Write members by (owner, brand, system, source id) and link their codes under their system.

    The latest ``occurred_at`` wins, the later record of a batch on a tie. A former code goes on naming its member.
    """
    rows = [_row(member) for member in members]
    newest = _newest(rows)
    taken = _taken(connection, rows, sorted(newest.values()))
    chosen = [position for position in newest.values() if position not in taken]
    written = {
        _key(row): row["id"] for row in connection.execute(_UPSERT, [Jsonb([rows[position] for position in chosen])])
    }
    accepted = [position for position in chosen if _key(rows[position]) in written]
    known = [row for position, row in enumerate(rows) if position not in taken]
    connection.execute(_KEEP_KEYS, [Jsonb([{name: row[name] for name in (*_KEY, "key_id")} for row in known])])
    entries = [_entry(rows[position], written[_key(rows[position])]) for position in accepted]
    stale = sorted(set(range(len(rows))) - set(taken) - set(accepted))
    return UpsertedMembers(stale, taken, link(connection, entries))


def _row(member: NewMember) -> dict[str, Any]:
    body, source = member.body, member.body["source"]
    return {
        "owner": body["owner"],
        "brand": body["brand"],
        "system": source["system"],
        "source_id": source["id"],
        "code": body["code"],
        "level": body.get("level"),
        "home_store": body.get("home_store"),
        "active": body.get("active", True),
        "sealed": b64encode(member.sealed).decode(),
        "key_id": member.key_id,
        "mobile_token": member.mobile_token,
        "message_id": source["message_id"],
        "occurred_at": source["occurred_at"],
    }


def _key(row: Mapping[str, Any]) -> Key:
    return row["owner"], row["brand"], row["system"], row["source_id"]


def _newest(rows: Sequence[Mapping[str, Any]]) -> dict[Key, int]:
    order = sorted(range(len(rows)), key=lambda at: (datetime.fromisoformat(rows[at]["occurred_at"]), at))
    return {_key(rows[position]): position for position in order}


def _taken(connection: Connection[DictRow], rows: Sequence[Mapping[str, Any]], positions: Sequence[int]) -> list[int]:
    """Positions of the rows whose code already names another member; of two in one batch, the later row's."""

    def name(row: Mapping[str, Any]) -> Key:
        return row["owner"], row["brand"], row["system"], row["code"]

    asked = [
        dict(zip(("owner", "brand", "scheme", "outside_id"), name(rows[position]), strict=True))
        for position in positions
    ]
    meaning = {name(row): row["source_id"] for row in connection.execute(_NAMED, [Jsonb(asked)])}
    return [
        position
        for position in positions
        if meaning.setdefault(name(rows[position]), rows[position]["source_id"]) != rows[position]["source_id"]
    ]


def _entry(row: Mapping[str, Any], member_id: int) -> CrosswalkEntry:
    return CrosswalkEntry(
        row["owner"], row["brand"], "member", row["system"], row["code"], member_id, row["message_id"]
    )


def get_member(connection: Connection[DictRow], owner: str, brand: str, member_id: int) -> DictRow:
    """The whole row. NotFoundError if there is none."""
    row = connection.execute(
        "SELECT * FROM member WHERE owner = %s AND brand = %s AND id = %s", (owner, brand, member_id)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no member with the id {member_id}", code="member.unknown")
    return row


def list_members(
    connection: Connection[DictRow],
    *,
    owner: str,
    brand: str,
    system: str | None = None,
    code: str | None = None,
    mobile_token: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[DictRow]:
    """Whole rows by id after ``after``; every criterion given must hold. ``code``: also a former one."""
    given: dict[str, Any] = {"system": system, "mobile_token": mobile_token}
    filters: list[sql.Composable] = [
        sql.SQL("{} = %({})s").format(sql.Identifier(n), sql.SQL(n)) for n, v in given.items() if v is not None
    ]
    if code is not None:
        filters.append(
            sql.SQL(
                "id IN (SELECT inner_id FROM crosswalk WHERE (owner, brand) = (%(owner)s, %(brand)s)"
                " AND kind = 'member' AND outside_id = %(code)s)"
            )
        )
    where = sql.SQL(" AND ").join([sql.SQL("owner = %(owner)s AND brand = %(brand)s AND id > %(after)s"), *filters])
    query = sql.SQL("SELECT * FROM member WHERE {} ORDER BY id LIMIT %(limit)s").format(where)
    page = {"owner": owner, "brand": brand, "code": code, "after": after, "limit": min(limit, MAX_PAGE)}
    return connection.execute(query, given | page).fetchall()


def list_keys(connection: Connection[DictRow], member_id: int) -> list[int]:
    """The data keys of every record about the member that was ever taken."""
    rows = connection.execute("SELECT key_id FROM member_key WHERE member_id = %s ORDER BY key_id", (member_id,))
    return [row["key_id"] for row in rows]


def keep_key(connection: Connection[DictRow], member_id: int, key_id: int) -> None:
    """Note that something about the member lies under that data key, to be destroyed with the others."""
    connection.execute(
        "INSERT INTO member_key (key_id, member_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (key_id, member_id)
    )


def forget_mobile(connection: Connection[DictRow], member_id: int) -> None:
    """Nobody finds the member by a mobile number any more."""
    connection.execute("UPDATE member SET mobile_token = NULL WHERE id = %s", (member_id,))
