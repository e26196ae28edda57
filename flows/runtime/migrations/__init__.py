"""The history of the tables, run by alembic.

To change a table: edit ``tables.py``, bring a scratch database to the last release (``YIPAN_DATABASE_URL=… yipan db
start``), then ``alembic -x url=… revision --autogenerate --rev-id 0003 -m "why"`` and read what it wrote.
A released migration is never edited.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from canonical_model.errors import ConfigurationError

LOCK: Final = 7202611220001


@contextmanager
def migrated(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction in which every table is at this release; it commits when the block ends well.

    One process at a time: others wait. Raises ConfigurationError when the database knows a migration that this
    release does not; psycopg's errors pass as they are.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    try:
        with engine(url).begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            yield driver
    except DBAPIError as error:
        raise (error.orig or error) from error
    except CommandError as error:
        raise ConfigurationError(
            f"the database is not at a release known here ({error}); start the newest release", code="database.release"
        ) from error


def engine(url: str) -> Engine:
    """A SQLAlchemy engine on ``url`` in any form libpq takes; alembic needs one, nothing else does."""
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
