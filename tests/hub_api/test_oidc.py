"""Signing in at the company's provider: over real HTTP, believing nothing that is not proven."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from canonical_model.errors import AccessError, ConfigurationError, HubError, TransientError
from flows.runtime.bootstrap import Hub
from hub_api import oidc, people, sessions
from hub_api.audit import AuditFilter, list_entries, verify
from hub_api.roles import scopes_of
from hub_api.sessions import Session
from tests.hub_api import provider as providers
from tests.hub_api.accounts import make_person, shell
from tests.hub_api.provider import CLIENT_ID, CLIENT_SECRET, Provider

CALLBACK = "https://hub.example.com/console/oidc/callback"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providers.running() as one:
        yield one


@pytest.fixture
def office(hub: Hub, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose people sign in at the provider; Li has an account without a password."""
    monkeypatch.setenv("OIDC_SECRET_OF_THE_TEST", CLIENT_SECRET)
    people.create_person(hub, shell(hub), "li", name="Li", roles=["operator"])
    return set_up(
        hub,
        public_url="https://hub.example.com",
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret="env:OIDC_SECRET_OF_THE_TEST",
    )


def set_up(hub: Hub, **settings: Any) -> Hub:
    return dataclasses.replace(hub, settings=hub.settings.model_copy(update=settings))


def at_the_provider(url: str) -> dict[str, str]:
    """What the browser brings back from there."""
    answer = httpx.get(url, trust_env=False, timeout=30)
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(CALLBACK + "?")
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def sign_in(hub: Hub) -> Session:
    started = oidc.start(hub)
    return oidc.finish(hub, at_the_provider(started.url), started.binding)


def refusal(hub: Hub) -> str:
    with pytest.raises(HubError) as refused:
        sign_in(hub)
    assert hub.database.run("SELECT * FROM sign_in") == []
    return refused.value.code


def roles_of(hub: Hub, login: str) -> dict[str, list[str]]:
    with hub.database.unit() as uow:
        found: dict[str, list[str]] = people.get_person(uow, shell(hub), login)["brands"]
    return found


def test_whoever_the_provider_proves_is_signed_in(office: Hub, provider: Provider) -> None:
    session = sign_in(office)
    access = sessions.find_session(office.database, session.token)
    assert access is not None
    assert (access.actor, access.brand) == ("user:li", "brand")
    assert "ops:write" in access.scopes
    assert provider.asked == ["/.well-known/openid-configuration", "/authorize", "/token", "/jwks"]
    sign_in(office)
    assert provider.asked[4:] == ["/authorize", "/token"], "what it said about itself is remembered"


def test_the_browser_is_sent_with_a_challenge_and_carries_no_secret(office: Hub) -> None:
    started = oidc.start(office)
    query = dict(parse_qsl(urlsplit(started.url).query))
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == CALLBACK
    (row,) = office.database.run("SELECT * FROM oidc_state")
    assert row["verifier"] not in started.url
    assert started.binding not in started.url
    assert query["state"] not in str(row)


@pytest.mark.parametrize(
    "lies",
    [
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"aud": None},
        {"iss": "https://login.example.org"},
        {"iss": None},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": int(time.time()) - 600},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"sub": None},
        {"at_hash": "bm90IHRoaXMgb25l"},
        {"preferred_username": None},
        {"preferred_username": ""},
        {"preferred_username": 17},
        {"preferred_username": ["li"]},
        {"preferred_username": "li\x00"},
        {"preferred_username": "li\ud800"},
        {"preferred_username": "li\u200b"},
    ],
)
def test_a_token_that_does_not_hold_opens_nothing(office: Hub, provider: Provider, lies: dict[str, Any]) -> None:
    provider.lies = lies
    assert refusal(office) == "oidc.token"


@pytest.mark.parametrize("algorithm", ["none", "public key", "client secret"])
def test_only_the_providers_own_key_signs(office: Hub, provider: Provider, algorithm: str) -> None:
    provider.algorithm = algorithm
    assert refusal(office) == "oidc.token"


def test_a_key_that_is_not_published_signs_nothing(office: Hub, provider: Provider) -> None:
    provider.key = Provider.new_key()
    assert refusal(office) == "oidc.token"
    provider.key = Provider.new_key(provider.published[0].kid)
    assert refusal(office) == "oidc.token"


@pytest.mark.parametrize("same_id", [False, True])
def test_a_rotated_key_is_fetched(office: Hub, provider: Provider, same_id: bool) -> None:
    sign_in(office)
    provider.rotate(kid=provider.key.kid if same_id else None)
    sign_in(office)
    assert provider.asked.count("/jwks") == 2


