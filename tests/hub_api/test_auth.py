"""API keys: what a database holds cannot be used, and what a key may do is written on it."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import AccessError, ConflictError, NotFoundError, RejectedError
from flows.runtime.database import Database
from hub_api.auth import Access, authenticate, create_key, list_keys, revoke_key, rotate_key
from hub_api.roles import ROLES


def new_key(database: Database, *scopes: str, expires_at: datetime | None = None) -> str:
    return create_key(database, owner="o", brand="b", name="test", scopes=scopes, expires_at=expires_at)


def access(*scopes: str) -> Access:
    return Access("id", "name", "o", "b", frozenset(scopes))


def test_a_key_opens_what_its_scopes_say(database: Database) -> None:
    caller = authenticate(database, new_key(database, "ingest:wms", "orders:read"))
    caller.require("ingest", "wms")
    caller.require("orders", "read")
    with pytest.raises(AccessError) as refused:
        caller.require("orders", "write")
    assert refused.value.code == "access.scope"
    assert (caller.owner, caller.brand, caller.name, caller.channel) == ("o", "b", "test", None)


def test_the_star_opens_everything_and_a_wild_system_opens_every_system() -> None:
    access("*").require("ops", "write")
    access("ingest:*").require("ingest", "pos")
    with pytest.raises(AccessError):
        access("ingest:*").require("orders", "read")


def test_a_key_may_speak_for_one_channel(database: Database) -> None:
    assert access("orders:write", "channel:shop").channel == "shop"
    with pytest.raises(RejectedError, match="one channel"):
        new_key(database, "channel:shop", "channel:live")


def test_only_a_hash_is_stored(database: Database) -> None:
    key = new_key(database, "*")
    (row,) = database.run("SELECT * FROM api_key")
    assert key.split("_", 2)[2] not in str(row)
    assert "hash" not in list_keys(database)[0]


@pytest.mark.parametrize("scopes", [[], ["orders"], ["ingest:"], ["orders:delete"], ["ingest:a b"], ["*:*"]])
def test_a_scope_that_does_not_exist_is_refused(database: Database, scopes: list[str]) -> None:
    with pytest.raises(RejectedError):
        new_key(database, *scopes)


def test_a_revoked_key_opens_nothing(database: Database) -> None:
    key = new_key(database, "*")
    key_id = authenticate(database, key).key_id
    revoke_key(database, key_id)
    revoke_key(database, key_id)
    with pytest.raises(AccessError):
        authenticate(database, key)


def test_revoking_an_unknown_key_is_said(database: Database) -> None:
    with pytest.raises(NotFoundError):
        revoke_key(database, "nobody")


def test_an_expired_key_opens_nothing(database: Database) -> None:
    with pytest.raises(AccessError):
        authenticate(database, new_key(database, "*", expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    authenticate(database, new_key(database, "*", expires_at=datetime.now(UTC) + timedelta(hours=1)))


def test_every_other_text_is_refused_with_the_same_words(database: Database) -> None:
    key = new_key(database, "*")
    key_id = key.split("_")[1]
    guesses = ["", "yk", "yk__", f"yk_{key_id}_", key[:-1], key + "A", f"yk_{key_id}_wrong", key.upper(), "yk_\x00_a"]
    words = set()
    for guess in guesses:
        with pytest.raises(AccessError) as refused:
            authenticate(database, guess)
        words.add(refused.value.detail)
    assert len(words) == 1


class TestHandingOn:
    """Nobody gives a key more than they may do themselves."""

    INTEGRATOR = Access("li", "Li", "o", "b", ROLES["integrator"], "user")

    def test_an_integrator_makes_keys_that_push_and_none_that_repair(self, database: Database) -> None:
        make = partial(create_key, database, owner="o", brand="b", name="k", by=self.INTEGRATOR)
        assert authenticate(database, make(scopes=["ingest:pos", "orders:read"])).scopes == {
            "ingest:pos",
            "orders:read",
        }
        for scopes in (["ops:write"], ["*"], ["users:write"], ["ingest:pos", "data:unmask"]):
            with pytest.raises(AccessError) as refused:
                make(scopes=scopes)
            assert refused.value.code == "access.grant"

    def test_only_for_ones_own_brand_and_only_with_the_scope(self, database: Database) -> None:
        with pytest.raises(AccessError, match="brand"):
            create_key(database, owner="o", brand="c", name="k", scopes=["ops:read"], by=self.INTEGRATOR)
        with pytest.raises(AccessError, match="keys:write"):
            create_key(database, owner="o", brand="b", name="k", scopes=["ops:read"], by=access("ops:read"))

    def test_who_speaks_for_one_channel_makes_no_key_that_sees_them_all(self, database: Database) -> None:
        by = access("keys:write", "orders:read", "channel:shop")
        make = partial(create_key, database, owner="o", brand="b", name="k", by=by)
        assert authenticate(database, make(scopes=["orders:read", "channel:shop"])).channel == "shop"
        for scopes in (["orders:read"], ["orders:read", "channel:live"]):
            with pytest.raises(AccessError):
                make(scopes=scopes)

    def test_a_key_that_can_do_more_is_not_rotated_but_may_be_ended(self, database: Database) -> None:
        key_id = new_key(database, "*").split("_")[1]
        with pytest.raises(AccessError):
            rotate_key(database, key_id, grace=timedelta(), by=self.INTEGRATOR)
        revoke_key(database, key_id, by=self.INTEGRATOR)
        with pytest.raises(ConflictError, match="has ended"):
            rotate_key(database, key_id, grace=timedelta())

    def test_keys_of_another_brand_do_not_exist(self, database: Database) -> None:
        key_id = create_key(database, owner="o", brand="c", name="k", scopes=["ops:read"]).split("_")[1]
        with pytest.raises(NotFoundError):
            revoke_key(database, key_id, by=self.INTEGRATOR)
        assert list_keys(database, owner="o", brand="b") == []
        assert len(list_keys(database, owner="o", brand="c")) == 1

    @given(st.sets(st.sampled_from(sorted({scope for role in ROLES.values() for scope in role} | {"ingest:pos"}))))
    def test_what_is_covered_opens_nothing_new(self, scopes: set[str]) -> None:
        giver = Access("g", "g", "o", "b", frozenset(scopes))
        for scope in (scope for role in ROLES.values() for scope in role if giver.covers(scope)):
            assert scope in scopes or "*" in scopes


@given(st.text(max_size=200))
def test_no_text_breaks_the_scope_check(text: str) -> None:
    with pytest.raises(AccessError):
        access("orders:read").require("ops", text)
