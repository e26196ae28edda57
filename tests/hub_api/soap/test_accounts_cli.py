"""``yipan soap account``: made, listed, ended; the password is shown once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from flows.runtime.bootstrap import Hub
from hub_api.cli import soap
from hub_api.soap.accounts import find_account


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """The command works on the hub of the test."""

    @contextmanager
    def opened_hub() -> Iterator[Hub]:
        yield hub

    monkeypatch.setattr(soap, "opened_hub", opened_hub)


def yipan(*words: str) -> str:
    ended = CliRunner().invoke(soap.app, list(words), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_an_account_is_made_listed_and_ended(hub: Hub) -> None:
    made = json.loads(yipan("account", "create", "drp", "--scope", "ingest:shop", "--json"))
    assert find_account(hub.database, "drp").password == made["password"]
    (listed,) = json.loads(yipan("account", "list", "--json"))
    assert (listed["name"], listed["scopes"]) == ("drp", ["ingest:shop"])
    assert made["password"] not in str(listed)
    yipan("account", "revoke", "drp")
    assert find_account(hub.database, "drp").access is None