class TestTheAnswer:
    def test_it_is_taken_once(self, office: Hub) -> None:
        started = oidc.start(office)
        given = at_the_provider(started.url)
        oidc.finish(office, given, started.binding)
        with pytest.raises(AccessError) as refused:
            oidc.finish(office, given, started.binding)
        assert refused.value.code == "oidc.state"

    def test_it_is_taken_from_the_browser_that_asked(self, office: Hub) -> None:
        mine, theirs = oidc.start(office), oidc.start(office)
        for binding in (theirs.binding, "", "\ud800"):
            with pytest.raises(AccessError) as refused:
                oidc.finish(office, at_the_provider(oidc.start(office).url), binding)
            assert refused.value.code == "oidc.state"
        oidc.finish(office, at_the_provider(mine.url), mine.binding)

    def test_one_that_nobody_asked_for_or_too_late_is_not_taken(self, office: Hub) -> None:
        started = oidc.start(office)
        given = at_the_provider(started.url)
        for state in ("", "x" * 5000, "\x00"):
            with pytest.raises(AccessError):
                oidc.finish(office, {**given, "state": state}, started.binding)
        office.database.run("UPDATE oidc_state SET expires_at = clock_timestamp()")
        with pytest.raises(AccessError):
            oidc.finish(office, given, started.binding)

    def test_those_that_nobody_finished_are_swept(self, office: Hub) -> None:
        oidc.start(office)
        office.database.run("UPDATE oidc_state SET expires_at = clock_timestamp()")
        oidc.start(office)
        assert len(office.database.run("SELECT * FROM oidc_state")) == 1

    def test_one_of_another_provider_is_not_taken(self, office: Hub) -> None:
        started = oidc.start(office)
        with pytest.raises(AccessError) as refused:
            oidc.finish(office, {**at_the_provider(started.url), "iss": "https://evil.example"}, started.binding)
        assert refused.value.code == "oidc.state"

    def test_a_code_of_another_sign_in_opens_nothing(self, office: Hub) -> None:
        mine, theirs = oidc.start(office), oidc.start(office)
        stolen = at_the_provider(theirs.url)["code"]
        with pytest.raises(AccessError) as refused:
            oidc.finish(office, {**at_the_provider(mine.url), "code": stolen}, mine.binding)
        assert refused.value.code == "oidc.refused"

    def test_a_no_of_the_provider_is_a_no(self, office: Hub, provider: Provider) -> None:
        provider.refuses = True
        assert refusal(office) == "oidc.refused"


class TestWhoItIs:
    def test_a_login_without_an_account_opens_nothing(self, office: Hub, provider: Provider) -> None:
        provider.claims["preferred_username"] = "stranger"
        assert refusal(office) == "oidc.account"

    def test_an_account_with_a_password_is_not_opened_from_outside(self, office: Hub, provider: Provider) -> None:
        make_person(office, "admin", "admin")
        provider.claims["preferred_username"] = "admin"
        assert refusal(office) == "oidc.account"

    def test_a_login_given_to_somebody_else_over_there_opens_nothing_until_that_is_said(
        self, office: Hub, provider: Provider
    ) -> None:
        sessions.sign_out(office.database, sign_in(office).token)
        provider.claims["sub"] = "u-18"
        assert refusal(office) == "oidc.account"
        people.forget_sign_on(office, shell(office), "li")
        sign_in(office)

    def test_a_disabled_account_stays_out(self, office: Hub) -> None:
        people.set_state(office, shell(office), "li", active=False)
        assert refusal(office) == "sign_in.refused"

    @pytest.mark.parametrize(("verified", "code"), [(None, "oidc.token"), ("true", "oidc.token"), (True, None)])
    def test_an_email_counts_only_when_verified(
        self, office: Hub, provider: Provider, verified: object, code: str | None
    ) -> None:
        people.create_person(office, shell(office), "li@shop.example", name="Li", roles=["viewer"])
        provider.claims |= {"email": "LI@shop.example", "email_verified": verified}
        by_email = set_up(office, oidc_login_claim="email")
        if code:
            assert refusal(by_email) == code
        else:
            assert sign_in(by_email).login == "li@shop.example"


TABLE = {"wms-ops": "operator", "it": "sister:admin", "look": "viewer"}


