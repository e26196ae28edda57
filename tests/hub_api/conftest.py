"""A real hub over a real database, and its API served by uvicorn in this process."""

import base64
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
import uvicorn
from psycopg import sql
from pydantic import SecretStr

from flows.runtime import telemetry
from flows.runtime.bootstrap import Hub, build
from flows.runtime.database import Database
from flows.runtime.settings import Settings
from flows.testing.databases import TEMPLATE, clone, drop
from hub_api.auth import create_key
from hub_api.rest.app import create_app

OWNER: Final = "owner"
BRAND: Final = "brand"
WMS_SECRET: Final = "wms-secret"
ESTATE: Final = f"""\
owner = "{OWNER}"
brand = "{BRAND}"

[systems.hub]
connector = "hub"

[systems.shop]
connector = "hub"

[systems.live]
connector = "hub"

[systems.sister]
connector = "hub"
brand = "sister"

[systems.pos]
connector = "pos"
settings = {{ base_url = "http://127.0.0.1:9" }}
secrets = {{ access_token = "file:{{folder}}/pos_token" }}

[systems.sap]
connector = "sap"
settings = {{ base_url = "http://127.0.0.1:9", client = "100", user = "yipan", sales_area = "1010/10/00" }}
secrets = {{ password = "file:{{folder}}/sap_password" }}

[systems.wms]
connector = "wms"
settings = {{ base_url = "http://127.0.0.1:9", customer_id = "owner" }}
secrets = {{ app_secret = "file:{{folder}}/wms_secret" }}

[[authority]]
kind = "warehouse"
system = "wms"
fulfilled_by = "wms"

[[authority]]
kind = "store"
system = "pos"
"""

Client = Callable[..., httpx.Client]


def write_estate(folder: Path) -> Path:
    """The estate file and its secrets."""
    for name, value in {"pos_token": "pos-token", "sap_password": "sap-password", "wms_secret": WMS_SECRET}.items():
        (folder / name).write_text(value)
    (folder / "master.key").write_bytes(base64.b64encode(secrets.token_bytes(32)))
    estate = folder / "estate.toml"
    estate.write_text(ESTATE.replace("{folder}", str(folder)))
    return estate


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, postgres_18: str) -> Iterator[Settings]:
    """Settings of a hub over a database of its own, shared by the tests of this folder."""
    folder = tmp_path_factory.mktemp("hub")
    name = f"yipan_doors_{os.getpid()}"
    yield Settings(
        data_dir=folder,
        database_url=SecretStr(clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")),
        estate=write_estate(folder),
        max_body_bytes=2_000_000,
        wait_s=20,
    )
    drop(postgres_18, name)


@pytest.fixture(scope="session")
def open_hub(settings: Settings) -> Iterator[Hub]:
    """The hub; nothing carries runs on but the tests themselves."""
    with build(settings) as built:
        yield built


@pytest.fixture
def hub(open_hub: Hub) -> Hub:
    """The hub with every table empty, but for the proof of its master key."""
    found = open_hub.database.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    emptied = [sql.SQL("DELETE FROM {}").format(sql.Identifier(row["tablename"])) for row in found]
    with open_hub.database.unit() as uow:
        uow.execute("SET LOCAL session_replication_role = replica")  # no triggers: the audit log refuses to be emptied
        for statement in emptied:
            if "data_key" not in statement.as_string() and "alembic" not in statement.as_string():
                uow.execute(statement)
        uow.commit()
    return open_hub


@pytest.fixture
def database(hub: Hub) -> Database:
    """The hub's database, empty."""
    return hub.database


@contextmanager
def served(hub: Hub) -> Iterator[str]:
    """The API of a hub, and where it answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(hub), log_config=None, http="h11", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def url(open_hub: Hub) -> Iterator[str]:
    """Where the API of the hub answers."""
    with served(open_hub) as address:
        yield address


@pytest.fixture
def traced(hub: Hub) -> Iterator[None]:
    """Spans are recorded."""
    telemetry.start(hub.settings, hub.database)
    yield
    telemetry.stop()


@pytest.fixture
def client(hub: Hub, url: str) -> Iterator[Client]:
    """Makes clients whose key has the given scopes; without scopes, no key is sent."""
    opened: list[httpx.Client] = []

    def connect(*scopes: str, brand: str = BRAND) -> httpx.Client:
        headers = {}
        if scopes:
            key = create_key(hub.database, owner=OWNER, brand=brand, name="test", scopes=scopes)
            headers["Authorization"] = f"Bearer {key}"
        opened.append(httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()
