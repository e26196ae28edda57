"""Sessions: opened by proof alone, ended by time, by will and by every change of the account."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from canonical_model.errors import AccessError, RejectedError, TransientError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Database
from hub_api import passwords, people, sessions, sign_in_guard, totp
from hub_api.audit import AuditFilter, list_entries
from hub_api.roles import scopes_of
from tests.hub_api.accounts import ADDRESS, GIVEN, PASSWORD, make_person, shell, signed_in


def refusal(hub: Hub, login: str, password: str, code: str | None = None, *, address: str = ADDRESS) -> AccessError:
    with pytest.raises(AccessError) as refused:
        sessions.sign_in(hub, login, password, code, address=address)
    return refused.value


def with_totp(hub: Hub, login: str) -> tuple[bytes, tuple[str, ...]]:
    """The secret of a second factor that is asked for, none of whose codes was used yet; and the recovery codes."""
    enrolment = people.begin_totp(hub, shell(hub), login)
    (row,) = hub.database.run("SELECT totp_key_id, totp_sealed FROM person WHERE login = %s", (login,))
    with hub.database.unit() as uow:
        secret = hub.vault.open(uow.connection, row["totp_key_id"], row["totp_sealed"])
    people.confirm_totp(hub, shell(hub), login, totp.code_at(secret, time.time()))
    hub.database.run("UPDATE person SET totp_step = 0")
    return secret, enrolment.recovery_codes


class TestSigningIn:
    def test_a_session_opens_what_the_roles_open(self, hub: Hub) -> None:
        make_person(hub, "li", "operator", "finance")
        session = signed_in(hub, " LI ")
        access = sessions.find_session(hub.database, session.token)
        assert access is not None
        assert access.scopes == scopes_of(["operator", "finance"])
        assert (access.actor, access.owner, access.brand, access.channel) == ("user:li", "owner", "brand", None)
        assert session.brands == ("brand",)

    def test_only_a_hash_of_the_token_is_stored(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        token = signed_in(hub, "li").token
        (row,) = hub.database.run("SELECT * FROM sign_in")
        assert token not in str(row)
        assert row["hash"] == hashlib.sha256(token.encode()).hexdigest()

    def test_whatever_is_wrong_is_refused_in_the_same_words(self, hub: Hub) -> None:
        for login in ("right", "shut", "outside"):
            make_person(hub, login, "admin")
        people.set_state(hub, shell(hub), "shut", active=False)
        hub.database.run("UPDATE person SET password_hash = NULL WHERE login = 'outside'")
        tries = [
            ("right", "wrong"),
            ("nobody", PASSWORD),
            ("shut", PASSWORD),
            ("outside", PASSWORD),
            ("", ""),
            ("\x00", ""),
        ]
        refusals = {(error.code, error.detail) for error in (refusal(hub, *words) for words in tries)}
        assert len(refusals) == 1
        assert hub.database.run("SELECT * FROM sign_in") == []

    def test_a_login_that_does_not_exist_costs_the_same_hashing(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_person(hub, "li", "viewer")
        hashed: list[str] = []
        verify = PasswordHasher.verify

        def counting(hasher: PasswordHasher, kept: str, password: str) -> bool:
            hashed.append(kept.rpartition("$")[0].rpartition("$")[0])
            return verify(hasher, kept, password)

        monkeypatch.setattr(PasswordHasher, "verify", counting)
        refusal(hub, "li", "wrong")
        refusal(hub, "nobody", "wrong")
        assert len(hashed) == 2
        assert len(set(hashed)) == 1, "the same algorithm with the same cost"

    def test_an_account_without_a_role_opens_nothing(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        people.set_roles(hub, shell(hub), "li", [])
        assert refusal(hub, "li", PASSWORD).code == "sign_in.no_role"

    def test_a_hash_of_weaker_parameters_is_renewed_and_the_password_still_right(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        hub.database.run("UPDATE person SET password_hash = %s", (weak,))
        session = signed_in(hub, "li")
        (row,) = hub.database.run("SELECT password_hash FROM person")
        assert not passwords.is_outdated(row["password_hash"])
        assert sessions.find_session(hub.database, session.token) is not None
        signed_in(hub, "li")

    def test_two_keyboards_that_compose_a_letter_differently_type_the_same_password(self, hub: Hub) -> None:
        composed, decomposed = "vier Wörter ohne Sinn", "vier Wo\u0308rter ohne Sinn"
        people.create_person(hub, shell(hub), "li", name="Li", roles=["viewer"], password=composed)
        assert sessions.sign_in(hub, "li", decomposed, None, address=ADDRESS).must_change_password


class TestGuessing:
    def test_the_right_password_waits_too_once_there_were_too_many_wrong_ones(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        for _ in range(sign_in_guard.FREE_PER_LOGIN):
            assert refusal(hub, "li", "wrong").code == "sign_in.refused"
        blocked = refusal(hub, "li", PASSWORD)
        assert blocked.code == "sign_in.blocked"
        assert 0 < blocked.context["after_s"] <= sign_in_guard.FIRST_WAIT_S

    def test_a_login_that_does_not_exist_is_blocked_like_any_other(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        seen = {
            login: [refusal(hub, login, "wrong").code for _ in range(sign_in_guard.FREE_PER_LOGIN + 1)]
            for login in ("li", "nobody")
        }
        assert seen["li"] == seen["nobody"]

    def test_each_further_failure_waits_twice_as_long_up_to_a_limit(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        waits = []
        for _ in range(sign_in_guard.FREE_PER_LOGIN + 7):
            refusal(hub, "li", "wrong")
            (row,) = hub.database.run(
                "SELECT extract(epoch FROM blocked_until - failed_at)::float AS wait_s FROM sign_in_guard"
                " WHERE subject = %s",
                (sign_in_guard.login_subject(hub, "li"),),
            )
            waits.append(row["wait_s"])
            hub.database.run("UPDATE sign_in_guard SET blocked_until = blocked_until - interval '1 day'")
        told = [round(wait) for wait in waits if wait is not None]
        assert waits[: sign_in_guard.FREE_PER_LOGIN - 1] == [None] * (sign_in_guard.FREE_PER_LOGIN - 1)
        assert told == [30, 60, 120, 240, 480, 900, 900, 900]

    def test_a_right_sign_in_forgets_the_failures_before_it(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        for _ in range(3):
            for _ in range(sign_in_guard.FREE_PER_LOGIN - 1):
                refusal(hub, "li", "wrong")
            signed_in(hub, "li")

    def test_guesses_made_at_the_same_moment_are_all_counted(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda _: refusal(hub, "li", "wrong").code, range(16)))
        assert codes.count("sign_in.refused") == sign_in_guard.FREE_PER_LOGIN

    def test_an_address_that_tries_many_logins_is_blocked_and_others_are_not(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_in_guard, "FREE_PER_ADDRESS", 3)
        make_person(hub, "li", "viewer")
        for number in range(3):
            refusal(hub, f"guess{number}", "wrong", address="2001:db8::1")
        assert refusal(hub, "li", PASSWORD, address="2001:db8::ffff").code == "sign_in.blocked", "the same /64"
        sessions.sign_in(hub, "li", PASSWORD, None, address="2001:db8:1::1")

    def test_the_right_ones_of_an_office_are_not_counted_against_its_address(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_in_guard, "FREE_PER_ADDRESS", 2)
        make_person(hub, "li", "viewer")
        for _ in range(4):
            signed_in(hub, "li")

    def test_a_crowd_is_asked_to_come_again_and_nobody_is_charged_for_it(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_person(hub, "li", "viewer")
        monkeypatch.setattr(passwords, "WAIT_S", 0)
        with ExitStack() as crowd:
            for _ in range(passwords.AT_ONCE):
                crowd.enter_context(passwords._seat())
            for _ in range(sign_in_guard.FREE_PER_LOGIN + 1):
                with pytest.raises(TransientError, match="try again"):
                    signed_in(hub, "li")
        signed_in(hub, "li")

    def test_unlocking_lets_in_at_once(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        for _ in range(sign_in_guard.FREE_PER_LOGIN):
            refusal(hub, "li", "wrong")
        assert people.unlock(hub, shell(hub), "li")
        signed_in(hub, "li")

    def test_old_failures_are_swept(self, hub: Hub) -> None:
        refusal(hub, "nobody", "wrong")
        hub.database.run("UPDATE sign_in_guard SET failed_at = failed_at - interval '2 days'")
        sign_in_guard.sweep(hub.database)
        assert hub.database.run("SELECT * FROM sign_in_guard") == []


class TestTheSecondFactor:
    def test_it_is_asked_for_and_a_code_opens_once(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        secret, _ = with_totp(hub, "li")
        assert refusal(hub, "li", PASSWORD).code == "sign_in.totp"
        assert refusal(hub, "li", PASSWORD, "abcdef").code == "sign_in.refused"
        code = totp.code_at(secret, time.time())
        signed_in(hub, "li", f"{code[:3]} {code[3:]}")
        assert refusal(hub, "li", PASSWORD, code).code == "sign_in.refused"

    def test_two_that_send_the_same_code_at_once_do_not_both_get_in(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        secret, _ = with_totp(hub, "li")
        code, inside, start = totp.code_at(secret, time.time()), [], threading.Barrier(3)

        def enter() -> None:
            start.wait()
            with suppress(AccessError):
                inside.append(signed_in(hub, "li", code))

        threads = [threading.Thread(target=enter) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(inside) == 1

    def test_a_recovery_code_opens_once(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        _, (first, second, *_) = with_totp(hub, "li")
        signed_in(hub, "li", first.upper())
        assert refusal(hub, "li", PASSWORD, first).code == "sign_in.refused"
        signed_in(hub, "li", second.replace("-", ""))
        stored = str(hub.database.run("SELECT hash FROM recovery_code"))
        assert first not in stored

    def test_asking_for_the_code_does_not_forgive_wrong_ones(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        with_totp(hub, "li")
        codes = []
        for _ in range(sign_in_guard.FREE_PER_LOGIN):
            assert refusal(hub, "li", PASSWORD).code == "sign_in.totp"
            codes.append(refusal(hub, "li", PASSWORD, "000000x").code)
        assert set(codes) == {"sign_in.refused"}
        assert refusal(hub, "li", PASSWORD).code == "sign_in.blocked"


class TestTheEndOfASession:
    def test_signing_out_ends_it(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        first, second = signed_in(hub, "li"), signed_in(hub, "li")
        sessions.sign_out(hub.database, first.token)
        assert sessions.find_session(hub.database, first.token) is None
        assert sessions.find_session(hub.database, second.token) is not None

    @pytest.mark.parametrize(
        "change",
        [
            lambda hub: people.set_roles(hub, shell(hub), "li", ["viewer"]),
            lambda hub: people.set_roles(hub, shell(hub, "sister"), "li", ["viewer"]),
            lambda hub: people.set_state(hub, shell(hub), "li", active=False),
            lambda hub: people.set_password(hub, shell(hub), "li", GIVEN),
            lambda hub: people.remove_totp(hub, shell(hub), "li"),
            lambda hub: with_totp(hub, "li"),
        ],
    )
    def test_every_change_of_the_account_ends_it(self, hub: Hub, change: object) -> None:
        make_person(hub, "li", "admin")
        token = signed_in(hub, "li").token
        assert callable(change)
        change(hub)
        assert sessions.find_session(hub.database, token) is None
        assert hub.database.run("SELECT * FROM sign_in") == []

    def test_a_change_while_somebody_signs_in_wins(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        make_person(hub, "li", "admin")
        is_right = passwords.is_right

        def slow(kept: str | None, password: str) -> bool:
            right = is_right(kept, password)
            people.set_state(hub, shell(hub), "li", active=False)
            people.set_state(hub, shell(hub), "li", active=True)
            return right

        monkeypatch.setattr(passwords, "is_right", slow)
        assert refusal(hub, "li", PASSWORD).code == "sign_in.refused"

    def test_it_ends_when_its_time_is_over_or_nobody_was_there(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        over, idle = signed_in(hub, "li").token, signed_in(hub, "li").token
        hashed = hashlib.sha256(over.encode()).hexdigest()
        hub.database.run("UPDATE sign_in SET expires_at = clock_timestamp() WHERE hash = %s", (hashed,))
        assert sessions.find_session(hub.database, over) is None
        hub.database.run("UPDATE sign_in SET seen_at = seen_at - make_interval(secs => idle_s)")
        assert sessions.find_session(hub.database, idle) is None

    def test_only_a_person_who_is_there_keeps_it_alive(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        token = signed_in(hub, "li").token
        hub.database.run("UPDATE sign_in SET seen_at = seen_at - interval '10 minutes'")
        (before,) = hub.database.run("SELECT seen_at FROM sign_in")
        sessions.find_session(hub.database, token, active=False)
        assert hub.database.run("SELECT seen_at FROM sign_in") == [before]
        sessions.find_session(hub.database, token)
        assert hub.database.run("SELECT seen_at FROM sign_in")[0]["seen_at"] > before["seen_at"]

    def test_sessions_long_over_are_swept_at_the_next_sign_in(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        signed_in(hub, "li")
        hub.database.run("UPDATE sign_in SET expires_at = clock_timestamp()")
        signed_in(hub, "li")
        assert len(hub.database.run("SELECT * FROM sign_in")) == 1


class TestOnesOwnAccount:
    def test_a_given_password_opens_nothing_but_its_change(self, hub: Hub) -> None:
        people.create_person(hub, shell(hub), "li", name="李", roles=["admin"], password=GIVEN)
        session = sessions.sign_in(hub, "li", GIVEN, None, address=ADDRESS)
        access = sessions.find_session(hub.database, session.token)
        assert session.must_change_password
        assert access is not None
        assert access.scopes == frozenset()
        changed = sessions.change_password(hub, session.token, GIVEN, PASSWORD, address=ADDRESS)
        assert changed.access.scopes == {"*"}
        assert sessions.find_session(hub.database, session.token) is None
        assert signed_in(hub, "li").access.scopes == {"*"}

    def test_the_old_password_is_asked_for_and_guesses_at_it_are_counted(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        token = signed_in(hub, "li").token
        codes = []
        for _ in range(sign_in_guard.FREE_PER_LOGIN + 1):
            with pytest.raises(AccessError) as refused:
                sessions.change_password(hub, token, "wrong", GIVEN, address=ADDRESS)
            codes.append(refused.value.code)
        assert codes[-2:] == ["sign_in.refused", "sign_in.blocked"]

    def test_the_new_password_is_another_and_a_good_one(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        token = signed_in(hub, "li").token
        for new, code in ((PASSWORD, "password.same"), ("short", "password.weak")):
            with pytest.raises(RejectedError) as refused:
                sessions.change_password(hub, token, PASSWORD, new, address=ADDRESS)
            assert refused.value.code == code

    def test_a_change_by_oneself_is_audited_in_ones_own_name(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        sessions.change_password(hub, signed_in(hub, "li").token, PASSWORD, GIVEN, address=ADDRESS)
        with hub.database.unit() as uow:
            (last, *_) = list_entries(uow, AuditFilter("owner", "brand"))
        assert (last["actor"], last["action"], last["subject"]) == ("user:li", "user.password", "user:li")

    def test_a_brand_is_chosen_among_ones_own(self, hub: Hub) -> None:
        make_person(hub, "li", "viewer")
        people.set_roles(hub, shell(hub, "sister"), "li", ["operator"])
        session = signed_in(hub, "li")
        assert (session.brand, session.brands) == ("brand", ("brand", "sister"))
        other = sessions.choose_brand(hub.database, session.token, "sister")
        assert (other.access.brand, other.access.scopes) == ("sister", scopes_of(["operator"]))
        with pytest.raises(AccessError):
            sessions.choose_brand(hub.database, session.token, "third")


def test_a_form_token_belongs_to_one_session_and_gives_nothing_away() -> None:
    assert sessions.csrf_token("a") == sessions.csrf_token("a") != sessions.csrf_token("b")
    assert "secret" not in sessions.csrf_token("secret")


@given(st.text(max_size=300))
@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_a_session(database: Database, text: str) -> None:
    assert sessions.find_session(database, text) is None
