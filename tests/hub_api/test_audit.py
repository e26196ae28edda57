"""The audit log: one unbroken chain whoever writes, and no change of it goes unseen."""

import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from canonical_model.errors import LimitError, RejectedError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Database
from flows.runtime.quarantine import Selection
from flows.runtime.sealing import Vault
from flows.runtime.services import Services
from hub_api import auth, repair
from hub_api.audit import AuditFilter, Broken, list_entries, record, verify
from hub_api.auth import Access
from tests.hub_api.accounts import shell
from tests.hub_api.conftest import Client
from tests.hub_api.documents import product

CALLER = Access("k1", "till", "owner", "brand", frozenset({"*"}))


def write(database: Database, count: int = 1, caller: Access = CALLER) -> None:
    for number in range(count):
        with database.unit() as uow:
            record(uow, caller, "run.retry", f"run:{number}", {"step": "书", "n": number})
            uow.commit()


def tamper(database: Database, statement: LiteralString, parameters: Any = None) -> None:
    """What somebody with the database's own rights can do: switch triggers off, then write."""
    with database.unit() as uow:
        uow.execute("SET LOCAL session_replication_role = replica")
        uow.execute(statement, parameters)
        uow.commit()


def broken(database: Database, head: str | None = None) -> Broken:
    found = verify(database, head).broken
    assert found is not None
    return found


def test_an_empty_log_is_intact(database: Database) -> None:
    assert verify(database).broken is None
    assert verify(database).count == 0


def test_entries_are_listed_newest_first_by_whom_what_and_about_what(database: Database) -> None:
    write(database, 3)
    write(database, 1, Access("li", "Li", "owner", "sister", frozenset(), "user"))
    with database.unit() as uow:
        rows = list_entries(uow, AuditFilter("owner", "brand"))
        assert [row["seq"] for row in rows] == [3, 2, 1]
        assert rows[0]["detail"] == {"step": "书", "n": 2}
        assert [row["seq"] for row in list_entries(uow, AuditFilter("owner", "brand"), before=3, limit=1)] == [2]
        assert [row["seq"] for row in list_entries(uow, AuditFilter("owner", "brand", subject="run:1"))] == [2]
        assert list_entries(uow, AuditFilter("owner", "brand", actor="user:li")) == []
        (sister,) = list_entries(uow, AuditFilter("owner", "sister", action="run.retry"))
    assert sister["actor"] == "user:li"


def test_an_entry_lives_and_dies_with_the_change_it_is_about(database: Database) -> None:
    with database.unit() as uow:
        record(uow, CALLER, "run.retry", "run:1")
    assert verify(database).count == 0
    write(database)
    assert verify(database).count == 1


def test_too_much_detail_is_refused(database: Database) -> None:
    with database.unit() as uow, pytest.raises(LimitError):
        record(uow, CALLER, "run.retry", "run:1", {"data": "x" * 20_000})


def test_many_writers_at_once_leave_one_chain_without_gaps(database: Database) -> None:
    chance = random.Random(3)
    rolled_back = {chance.randrange(80) for _ in range(20)}

    def one(number: int) -> None:
        with database.unit() as uow:
            record(uow, CALLER, "key.create", f"key:{number}", {"n": number})
            if number not in rolled_back:
                uow.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(80)))
    verified = verify(database)
    assert (verified.broken, verified.count) == (None, 80 - len(rolled_back))
    rows = database.run("SELECT seq, subject FROM audit ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["subject"] for row in rows} == {f"key:{n}" for n in range(80) if n not in rolled_back}


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'user:other'", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit_head",
     "TRUNCATE audit_head", "DELETE FROM audit WHERE false"],
)  # fmt: skip
def test_the_database_refuses_to_change_it(database: Database, statement: LiteralString) -> None:
    write(database)
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        database.run(statement)
    assert verify(database).broken is None


COLUMNS: list[LiteralString] = ["owner", "brand", "actor", "action", "subject", "detail", "hash"]


@given(st.integers(0, 4), st.sampled_from(COLUMNS), st.integers(0, 10_000), st.integers(1, 127))
@example(4, "hash", 63, 1)
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_single_changed_character_is_found(hub: Hub, entry: int, column: LiteralString, at: int, by: int) -> None:
    database = hub.database
    tamper(database, "DELETE FROM audit")
    tamper(database, "DELETE FROM audit_head")
    write(database, 5)
    (row,) = database.run(f"SELECT {column} AS text FROM audit WHERE seq = %s", (entry + 1,))
    text = row["text"]
    place = at % len(text)
    changed = text[:place] + chr(max(1, ord(text[place]) ^ by)) + text[place + 1 :]
    tamper(database, f"UPDATE audit SET {column} = %s WHERE seq = %s", (changed, entry + 1))
    found = verify(database).broken
    assert changed == text or found is not None
    if found is not None:
        assert found.seq == entry + 1


def test_a_changed_time_is_found(database: Database) -> None:
    write(database, 3)
    tamper(database, "UPDATE audit SET at = at + interval '1 microsecond' WHERE seq = 2")
    assert broken(database).seq == 2


def test_the_session_time_zone_of_the_reader_makes_no_difference(database: Database) -> None:
    write(database)
    with database.unit() as uow:
        (row,) = uow.execute("SELECT at FROM audit").fetchall()
    assert row["at"].astimezone(UTC) <= datetime.now(UTC)
    assert verify(database).broken is None


