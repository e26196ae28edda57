"""``yipan user``, ``yipan key`` and ``yipan audit``: what an admin does where the hub runs."""

import io
import sys
import time

import pytest

from canonical_model.errors import AccessError
from flows.runtime.bootstrap import Hub
from hub_api import sessions, totp
from hub_api.auth import authenticate
from hub_api.roles import ROLES
from tests.hub_api.accounts import ADDRESS, GIVEN, make_person, signed_in
from tests.hub_api.test_audit import tamper
from tests.hub_api.test_cli import Yipan


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN lies on stdin."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(GIVEN + "\n"))


@pytest.mark.usefixtures("typed")
def test_an_account_is_made_shown_and_used(hub: Hub, yipan: Yipan) -> None:
    made = yipan("user", "create", "Li", "--name", "李伟", "--role", "operator", "--password-stdin", "--json")
    assert made.json == {"login": "li", "brand": "brand", "roles": ["operator"]}
    (row,) = yipan("user", "list", "--json").json
    assert (row["login"], row["name"], row["brands"]) == ("li", "李伟", {"brand": ["operator"]})
    assert "li" in yipan("user", "list").out
    assert sessions.sign_in(hub, "li", GIVEN, None, address=ADDRESS).must_change_password


def test_a_password_is_never_an_argument(hub: Hub, yipan: Yipan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert yipan("user", "create", "li", "--name", "L", "--role", "viewer", "--password", GIVEN).code == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    said = yipan("user", "create", "li", "--name", "L", "--role", "viewer")
    assert said.code == 4
    assert "--password-stdin" in said.err


@pytest.mark.usefixtures("typed")
def test_roles_and_brands_are_set_and_shown(hub: Hub, yipan: Yipan) -> None:
    make_person(hub, "li", "viewer")
    assert yipan("user", "roles", "li", "--role", "viewer", "--role", "finance", "--brand", "sister").code == 0
    shown = yipan("user", "brands", "li", "--json").json
    assert shown == [{"brand": "brand", "roles": ["viewer"]}, {"brand": "sister", "roles": ["finance", "viewer"]}]
    assert yipan("user", "brands", "li", "--leave", "brand", "--json").json == shown[1:]
    assert {row["role"] for row in yipan("user", "roles", "li", "--json").json} == set(ROLES)
    assert yipan("user", "roles", "li", "--role", "king").code == 4
    assert yipan("user", "create", "wu", "--name", "Wu", "--password-stdin").code == 4
    assert yipan("user", "brands", "nobody").code == 4


@pytest.mark.usefixtures("typed")
def test_an_account_is_kept_out_let_in_and_given_a_password(hub: Hub, yipan: Yipan) -> None:
    make_person(hub, "li", "viewer")
    assert yipan("user", "disable", "li", "--json").json["state"] == "disabled"
    with pytest.raises(AccessError):
        signed_in(hub, "li")
    assert yipan("user", "enable", "li").code == 0
    assert yipan("user", "unlock", "li", "--json").json == {"login": "li", "had_failures": True}
    signed_in(hub, "li")
    assert yipan("user", "password", "li", "--password-stdin").code == 0
    assert sessions.sign_in(hub, "li", GIVEN, None, address=ADDRESS).must_change_password


def test_how_an_account_signs_in_is_shown_and_a_sign_on_forgotten(hub: Hub, yipan: Yipan) -> None:
    made = yipan("user", "create", "li", "--name", "Li", "--role", "viewer", "--no-password", "--json")
    assert made.code == 0
    hub.database.run("UPDATE person SET oidc_subject = 'somebody'")
    shown = yipan("user", "sign-on", "li", "--json").json
    assert (shown["has_password"], shown["signs_on"]) == (False, True)
    assert yipan("user", "sign-on", "li", "--forget", "--json").json["signs_on"] is False
    with pytest.raises(AccessError):
        signed_in(hub, "li")


def test_a_second_factor_is_shown_as_a_picture_and_confirmed(hub: Hub, yipan: Yipan) -> None:
    make_person(hub, "li", "viewer")
    shown = yipan("user", "totp", "li")
    assert "▄" in shown.out
    assert "otpauth://totp/" in shown.out
    again = yipan("user", "totp", "li", "--json").json
    assert len(again["recovery_codes"]) == totp.RECOVERY_CODES
    (row,) = hub.database.run("SELECT totp_key_id, totp_sealed FROM person")
    with hub.database.unit() as uow:
        secret = hub.vault.open(uow.connection, row["totp_key_id"], row["totp_sealed"])
    code = totp.code_at(secret, time.time())
    assert yipan("user", "totp", "li", "--confirm", code, "--json").json["totp_state"] == "active"
    with pytest.raises(AccessError):
        signed_in(hub, "li")
    signed_in(hub, "li", again["recovery_codes"][0])
    assert yipan("user", "totp", "li", "--remove", "--json").json["totp_state"] == "none"
    signed_in(hub, "li")


def test_a_key_takes_a_roles_scopes_and_is_rotated(hub: Hub, yipan: Yipan) -> None:
    made = yipan("key", "create", "robot", "--role", "operator", "--scope", "audit:read", "--days", "9", "--json").json
    old = authenticate(hub.database, made["key"])
    assert old.scopes == ROLES["operator"] | {"audit:read"}
    fresh = yipan("key", "rotate", old.key_id, "--grace-hours", "1", "--json").json["key"]
    assert authenticate(hub.database, fresh).scopes == old.scopes
    assert authenticate(hub.database, made["key"]) == old, "both open while the system takes the new one"
    new_id = authenticate(hub.database, fresh).key_id
    assert yipan("key", "rotate", new_id, "--grace-hours", "0").code == 0
    with pytest.raises(AccessError):
        authenticate(hub.database, fresh)
    assert yipan("key", "rotate", new_id).code == 4
    lives = [row["expires_at"] is not None for row in yipan("key", "list", "--json").json]
    assert lives == [True] * 3
    assert yipan("key", "create", "nothing").code == 4


def test_the_audit_log_is_listed_and_verified(hub: Hub, yipan: Yipan) -> None:
    make_person(hub, "li", "viewer")
    yipan("user", "disable", "li")
    rows = yipan("audit", "list", "--json").json
    assert [row["action"] for row in rows] == ["user.disable", "user.create"]
    assert rows[0]["actor"].startswith("cli:")
    assert "user.disable" in yipan("audit", "list", "--subject", "user:li").out
    sound = yipan("audit", "verify", "--json")
    assert (sound.code, sound.json["intact"], sound.json["entries"]) == (0, True, 2)
    assert yipan("audit", "verify", "--head", sound.json["head"]).code == 0
    tamper(hub.database, "UPDATE audit SET actor = 'user:somebody' WHERE seq = 1")
    altered = yipan("audit", "verify", "--json")
    assert (altered.code, altered.json["intact"], altered.json["broken"]["seq"]) == (1, False, 1)
