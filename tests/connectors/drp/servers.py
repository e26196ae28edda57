"""The database servers that a simulated DRP can live on here, and the connection strings to them."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest
from psycopg.conninfo import conninfo_to_dict

from canonical_model.errors import HubError
from connectors.drp.database import DrpDatabase
from connectors.kit import odbc

MARIADB: Final = "DRIVER={MariaDB Unicode};Server=127.0.0.1;Port=3306"
POSTGRES: Final = "DRIVER={PostgreSQL Unicode};UseDeclareFetch=1;Fetch=5000"
SERVERS: Final = ("postgresql", "mariadb")

_numbers = itertools.count()


@dataclass(frozen=True)
class Server:
    """``admin``: the string of a login that may create databases. ``connection``: the reader's, not there yet."""

    dialect: str
    admin: str
    connection: str

    @property
    def settings(self) -> dict[str, str]:
        """What the connector needs."""
        return {"dialect": self.dialect}

    @property
    def secrets(self) -> dict[str, str]:
        return {"connection": self.connection}

    @property
    def simulator_settings(self) -> dict[str, str]:
        return {"dialect": self.dialect, "admin": self.admin, "connection": self.connection}


@contextmanager
def server(dialect: str, postgres_url: str) -> Iterator[Server]:
    """A server with room for one DRP, which is dropped at the end; skips the test where none answers by ODBC."""
    pytest.importorskip(
        "pyodbc", exc_type=ImportError, reason="unixODBC is not installed; make setup as root installs it"
    )
    if dialect == "postgresql":
        known = conninfo_to_dict(postgres_url)
        base, login = f"{POSTGRES};Server={known['host']};Port={known.get('port', 5432)}", ";UID=postgres"
        admin = f"{base}{login};Database=postgres"
    else:
        base, admin = MARIADB, f"{MARIADB};UID=root"
    try:
        odbc.connect(admin, timeout_s=5).close()
    except HubError as error:
        pytest.skip(f"no {dialect} answers by ODBC: {error.detail}")
    name = f"drp_test_{os.getpid()}_{next(_numbers)}"
    found = Server(dialect, admin, f"{base};Database={name};UID={name};PWD=read-only-{name.replace('_', '-')}")
    yield found
    DrpDatabase(dialect, admin=admin, connection=found.connection).drop()