class TestWhoeverOwnsTheDatabase:
    """Triggers off, rows at will; but the key of the head is not in the database."""

    def test_a_missing_entry_is_named(self, database: Database) -> None:
        write(database, 5)
        tamper(database, "DELETE FROM audit WHERE seq = 3")
        assert broken(database) == Broken(3, "entry 3 is missing; the next one there is 4")

    def test_an_end_cut_off_is_found(self, database: Database) -> None:
        write(database, 5)
        tamper(database, "DELETE FROM audit WHERE seq > 3")
        assert broken(database).seq == 4

    def test_an_end_cut_off_with_the_head_set_back_is_found_also_after_it_was_written_on(
        self, database: Database
    ) -> None:
        write(database, 5)
        tamper(database, "DELETE FROM audit WHERE seq > 3")
        tamper(database, "UPDATE audit_head SET count = 3, hash = (SELECT hash FROM audit WHERE seq = 3)")
        assert broken(database).seq == 3
        write(database, 2)
        assert broken(database).seq == 5, "nobody is kept from working, and nothing is made sound again"

    def test_a_chain_computed_anew_without_the_master_key_is_found(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(hub.database, 3)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(hub.database, "services", Services(hub.estate, Vault(secrets.token_bytes(32))))
            tamper(hub.database, "DELETE FROM audit")
            tamper(hub.database, "DELETE FROM audit_head")
            write(hub.database, 3)
            assert verify(hub.database).broken is None, "sound to whoever forged it"
        assert broken(hub.database).seq == 3

    def test_entries_slipped_in_after_the_head_are_found(self, database: Database) -> None:
        write(database, 2)
        tamper(
            database,
            "INSERT INTO audit SELECT 3, at, owner, brand, actor, action, subject, detail, hash FROM audit"
            " WHERE seq = 2",
        )
        assert broken(database).seq == 3

    def test_a_removed_head_is_found(self, database: Database) -> None:
        write(database, 2)
        tamper(database, "DELETE FROM audit_head")
        assert broken(database).reason == "the head of the log was removed"

    def test_a_whole_earlier_state_put_back_is_found_by_a_head_kept_elsewhere(self, database: Database) -> None:
        write(database, 2)
        (earlier,) = database.run("SELECT count, hash, signature FROM audit_head")
        write(database, 2)
        kept = verify(database).head
        tamper(database, "DELETE FROM audit WHERE seq > 2")
        tamper(
            database,
            "UPDATE audit_head SET count = %(count)s, hash = %(hash)s, signature = %(signature)s",
            dict(earlier),
        )
        assert verify(database).broken is None, "the database alone cannot tell"
        assert broken(database, kept).seq == 3
        write(database, 3)
        assert broken(database, kept).seq == 4

    def test_a_head_kept_elsewhere_stays_part_of_a_longer_chain(self, database: Database) -> None:
        write(database, 2)
        kept = verify(database).head
        write(database, 2)
        assert verify(database, kept).broken is None

    @pytest.mark.parametrize("head", ["", "3", "x:" + "0" * 64, "3:abc", "-1:" + "0" * 64])
    def test_what_is_no_head_is_refused(self, database: Database, head: str) -> None:
        if head:
            with pytest.raises(RejectedError):
                verify(database, head)


class TestWhatIsOnRecord:
    def test_keys_made_rotated_and_ended(self, hub: Hub) -> None:
        key = auth.create_key(hub.database, owner="owner", brand="brand", name="till", scopes=["ops:read"])
        key_id = key.split("_")[1]
        auth.revoke_key(hub.database, key_id)
        auth.revoke_key(hub.database, key_id)
        with hub.database.unit() as uow:
            rows = list_entries(uow, AuditFilter("owner", "brand", subject=f"key:{key_id}"))
        assert [row["action"] for row in rows] == ["key.revoke", "key.create"]
        assert rows[1]["actor"] == shell(hub).actor
        assert key not in str(hub.database.run("SELECT * FROM audit"))

    def test_repairs_by_whoever_asked(self, hub: Hub, client: Client) -> None:
        caller = client("*")
        message_id = caller.post("/v1/ingest/hub/products?wait=true", json=[product(base_unit="parsec")]).json()[
            "message_id"
        ]
        chosen = {"cause": "unit.unknown"}
        assert caller.post("/v1/quarantine/refeed", json={**chosen, "dry_run": True}).status_code == 202
        assert caller.post("/v1/quarantine/refeed", json=chosen).status_code == 202
        assert caller.post("/v1/quarantine/discard", json=chosen).json() == {"discarded": 1}
        repair.replay(hub, shell(hub), message_id)
        with hub.database.unit() as uow:
            rows = list_entries(uow, AuditFilter("owner", "brand"))
        told = [(row["actor"].partition(":")[0], row["action"], row["detail"]) for row in reversed(rows)][1:]
        assert [each[:2] for each in told] == [
            ("key", "quarantine.refeed"), ("key", "quarantine.discard"), ("cli", "message.replay"),
        ]  # fmt: skip
        assert told[1][2] == {"cause": "unit.unknown", "discarded": 1}
        assert verify(hub.database).broken is None

    def test_rows_of_another_brand_are_not_repaired_at_all(self, hub: Hub) -> None:
        with pytest.raises(RejectedError):
            repair.discard(hub, shell(hub), Selection("owner", "sister", None, "pos"))
        assert verify(hub.database).count == 0
