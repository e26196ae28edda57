"""``yipan serve`` as a process of its own, with the credentials that real clients show."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from pydantic import SecretStr

from flows.runtime.bootstrap import build
from flows.runtime.database import Database
from flows.runtime.settings import Settings
from flows.testing.databases import TEMPLATE, clone, drop
from hub_api.auth import create_key
from hub_api.soap.accounts import create_account

OWNER: Final = "owner"
USER: Final = "legacy"
ESTATE: Final = f"""
owner = "{OWNER}"
brand = "{OWNER}"

[systems.shop]
connector = "hub"
"""
STOP_S: Final = 40


@dataclass(frozen=True)
class Served:
    """A running hub: where its WSDL is, who may push, and its database."""

    wsdl: str
    key: str
    password: str
    database: Database


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, postgres_18: str) -> Iterator[Served]:
    """The hub, with one key and one account that may push as ``shop``."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "estate.toml").write_text(ESTATE)
    name = f"yipan_real_{os.getpid()}"
    url = clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")
    settings = Settings(
        data_dir=folder,
        database_url=SecretStr(url),
        estate=folder / "estate.toml",
        master_key=f"file:{folder / 'master.key'}",
    )
    (folder / "master.key").write_text("cm9vbS1mb3ItMzItYnl0ZXMtb2Yta2V5LW1hdGVyaWE=\n")
    with build(settings) as built:
        key = create_key(built.database, owner=OWNER, brand=OWNER, name="real", scopes=["ingest:shop"])
        password = create_account(built.database, owner=OWNER, brand=OWNER, name=USER, scopes=["ingest:shop"])
        with serving(settings, url) as address:
            yield Served(f"{address}/soap/v1?wsdl", key, password, built.database)
    drop(postgres_18, name)


class serving:  # noqa: N801 - used as a function
    """``yipan serve`` over these settings, ended by SIGTERM; its address."""

    def __init__(self, settings: Settings, url: str) -> None:
        environment = {
            **os.environ,
            "YIPAN_DATABASE_URL": url,
            "YIPAN_DATA_DIR": str(settings.data_dir),
            "YIPAN_ESTATE": str(settings.estate),
            "YIPAN_MASTER_KEY": settings.master_key,
            "YIPAN_WAIT_S": "60",
        }
        command = [sys.executable, "-m", "hub_api", "serve", "--port", "0", "--json"]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return str(json.loads(self._process.stdout.readline())["url"])

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=STOP_S)
