"""The simulated CRM: its members, their points, and what it pushes."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from connectors.crm.envelopes import envelope, member_push, points_push
from connectors.kit.books import Books
from connectors.kit.outgoing import HubClient, Push

BATCH: Final = 200
MEDIA_TYPE: Final = "text/xml; charset=utf-8"
TIME: Final = "%Y-%m-%d %H:%M:%S"
FIELDS: Final = (
    "memberName",
    "mobilePhone",
    "gradeCode",
    "shopCode",
    "gender",
    "birthday",
    "remark",
    "delFlag",
    "testFlag",
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS member (
    id INTEGER PRIMARY KEY, member_id TEXT NOT NULL UNIQUE, card_no TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
    modify_time TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_member_modified ON member (modify_time, member_id);
CREATE TABLE IF NOT EXISTS flow (
    id INTEGER PRIMARY KEY, flow_no TEXT NOT NULL UNIQUE, card_no TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY);
"""


class RefusedError(Exception):
    """The CRM says no: an HTTP status for its controls, and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Loyalty:
    """All members and points of one CRM."""

    def __init__(self, books: Books, hub: HubClient, *, system: str, zone: ZoneInfo) -> None:
        self._books = books
        self._hub = hub
        self._system = system
        self._zone = zone

    def enter(self, members: Sequence[Mapping[str, Any]], *, push: bool = True) -> list[dict[str, Any]]:
        """Take in new members, or changes of known ones by ``memberId``; as the CRM holds them now.

        What is left out: a new ``memberId`` and ``cardNo``, and now as ``modifyTime``. RefusedError 409: the card is
        somebody else's. ``push``: tell the hub, too.
        """
        with self._books.transaction() as db:
            entered = [self._enter(db, member) for member in members]
            if push:
                self._push(db, "members", [member_push(member, self._zone) for member in entered])
        return entered

    def move_points(self, flows: Sequence[Mapping[str, Any]], *, push: bool = True) -> list[dict[str, Any]]:
        """Book ``cardNo, points`` and optionally ``accountType, happenTime, expireTime, billNo``; RefusedError 404."""
        with self._books.transaction() as db:
            booked = [self._book(db, flow) for flow in flows]
            if push:
                self._push(db, "points", [points_push(flow, self._zone) for flow in booked])
        return booked

    def members(self, since: str | None, after: tuple[str, str] | None, limit: int) -> list[dict[str, Any]]:
        """Members changed at or after ``since``, by (modifyTime, memberId), after that pair."""
        rows = self._books.rows(
            "SELECT body FROM member WHERE modify_time >= ? AND (modify_time, member_id) > (?, ?)"
            " ORDER BY modify_time, member_id LIMIT ?",
            since or "",
            *(after or ("", "")),
            limit,
        )
        return [orjson.loads(row["body"]) for row in rows]

    def flows(self, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """Points movements with their numbers, after that one."""
        rows = self._books.rows("SELECT id, body FROM flow WHERE id > ? ORDER BY id LIMIT ?", after, limit)
        return [(row["id"], orjson.loads(row["body"])) for row in rows]

    def now(self) -> str:
        """The CRM's clock, as it writes it."""
        return datetime.now(self._zone).strftime(TIME)

    def _enter(self, db: sqlite3.Connection, member: Mapping[str, Any]) -> dict[str, Any]:
        known = self._known(db, member.get("memberId"))
        number = db.execute("SELECT coalesce(max(id), 0) + 1 FROM member").fetchone()[0]
        body = {
            "memberId": f"M{number:08d}",
            "cardNo": f"86{number:010d}",
            **known,
            **{name: str(value) for name, value in member.items() if name in (*FIELDS, "memberId", "cardNo")},
            "modifyTime": datetime.strptime(member.get("modifyTime") or self.now(), TIME).strftime(TIME),  # noqa: DTZ007
        }
        try:
            db.execute(
                "INSERT INTO member (member_id, card_no, body, modify_time) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (member_id) DO UPDATE SET card_no = excluded.card_no, body = excluded.body,"
                " modify_time = excluded.modify_time",
                (body["memberId"], body["cardNo"], orjson.dumps(body).decode(), body["modifyTime"]),
            )
        except sqlite3.IntegrityError as error:
            raise RefusedError(409, f"卡号 {body['cardNo']} 已存在") from error
        return body

    def _known(self, db: sqlite3.Connection, member_id: str | None) -> dict[str, Any]:
        row = db.execute("SELECT body FROM member WHERE member_id = ?", (member_id,)).fetchone()
        return dict(orjson.loads(row["body"])) if row else {}

    def _book(self, db: sqlite3.Connection, flow: Mapping[str, Any]) -> dict[str, Any]:
        if not db.execute("SELECT 1 FROM member WHERE card_no = ?", (flow["cardNo"],)).fetchone():
            raise RefusedError(404, f"卡号 {flow['cardNo']} 不存在")
        number = db.execute("SELECT coalesce(max(id), 0) + 1 FROM flow").fetchone()[0]
        body = {
            "flowNo": f"F{number:010d}",
            "cardNo": flow["cardNo"],
            "accountType": flow.get("accountType", "stars"),
            "points": int(flow["points"]),
            "happenTime": flow.get("happenTime") or self.now(),
            **{name: flow[name] for name in ("expireTime", "billNo") if flow.get(name)},
        }
        db.execute(
            "INSERT INTO flow (flow_no, card_no, body) VALUES (?, ?, ?)",
            (body["flowNo"], body["cardNo"], orjson.dumps(body).decode()),
        )
        return body

    def _push(self, db: sqlite3.Connection, stream: str, items: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(items), BATCH):
            number = db.execute("INSERT INTO batch DEFAULT VALUES").lastrowid
            key = f"{self._system}-{stream}-{number:08d}"
            body = envelope(stream, key, items[start : start + BATCH], system=self._system)
            self._hub.queue(db, Push(stream, key, body, MEDIA_TYPE))
