"""A CRM that is pulled with zeep and pushes by SOAP: one row a member, the newest wins, nothing personal lies open."""

import base64
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
import uvicorn
from pydantic import SecretStr

from canonical_model.ports import SystemConfig
from connectors.crm.books import CrmBooks
from connectors.crm.envelopes import envelope, member_push
from connectors.kit.process import SimulatorProcess
from flows.ingest.pull import pull
from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub, build
from flows.runtime.sealing import Sealed
from flows.runtime.settings import Settings
from hub_api.auth import create_key
from hub_api.rest.app import create_app
from tests.system.conftest import eventually

OWNER: Final = "yunshang"
PASSWORD: Final = "yipan-demo"
MOBILE: Final = "13800138000"
WRITTEN: Final = "+86 138 0013 8000"
NAME: Final = "欧阳小一"
REMARK: Final = "住在绿城的王太太"
PERSONAL: Final = (MOBILE, WRITTEN, "138 0013 8000", NAME, REMARK, "1990-05-20")
ESTATE: Final = f"""
owner = "{OWNER}"
brand = "{OWNER}"

[systems.crm]
connector = "crm"
settings = {{ base_url = "URL", user = "YIPAN" }}
secrets = {{ password = "file:SECRET" }}
"""


@dataclass(frozen=True)
class Estate:
    """The CRM, and the hub that it pushes to and that pulls from it."""

    hub: Hub
    crm: str
    rest: httpx.Client

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, f"{self.crm}{path}", json=body, timeout=30, trust_env=False)
        return answer.raise_for_status().json()

    def enter(self, *members: dict[str, Any], push: bool = True) -> list[dict[str, Any]]:
        """Enter members, and wait until what the CRM tells of them has arrived."""
        entered: list[dict[str, Any]] = self.control("POST", f"/_members?push={int(push)}", list(members))
        self.arrive()
        return entered

    def arrive(self) -> None:
        left = eventually(lambda: self.control("GET", "/_outgoing"), lambda state: state["pending"] == 0)
        assert (left["pending"], left["refused"]) == (0, 0), left
        self.work()

    def work(self) -> None:
        while self.hub.runner.work("ingest"):
            pass

    def push_again(self, member: dict[str, str], key: str) -> None:
        """What the CRM would have sent for that state of the member, under a key of its own."""
        body = envelope("members", key, [member_push(member, ZoneInfo("Asia/Shanghai"))], system="crm")
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        assert self.rest.post("/soap/v1", content=body, headers=headers).status_code == 200

    def pull(self) -> int:
        """Pull the members; how many came."""
        report = pull(self.hub, "crm", "member_list")
        assert report.error is None
        self.work()
        return report.records

    def rows(self, query: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.hub.database.run(query)]

    def opened(self) -> list[dict[str, Any]]:
        """What is sealed of every member, by id."""
        rows = self.rows("SELECT key_id, sealed FROM member ORDER BY id")
        with self.hub.database.unit() as uow:
            plain = self.hub.vault.open_many(uow.connection, [Sealed(row["key_id"], row["sealed"]) for row in rows])
        return [orjson.loads(content) for content in plain if content]


def _settings(folder: Path, database_url: str, crm_url: str) -> Settings:
    (folder / "password").write_text(PASSWORD)
    (folder / "master.key").write_bytes(base64.b64encode(bytes(range(32))))
    estate = ESTATE.replace("URL", crm_url).replace("SECRET", str(folder / "password"))
    (folder / "estate.toml").write_text(estate)
    return Settings(
        data_dir=folder,
        database_url=SecretStr(database_url),
        estate=folder / "estate.toml",
        master_key=f"file:{folder / 'master.key'}",
        wait_s=20,
    )


@pytest.fixture
def estate(tmp_path: Path, database_url: str) -> Iterator[Estate]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with build(_settings(tmp_path, database_url, "http://127.0.0.1:9")) as first:
            key = create_key(first.database, owner=OWNER, brand=OWNER, name="crm", scopes=["*"])
        with (
            SimulatorProcess("crm", tmp_path / "crm.db", hub=url, key=key, settings={"page_rows": "2"}) as crm,
            build(_settings(tmp_path, database_url, crm.url)) as hub,
        ):
            telemetry.start(hub.settings, hub.database)
            server = uvicorn.Server(uvicorn.Config(create_app(hub), log_config=None, http="h11", ws="none"))
            thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
            thread.start()
            with httpx.Client(
                base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
            ) as rest:
                yield Estate(hub, crm.url, rest)
            server.should_exit = True
            thread.join()
            telemetry.stop()