class TestRolesToldByTheProvider:
    @pytest.fixture
    def told(self, office: Hub) -> Hub:
        return set_up(office, oidc_role_claim="groups", oidc_roles=TABLE)

    def test_an_account_is_made_and_follows_what_the_provider_says(self, told: Hub, provider: Provider) -> None:
        provider.claims |= {"sub": "u-2", "preferred_username": "wu", "groups": ["wms-ops", "it", "choir"]}
        first = sign_in(told)
        assert (first.name, first.roles, first.brands) == ("李伟", ("operator",), ("brand", "sister"))
        provider.claims["groups"] = "look"
        second = sign_in(told)
        assert roles_of(told, "wu") == {"brand": ["viewer"]}
        assert second.access.scopes == scopes_of(["viewer"])
        assert sessions.find_session(told.database, first.token) is None, "what was more is over at once"
        sign_in(told)
        assert sessions.find_session(told.database, second.token) is not None, "nothing changed"

    @pytest.mark.parametrize("groups", [None, [], ["choir"]])
    def test_whoever_has_no_role_over_there_any_more_loses_it_here_with_every_session(
        self, told: Hub, provider: Provider, groups: Any
    ) -> None:
        provider.claims["groups"] = ["it"]
        before = sign_in(told)
        assert before.access.scopes == {"*"}
        provider.claims["groups"] = groups
        assert refusal(told) == "sign_in.no_role"
        assert roles_of(told, "li") == {}
        assert sessions.find_session(told.database, before.token) is None
        with told.database.unit() as uow:
            (latest, *_) = list_entries(uow, AuditFilter("owner", "sister", subject="user:li"))
        assert (latest["action"], latest["detail"]["after"]) == ("user.roles", [])

    def test_a_disabled_account_loses_what_was_withdrawn_too(self, told: Hub, provider: Provider) -> None:
        people.set_state(told, shell(told), "li", active=False)
        provider.claims["groups"] = ["look"]
        assert refusal(told) == "sign_in.refused"
        assert roles_of(told, "li") == {"brand": ["viewer"]}

    def test_every_change_by_the_provider_is_on_record(self, told: Hub, provider: Provider) -> None:
        provider.claims |= {"sub": "u-2", "preferred_username": "wu", "groups": ["wms-ops"]}
        sign_in(told)
        sign_in(told)
        with told.database.unit() as uow:
            rows = list_entries(uow, AuditFilter("owner", "brand", subject="user:wu"))
        assert [(row["action"], row["detail"].get("source")) for row in rows] == [
            ("user.roles", "oidc"), ("user.create", "oidc"),
        ]  # fmt: skip
        assert rows[0]["detail"]["after"] == ["operator"]
        assert verify(told.database).broken is None

    @pytest.mark.parametrize("groups", [None, [], ["choir"], 17, {"wms-ops": 1}, [["wms-ops"]]])
    def test_without_a_word_that_counts_nobody_gets_in(self, told: Hub, provider: Provider, groups: Any) -> None:
        provider.claims["groups"] = groups
        assert refusal(told) == "sign_in.no_role"
        provider.claims["preferred_username"] = "stranger"
        assert refusal(told) == "oidc.account"
        assert len(told.database.run("SELECT * FROM person")) == 1

    def test_a_nested_claim_is_found_by_its_path_and_a_plain_one_by_its_name(
        self, told: Hub, provider: Provider
    ) -> None:
        provider.claims |= {"realm_access": {"roles": ["look"]}, "https://shop.example/roles": ["wms-ops"]}
        assert sign_in(set_up(told, oidc_role_claim="realm_access.roles")).roles == ("viewer",)
        assert sign_in(set_up(told, oidc_role_claim="https://shop.example/roles")).roles == ("operator",)

    @pytest.mark.parametrize("meaning", ["king", "nowhere:viewer", "brand:", ""])
    def test_a_table_that_means_nothing_is_said_at_the_start(self, told: Hub, meaning: str) -> None:
        with pytest.raises(ConfigurationError, match="YIPAN_OIDC_ROLES"):
            oidc.start(set_up(told, oidc_roles={"it": meaning}))

    def test_a_name_that_cannot_be_stored_is_shown_without_what_cannot(self, told: Hub, provider: Provider) -> None:
        provider.claims |= {"sub": "u-\ud800", "preferred_username": "wu", "name": "李\x00伟\ud800", "groups": ["look"]}
        assert sign_in(told).name == "李伟"

    def test_a_login_that_cannot_be_one_makes_no_account(self, told: Hub, provider: Provider) -> None:
        provider.claims |= {"preferred_username": "李 伟", "groups": ["look"]}
        assert refusal(told) == "oidc.account"


class TestSettings:
    def test_it_is_off_until_an_issuer_is_named(self, hub: Hub, office: Hub) -> None:
        assert not oidc.is_on(hub.settings)
        assert oidc.is_on(office.settings)

    @pytest.mark.parametrize("missing", ["oidc_issuer", "oidc_client_id", "public_url"])
    def test_what_is_missing_is_named(self, office: Hub, missing: str) -> None:
        with pytest.raises(ConfigurationError, match=f"YIPAN_{missing.upper()}"):
            oidc.start(set_up(office, **{missing: None}))

    def test_an_issuer_that_calls_itself_otherwise_is_refused(self, office: Hub, provider: Provider) -> None:
        provider.issuer_said = "https://login.example.org"
        with pytest.raises(ConfigurationError, match=r"login\.example\.org"):
            oidc.start(office)

    def test_an_address_that_is_not_encrypted_is_refused(self, office: Hub) -> None:
        with pytest.raises(ConfigurationError, match="https"):
            oidc.start(set_up(office, oidc_issuer="http://login.example.com"))

    def test_a_wrong_client_secret_lets_nobody_in(self, office: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OIDC_SECRET_OF_THE_TEST", "wrong")
        assert refusal(office) == "oidc.refused"

    def test_a_provider_that_is_away_is_worth_another_try(self, office: Hub, provider: Provider) -> None:
        with pytest.raises(TransientError, match="does not answer"):
            oidc.start(set_up(office, oidc_issuer="http://127.0.0.1:9"))
        provider.broken = True
        with pytest.raises(TransientError, match="503"):
            oidc.start(office)
