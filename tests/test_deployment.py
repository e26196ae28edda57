"""The compose file, the image and the settings page speak of what exists."""

import re
from pathlib import Path

from typer.main import get_command

from flows.runtime.settings import Settings
from hub_api.cli.app import app

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"


def test_the_compose_file_sets_only_settings_that_exist() -> None:
    named = set(re.findall(r"^ +YIPAN_(\w+):", (DOCKER / "compose.yaml").read_text("utf-8"), re.MULTILINE))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_compose_file_runs_only_commands_that_exist() -> None:
    text = "".join((DOCKER / name).read_text("utf-8") for name in ("compose.yaml", "Dockerfile"))
    started = re.findall(r"(?:command:|^CMD) \[\"?([a-z]+)", text, re.MULTILINE)
    assert {"serve", "worker", "db"} <= set(started) <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert {name for name in Settings.model_fields if f"| `{name}` |" not in page} == set()
