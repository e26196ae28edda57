"""The command line: tables for people, JSON for programs, one clear line for every error."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from flows.runtime.bootstrap import Hub
from flows.runtime.settings import get_settings
from hub_api.auth import authenticate
from hub_api.cli import main
from hub_api.cli.app import app
from tests.hub_api.conftest import Client
from tests.hub_api.documents import product

PRODUCTS: Final = "/v1/ingest/hub/products?wait=true"


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Yipan = Callable[..., Said]


@pytest.fixture
def yipan(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Yipan]:
    """Runs a command against the hub of the tests."""
    assert hub.settings.database_url is not None
    monkeypatch.setenv("YIPAN_DATABASE_URL", hub.settings.database_url.get_secret_value())
    monkeypatch.setenv("YIPAN_DATA_DIR", str(hub.settings.data_dir))
    monkeypatch.setenv("YIPAN_ESTATE", str(hub.settings.estate))

    def run(*words: str) -> Said:
        get_settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["yipan", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    yield run
    get_settings.cache_clear()


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    else:
        for name, one in inner.items():
            yield from commands(one, (*path, name))


def test_every_command_speaks_json_and_says_what_it_does() -> None:
    for path, command in commands(typer.main.get_command(app)):
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, path
        assert command.help, path


def test_a_key_is_created_used_listed_and_revoked(hub: Hub, yipan: Yipan) -> None:
    made = yipan("key", "create", "till", "--scope", "ingest:pos", "--channel", "shop", "--days", "1", "--json")
    access = authenticate(hub.database, made.json["key"])
    assert access.scopes == {"ingest:pos", "channel:shop"}
    (listed,) = yipan("key", "list", "--json").json
    assert listed["id"] == access.key_id
    assert made.json["key"] not in yipan("key", "list").out
    assert yipan("key", "revoke", access.key_id).code == 0
    assert yipan("key", "list", "--json").json[0]["revoked_at"]


def test_connectors_are_listed_checked_and_begun(yipan: Yipan, tmp_path: Path) -> None:
    assert {"hub", "pos", "sap", "wms"} <= {row["connector"] for row in yipan("connector", "list", "--json").json}
    checked = yipan("connector", "check", "hub", "--json")
    assert (checked.code, {row["problem"] for row in checked.json}) == (0, {None})
    written = yipan("connector", "new", "crm", "--folder", str(tmp_path), "--json")
    assert any(path.endswith("manifest.toml") for path in written.json["written"])
    assert all(Path(path).exists() for path in written.json["written"])


def test_mappings_are_listed_checked_and_tried_on_a_file(yipan: Yipan, tmp_path: Path) -> None:
    assert "hub/product_in" in {row["mapping"] for row in yipan("mapping", "list", "--json").json}
    assert yipan("mapping", "check", "hub/product_in").code == 0
    file = tmp_path / "products.json"
    file.write_text(json.dumps([product("A"), product("B", base_unit="parsec")]))
    tried = yipan("mapping", "run", "hub/product_in", str(file), "--json")
    assert tried.code == 4
    assert tried.json[0]["result"]["code"] == "A"
    assert [issue["code"] for issue in tried.json[1]["issues"]] == ["unit.unknown"]


def test_a_message_is_listed_shown_and_replayed(yipan: Yipan, client: Client) -> None:
    message_id = client("*").post(PRODUCTS, json=[product()]).json()["message_id"]
    assert [row["id"] for row in yipan("message", "list", "--json").json] == [message_id]
    assert yipan("message", "show", message_id, "--json").json["results"][0]["status"] == "accepted"
    assert yipan("message", "replay", message_id, "--json").json["state"] == "done"


def test_quarantine_is_counted_shown_fed_again_and_discarded(yipan: Yipan, client: Client) -> None:
    client("*").post(PRODUCTS, json=[product("A", base_unit="parsec")])
    (cause,) = yipan("quarantine", "list", "--json").json
    assert cause["cause"] == "unit.unknown"
    (record,) = yipan("quarantine", "list", "--records", "--json").json
    assert '"parsec"' in yipan("quarantine", "show", str(record["id"]), "--json").json["raw"]
    assert yipan("quarantine", "refeed", "--cause", "unit.unknown", "--dry-run", "--json").json["fed"] == 1
    assert yipan("quarantine", "refeed", str(record["id"]), "--json").json["state"] == "done"
    assert yipan("quarantine", "discard", "--cause", "unit.unknown", "--json").json == {"discarded": 1}
    assert yipan("quarantine", "discard").code == 4


def test_runs_are_listed_and_shown(yipan: Yipan, client: Client) -> None:
    client("*").post(PRODUCTS, json=[product()])
    (run,) = yipan("run", "list", "--flow", "ingest.message", "--json").json
    assert yipan("run", "show", str(run["id"]), "--json").json["history"][0]["step"] == "apply"
    assert "ingest.message" in yipan("run", "list").out
    for verb in (("retry",), ("resume", "--step", "apply"), ("settle", "1", "--not-landed")):
        assert yipan("run", verb[0], str(run["id"]), *verb[1:]).code == 4
    assert yipan("run", "cancel", str(run["id"])).code == 4


def test_the_database_says_which_it_is(yipan: Yipan) -> None:
    status = yipan("db", "status", "--json").json
    assert (status["server"], status["running"]) == ("external", True)
    assert yipan("db", "upgrade", "--json").code == 0


def test_a_pushed_system_has_nothing_to_pull(yipan: Yipan) -> None:
    assert yipan("connector", "sync", "pos", "--json").json == []
    assert yipan("connector", "sync", "pos", "sales").code == 4


class TestErrors:
    """One line on stderr, or one JSON document; the exit code tells the kinds apart."""

    def test_wrong_usage_is_2(self, yipan: Yipan) -> None:
        assert yipan("connector", "lsit").code == 2
        assert yipan("run", "show", "not-a-number").code == 2

    def test_a_wrong_setting_is_3_and_names_the_variable(self, yipan: Yipan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("YIPAN_WORKERS", "many")
        said = yipan("message", "list")
        assert said.code == 3
        assert "YIPAN_WORKERS" in said.err
        assert len(said.err.splitlines()) == 1

    def test_a_missing_estate_is_3(self, yipan: Yipan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("YIPAN_ESTATE", "/nowhere/estate.toml")
        said = yipan("message", "list", "--json")
        assert said.code == 3
        assert "/nowhere/estate.toml" in said.json["detail"]

    def test_an_unknown_name_is_4(self, yipan: Yipan) -> None:
        said = yipan("message", "show", "msg_unknown")
        assert (said.code, said.out) == (4, "")
        assert said.err.startswith("yipan: there is no message")
        assert yipan("message", "show", "msg_unknown", "--json").json["code"] == "message.unknown"

    def test_a_database_that_is_away_is_5(self, yipan: Yipan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("YIPAN_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
        assert yipan("message", "list").code == 5
        assert yipan("db", "status").code == 5
