"""Accounts: made by those who may, never above their maker, and every change on record."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import ConflictError, HubError, NotFoundError, RejectedError
from flows.runtime.bootstrap import Hub
from hub_api import passwords, people, totp
from hub_api.audit import AuditFilter, list_entries, verify
from hub_api.auth import Access
from hub_api.roles import scopes_of
from tests.hub_api.accounts import GIVEN, PASSWORD, make_person, shell


def person(*roles: str, login: str = "boss", brand: str = "brand") -> Access:
    """Somebody signed in with those roles."""
    return Access(login, login, "owner", brand, scopes_of(roles), "user")


def actions(hub: Hub, brand: str = "brand") -> list[tuple[str, str, str]]:
    with hub.database.unit() as uow:
        rows = list_entries(uow, AuditFilter("owner", brand))
    return [(row["actor"], row["action"], row["subject"]) for row in reversed(rows)]


def roles_of(hub: Hub, login: str) -> dict[str, list[str]]:
    with hub.database.unit() as uow:
        found: dict[str, list[str]] = people.get_person(uow, shell(hub), login)["brands"]
    return found


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(HubError) as error:
        do()
    return error.value.code


def test_an_account_has_roles_by_brand(hub: Hub) -> None:
    make_person(hub, "li", "operator", "finance", "operator")
    people.set_roles(hub, shell(hub, "sister"), "li", ["viewer"])
    assert roles_of(hub, "li") == {"brand": ["finance", "operator"], "sister": ["viewer"]}
    people.set_roles(hub, shell(hub), "li", [])
    assert roles_of(hub, "li") == {"sister": ["viewer"]}


def test_the_list_of_a_brand_shows_its_own_people_and_their_roles_in_it_alone(hub: Hub) -> None:
    make_person(hub, "both", "viewer")
    people.set_roles(hub, shell(hub, "sister"), "both", ["admin"])
    make_person(hub, "other", "viewer", brand="sister")
    with hub.database.unit() as uow:
        rows = people.list_people(uow, person("admin"), every_brand=True)
    assert [(row["login"], row["brands"]) for row in rows] == [("both", {"brand": ["viewer"]})]
    assert not {"password_hash", "totp_sealed"} & rows[0].keys()


def test_every_change_is_on_record_and_says_nothing_personal(hub: Hub) -> None:
    make_person(hub, "li", "viewer")
    people.set_roles(hub, person("admin"), "li", ["operator"])
    people.set_password(hub, person("admin"), "li", GIVEN)
    people.set_state(hub, person("admin"), "li", active=False)
    people.set_state(hub, person("admin"), "li", active=True)
    people.begin_totp(hub, person("admin"), "li")
    people.remove_totp(hub, person("admin"), "li")
    people.unlock(hub, person("admin"), "li")
    assert [action for actor, action, _ in actions(hub) if actor == "user:boss"] == [
        "user.roles", "user.password", "user.disable", "user.enable",
        "user.totp.begin", "user.totp.remove", "user.unlock",
    ]  # fmt: skip
    assert "Name of" not in str(hub.database.run("SELECT * FROM audit"))
    assert verify(hub.database).broken is None


def test_what_is_refused_leaves_no_trace(hub: Hub) -> None:
    make_person(hub, "li", "admin")
    before = actions(hub)
    assert refused(lambda: people.set_roles(hub, person("viewer"), "li", [])) == "access.scope"
    assert refused(lambda: people.set_roles(hub, person("admin"), "li", ["king"])) == "role.unknown"
    assert (actions(hub), roles_of(hub, "li")) == (before, {"brand": ["admin"]})


class TestNobodyRisesAboveThemselves:
    LITTLE = Access("few", "few", "owner", "brand", scopes_of(["viewer"]) | {"users:write"})

    def test_only_what_one_has_oneself_is_given(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        people.set_roles(hub, self.LITTLE, "li", ["viewer"])
        assert refused(lambda: people.set_roles(hub, self.LITTLE, "li", ["operator"])) == "access.grant"
        create = lambda: people.create_person(hub, self.LITTLE, "new", name="N", roles=["admin"])  # noqa: E731
        assert refused(create) == "access.grant"

    def test_who_can_do_more_is_out_of_reach(self, hub: Hub) -> None:
        make_person(hub, "li", "admin")
        for do in (
            lambda: people.set_password(hub, self.LITTLE, "li", GIVEN),
            lambda: people.set_state(hub, self.LITTLE, "li", active=False),
            lambda: people.set_roles(hub, self.LITTLE, "li", []),
            lambda: people.begin_totp(hub, self.LITTLE, "li"),
            lambda: people.confirm_totp(hub, self.LITTLE, "li", "000000"),
            lambda: people.remove_totp(hub, self.LITTLE, "li"),
            lambda: people.unlock(hub, self.LITTLE, "li"),
        ):
            assert refused(do) == "access.grant"

    @pytest.mark.parametrize("roles", [["viewer"], ["steward"], ["finance", "integrator", "operator"], []])
    def test_without_the_scope_nothing_is_changed(self, hub: Hub, roles: list[str]) -> None:
        make_person(hub, "li", "viewer")
        caller = person(*roles)
        for do in (
            lambda: people.create_person(hub, caller, "new", name="N", roles=["viewer"]),
            lambda: people.set_password(hub, caller, "li", GIVEN),
            lambda: people.set_state(hub, caller, "li", active=False),
            lambda: people.set_roles(hub, caller, "li", []),
            lambda: people.begin_totp(hub, caller, "li"),
            lambda: people.remove_totp(hub, caller, "li"),
            lambda: people.unlock(hub, caller, "li"),
        ):
            assert refused(do) == "access.scope"

    def test_an_admin_of_one_brand_does_not_rule_an_account_of_two(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        people.set_roles(hub, shell(hub, "sister"), "li", ["viewer"])
        assert refused(lambda: people.set_password(hub, person("admin"), "li", GIVEN)) == "access.brand"
        assert refused(lambda: people.set_state(hub, person("admin"), "li", active=False)) == "access.brand"
        people.set_roles(hub, person("admin"), "li", [])
        assert roles_of(hub, "li") == {"sister": ["viewer"]}
        assert refused(lambda: people.set_password(hub, person("admin"), "li", GIVEN)) == "access.brand"

    def test_ones_own_second_factor_needs_no_scope(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        me = person("viewer", login="li")
        assert people.begin_totp(hub, me, "li").uri.startswith("otpauth://totp/")
        assert refused(lambda: people.begin_totp(hub, person("viewer", login="other"), "li")) == "access.scope"
        key_of_that_name = Access("li", "li", "owner", "brand", frozenset())
        assert refused(lambda: people.begin_totp(hub, key_of_that_name, "li")) == "access.scope"


class TestMaking:
    @pytest.mark.parametrize("login", ["", " ", "-li", "李", "a b", "a" * 81, "a\x00b", "user:li"])
    def test_a_login_is_plain(self, hub: Hub, login: str) -> None:
        make = lambda: people.create_person(hub, shell(hub), login, name="Li", roles=["viewer"])  # noqa: E731
        assert refused(make) == "login.invalid"

    def test_capitals_make_no_other_login(self, hub: Hub) -> None:
        make_person(hub, "Li.Wei@Shop", "viewer")
        with pytest.raises(ConflictError):
            make_person(hub, "li.wei@shop", "viewer")

    def test_a_name_is_any_printable_text(self, hub: Hub) -> None:
        people.create_person(hub, shell(hub), "li", name="  李  伟 🛒", roles=["viewer"])
        with hub.database.unit() as uow:
            assert people.get_person(uow, shell(hub), "li")["name"] == "李 伟 🛒"
        for name in ("", "a\x00", "a" * 121):
            make = lambda name=name: people.create_person(hub, shell(hub), "wu", name=name, roles=["viewer"])  # noqa: E731
            assert refused(make) == "name.invalid"

    def test_a_brand_that_the_estate_lacks_is_named(self, hub: Hub) -> None:
        with pytest.raises(RejectedError, match="there are brand, sister"):
            make_person(hub, "li", "viewer", brand="nowhere")

    def test_a_person_that_does_not_exist_is_named(self, hub: Hub) -> None:
        with pytest.raises(NotFoundError, match="nobody"):
            people.set_state(hub, shell(hub), "nobody", active=False)


class TestPasswords:
    @pytest.mark.parametrize(
        ("password", "why"),
        [
            ("elevenchars", "11 characters"),
            ("x" * 257, "over 256"),
            ("ab" * 10, "fewer than 5"),
            ("lihua.chen@shop!", "little more than the login"),
            ("123456789012", "guesses"),
            ("Password1234!", "guesses"),
            ("qwertyuiop2026", "guesses"),
            ("admin123admin123", "guesses"),
            ("19871231-1234", "guesses"),
        ],
    )
    def test_a_weak_one_is_refused_with_the_reason(self, password: str, why: str) -> None:
        with pytest.raises(RejectedError, match=why):
            passwords.check_rules("lihua.chen@shop", password)

    @pytest.mark.parametrize(
        "password", [PASSWORD, GIVEN, "正确的马电池订书钉一二三四", "🛒🧾📦🏬🚚 sold out", "a1b2c3d4e5f6g7"]
    )
    def test_a_long_one_is_taken_whatever_it_is_made_of(self, password: str) -> None:
        passwords.check_rules("li", password)

    @given(st.text(max_size=300))
    def test_no_text_breaks_the_rules(self, password: str) -> None:
        try:
            passwords.check_rules("li", password)
        except RejectedError as error:
            assert error.code == "password.weak"  # noqa: PT017 - both ends are fine, a crash is not

    def test_what_is_kept_is_argon2id_and_different_each_time(self) -> None:
        first, second = passwords.hash_password(PASSWORD), passwords.hash_password(PASSWORD)
        assert first.startswith("$argon2id$")
        assert first != second
        assert passwords.is_right(first, PASSWORD)
        assert not passwords.is_right(first, PASSWORD + " ")
        assert not passwords.is_right(None, "nobody has this password")
        assert not passwords.is_right("not a hash", PASSWORD)


class TestSixDigits:
    def test_they_are_those_of_the_standard(self) -> None:
        secret = b"12345678901234567890"
        appendix_b = {59: "94287082", 1111111109: "07081804", 1234567890: "89005924", 20000000000: "65353130"}
        for at, digits in appendix_b.items():
            assert totp.code_at(secret, at) == digits[-6:]

    @given(st.integers(60, 2**33), st.integers(-2, 2))
    def test_one_step_of_drift_is_forgiven_and_a_used_step_is_not(self, at: int, drift: int) -> None:
        secret, step = b"12345678901234567890", at // totp.STEP_S + 2
        code, now = totp.code_at(secret, step * totp.STEP_S), (step + drift) * totp.STEP_S
        found = totp.find_step(secret, code, after=0, at=now)
        if abs(drift) <= totp.DRIFT:
            assert found is not None
            assert totp.find_step(secret, code, after=step + 1, at=now) is None
        else:
            assert found is None or totp.code_at(secret, found * totp.STEP_S) == code

    @given(st.text(max_size=20))
    def test_no_text_breaks_the_check(self, code: str) -> None:
        totp.find_step(b"12345678901234567890", code, after=0)

    def test_the_secret_is_sealed_at_rest(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        uri = people.begin_totp(hub, shell(hub), "li").uri
        (row,) = hub.database.run("SELECT totp_sealed, totp_key_id, totp_state FROM person")
        with hub.database.unit() as uow:
            secret = hub.vault.open(uow.connection, row["totp_key_id"], row["totp_sealed"])
        assert uri == totp.uri("li", secret)
        assert secret not in row["totp_sealed"]
        assert row["totp_state"] == "pending"

    def test_it_is_begun_confirmed_and_removed_in_that_order(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        assert refused(lambda: people.confirm_totp(hub, shell(hub), "li", "000000")) == "totp.not_begun"
        people.begin_totp(hub, shell(hub), "li")
        assert refused(lambda: people.confirm_totp(hub, shell(hub), "li", "no")) == "totp.wrong"
        hub.database.run("UPDATE person SET totp_state = 'active'")
        assert refused(lambda: people.begin_totp(hub, shell(hub), "li")) == "totp.active"
        people.remove_totp(hub, shell(hub), "li")
        people.begin_totp(hub, shell(hub), "li")
