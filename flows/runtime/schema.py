"""Brings a database to the tables and functions of this release.

Tables change by migrations (``migrations/versions``), once each and in order. Functions belong to the release,
not to its history: after the migrations every ``sql/*.sql`` runs, folder by folder in file-name order. So each of
them says CREATE OR REPLACE; a file that changes a function's arguments or result drops the old one first.
All of it is one transaction: a database is at one release or at the next, never between.
"""

import hashlib
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

import canonical_model.store
from flows.runtime.database import translated

HERE: Final = Path(__file__).parent
MIGRATIONS: Final = HERE / "migrations" / "versions"
FUNCTION_FOLDERS: Final = (Path(canonical_model.store.__file__).parent / "sql", HERE / "sql")


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to this release; one query when it is there already.

    Safe from several processes at once: one does the work, the others wait for it. Raises TransientError when the
    database does not answer, ConfigurationError when a newer release has been here.
    """
    functions = [file.read_text("utf-8") for folder in FUNCTION_FOLDERS for file in sorted(folder.glob("*.sql"))]
    release = _fingerprint([*sorted(file.name for file in MIGRATIONS.glob("*.py")), *functions])
    with translated():
        if _installed(url) == release:
            return

        from flows.runtime.migrations import migrated  # takes most of a second to load

        with migrated(url) as connection:
            for function in functions:
                connection.execute(function.encode())
            connection.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(release))


def _fingerprint(parts: list[str]) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def _installed(url: str) -> str | None:
    """The fingerprint of the release that was last here, if any."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')").fetchone()
    return row[0] if row else None
