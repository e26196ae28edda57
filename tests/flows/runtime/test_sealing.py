"""Personal data is sealed under keys of its own, and erased by destroying them."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canonical_model.errors import ConfigurationError, NotFoundError
from flows.runtime.database import Database
from flows.runtime.sealing import Secret, Vault, load_master_key

MASTER = bytes(range(32))


def test_what_is_sealed_can_be_opened_and_reads_as_noise(database: Database) -> None:
    vault = Vault(MASTER)
    with database.unit() as uow:
        sealed = vault.seal_many(uow.connection, [Secret("陈一 13800000000".encode()), Secret(b"")])
        assert vault.open(uow.connection, sealed[0].key_id, sealed[0].content).decode() == "陈一 13800000000"
        assert vault.open_many(uow.connection, sealed) == ["陈一 13800000000".encode(), b""]
        assert b"13800000000" not in sealed[0].content


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_come_back_in_order(database: Database, plain: list[bytes]) -> None:
    vault = Vault(MASTER)
    with database.unit() as uow:
        sealed = vault.seal_many(uow.connection, [Secret(content) for content in plain])
        assert vault.open_many(uow.connection, sealed) == plain


def test_erasing_a_person_makes_every_copy_unreadable_and_nobody_elses(database: Database) -> None:
    vault = Vault(MASTER)
    with database.unit() as uow:
        person, other = vault.token("13800000000"), vault.token("13900000000")
        inbox = vault.seal(uow.connection, b"inbox record", subject=person)
        copy = vault.seal_under(uow.connection, inbox.key_id, b"receiver of the order")
        untouched = vault.seal(uow.connection, b"someone else", subject=other)
        assert vault.destroy(uow.connection, person) == 1
        assert vault.destroy(uow.connection, person) == 0
        for content in (inbox.content, copy):
            with pytest.raises(NotFoundError, match="erased"):
                vault.open(uow.connection, inbox.key_id, content)
        with pytest.raises(NotFoundError, match="erased"):
            vault.seal_under(uow.connection, inbox.key_id, b"more")
        assert vault.open_many(uow.connection, [inbox, untouched]) == [None, b"someone else"]


def test_a_wrong_master_key_is_found_before_anything_is_sealed_with_it(database: Database) -> None:
    right, wrong = Vault(MASTER), Vault(bytes(32))
    with database.unit() as uow:
        right.check(uow.connection)
        right.check(uow.connection)
        sealed = right.seal(uow.connection, b"x")
        with pytest.raises(ConfigurationError, match="YIPAN_MASTER_KEY"):
            wrong.check(uow.connection)
        with pytest.raises(ConfigurationError, match="YIPAN_MASTER_KEY"):
            wrong.open(uow.connection, sealed.key_id, sealed.content)


def test_tokens_are_equal_for_equal_values_under_one_master_key_only() -> None:
    assert Vault(MASTER).token(" 13800000000 ") == Vault(MASTER).token("13800000000")
    assert Vault(MASTER).token("13800000000") != Vault(bytes(32)).token("13800000000")


def test_a_missing_key_file_is_made_once_readable_by_its_owner_only(tmp_path: Path) -> None:
    reference = f"file:{tmp_path / 'deep' / 'master.key'}"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_master_key(reference, create=True), range(32)))
    assert len(keys) == 1
    path = tmp_path / "deep" / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["master.key"]


def test_a_missing_key_is_not_made_up_where_the_operator_must_give_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="empty or missing"):
        load_master_key(f"file:{tmp_path / 'master.key'}", create=False)


def test_a_key_that_is_no_key_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "not base64!")
    with pytest.raises(ConfigurationError, match="env:TEST_KEY is not base64"):
        load_master_key("env:TEST_KEY", create=False)
    monkeypatch.setenv("TEST_KEY", base64.b64encode(b"short").decode())
    with pytest.raises(ConfigurationError, match="holds 5 bytes"):
        load_master_key("env:TEST_KEY", create=False)
