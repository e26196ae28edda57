"""Roles are bundles of scopes that exist, and the page for people shows the same ones."""

import re
from pathlib import Path

import pytest

from canonical_model.errors import RejectedError
from hub_api.auth import is_scope
from hub_api.roles import ROLES, scopes_of

PAGE = Path(__file__).parents[2] / "docs" / "people.md"


def test_every_scope_of_a_role_exists() -> None:
    assert all(is_scope(scope) for scopes in ROLES.values() for scope in scopes)


def test_each_role_contains_the_viewer() -> None:
    for role, scopes in ROLES.items():
        assert scopes >= ROLES["viewer"] or role == "admin"


def test_only_stewards_unmask_and_only_admins_make_people() -> None:
    assert {role for role, scopes in ROLES.items() if "data:unmask" in scopes} == {"steward"}
    assert {role for role, scopes in ROLES.items() if "users:write" in scopes} == set()
    assert ROLES["admin"] == {"*"}


def test_several_roles_open_what_each_opens() -> None:
    assert scopes_of(["operator", "finance"]) == ROLES["operator"] | ROLES["finance"]
    with pytest.raises(RejectedError, match="use one of viewer"):
        scopes_of(["king"])


def test_the_page_for_people_says_the_same() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    written = {role: frozenset(re.findall("`([^`]+)`", scopes)) for role, scopes in rows if role in ROLES}
    assert written == ROLES