def person(**changes: Any) -> dict[str, Any]:
    given = {"memberName": NAME, "mobilePhone": WRITTEN, "gradeCode": "03", "shopCode": "S001"}
    return {**given, "birthday": "1990-05-20", "remark": REMARK, **changes}


def test_a_member_that_is_pulled_and_pushed_is_one_member_and_the_newest_state_wins(estate: Estate) -> None:
    (first,) = estate.enter(person(modifyTime="2026-03-01 12:00:00"))
    assert estate.pull() == 1
    pushed_and_pulled = estate.rows("SELECT source_id, code, level, occurred_at FROM member")
    assert [(row["source_id"], row["level"]) for row in pushed_and_pulled] == [(first["memberId"], "gold")]
    assert estate.opened() == [
        {"name": NAME, "mobile": MOBILE, "extensions": {"birthday": "1990-05-20", "remark": REMARK}}
    ]
    estate.enter({"memberId": first["memberId"], "gradeCode": "04"}, push=False)
    assert estate.pull() == 1
    estate.push_again(first, "late")
    (row,) = estate.rows("SELECT level FROM member")
    assert row["level"] == "black"
    (late,) = estate.rows("SELECT ignored FROM message WHERE idempotency_key = 'late'")
    assert late["ignored"] == 1


def test_points_come_after_their_member_and_wait_for_it_if_they_must(estate: Estate) -> None:
    (known, unheard) = (estate.enter(person())[0], estate.enter(person(mobilePhone=""), push=False)[0])
    flows = [{"cardNo": row["cardNo"], "points": 100, "billNo": "S001-1"} for row in (known, unheard)]
    estate.control("POST", "/_points", flows)
    estate.arrive()
    assert [row["points"] for row in estate.rows("SELECT points FROM points_entry")] == [100]
    assert estate.pull() == 2
    theirs = {flow["flowNo"]: flow["points"] for flow in _books(estate).points()}
    assert {row["source_id"]: row["points"] for row in estate.rows("SELECT * FROM points_entry")} == theirs


def test_with_every_fault_on_the_books_of_both_agree(estate: Estate) -> None:
    rates = {"delay": 0.3, "duplicate": 0.5, "malformed": 0.5, "error500": 0.2, "drop_answer": 0.2, "busy": 0.2}
    estate.control("PUT", "/_faults", rates)
    for number in range(6):
        (member,) = estate.enter(person(memberName=f"会员 {number}", mobilePhone=f"1380000{number:04}"))
        estate.control("POST", "/_points", [{"cardNo": member["cardNo"], "points": number + 1}])
    estate.arrive()
    estate.control("PUT", "/_faults", dict.fromkeys(rates, 0))
    estate.pull()
    books = _books(estate)
    ours = {row["source_id"]: row["code"] for row in estate.rows("SELECT source_id, code FROM member")}
    assert ours == {row["memberId"]: row["cardNo"] for row in books.members()}
    entries = {row["source_id"]: row["points"] for row in estate.rows("SELECT source_id, points FROM points_entry")}
    assert entries == {flow["flowNo"]: flow["points"] for flow in books.points()}
    assert sum(entries.values()) == 21


def test_nothing_personal_is_said_in_logs_traces_listings_or_tables(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    estate.enter(person(), person(gradeCode="77", mobilePhone="13900139000"), person(cardNo=f"V{MOBILE}"))
    estate.enter(person(delFlag="maybe", modifyTime="2026-03-01 12:00:00"), push=False)
    estate.pull()
    telemetry.stop()
    listings = ("messages", "quarantine", "quarantine/records", "runs", "members")
    said = [caplog.text, *(estate.rest.get(f"/v1/{listing}").text for listing in listings)]
    rows = estate.rest.get("/v1/quarantine/records").json()["items"]
    assert {row["cause"] for row in rows} == {"code.unknown", "flag.unknown", "member.named_by_mobile"}
    said += [estate.rest.get(f"/v1/quarantine/{row['id']}").text for row in rows]
    tables = ("member", "message", "message_record", "quarantine", "crosswalk", "flow_run", "flow_step", "span")
    for table in tables:
        said += [str(row) for row in estate.rows(f"SELECT t::text FROM {table} t")]
    assert estate.rows("SELECT 1 FROM span LIMIT 1")
    assert [word for word in PERSONAL for text in said if word in text or word.encode().hex() in text] == []


def _books(estate: Estate) -> CrmBooks:
    config = SystemConfig(
        name="crm",
        connector="crm",
        owner=OWNER,
        brand=OWNER,
        settings={"base_url": estate.crm, "user": "YIPAN"},
        secrets={"password": PASSWORD},
    )
    return CrmBooks(config)
