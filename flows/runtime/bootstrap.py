"""The only wiring: settings in, a ready hub out."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from flows import ingest, one_stock, points
from flows.runtime import embedded, schema
from flows.runtime.database import Database
from flows.runtime.engine import Engine
from flows.runtime.estate import Estate
from flows.runtime.flow import Flow
from flows.runtime.runner import Runner
from flows.runtime.sealing import Vault, load_master_key
from flows.runtime.services import Services
from flows.runtime.settings import Settings

POSTGRES_FOLDER: Final = "postgres"
FLOWS: Mapping[str, Flow] = {flow.name: flow for flow in (*ingest.FLOWS, *one_stock.FLOWS, *points.FLOWS)}


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything a door, a worker or a command needs. Close it when done."""

    settings: Settings
    database: Database
    estate: Estate
    vault: Vault
    flows: Mapping[str, Flow]
    runner: Runner

    def engine(self) -> Engine:
        """The threads that carry runs on in this process; not started yet."""
        return Engine(self)

    def close(self) -> None:
        """Give the database connections back; an embedded PostgreSQL goes on running."""
        self.runner.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def database_url(settings: Settings) -> str:
    """The configured database, or else the embedded PostgreSQL of ``data_dir``, started if it is not running."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return embedded.start(settings.data_dir / POSTGRES_FOLDER)


def build(settings: Settings) -> Hub:
    """A hub with the estate read, the schema up to date and the master key checked.

    Raises ConfigurationError (estate, secrets, master key) and TransientError (PostgreSQL away).
    """
    estate = Estate.load(settings.estate)
    vault = Vault(
        load_master_key(
            settings.master_key.format(data_dir=settings.data_dir.resolve()), create=settings.database_url is None
        )
    )
    url = database_url(settings)
    schema.upgrade(url)
    database = Database(url, pool_size=settings.database_pool).open()
    with database.unit() as uow:
        vault.check(uow.connection)
        uow.commit()
    database.services = Services(estate, vault)
    runner = Runner(
        database,
        FLOWS,
        estate.writer,
        lanes=estate.lanes,
        lease_s=settings.lease_s,
        claim_size=settings.claim_size,
    )
    return Hub(settings, database, estate, vault, FLOWS, runner)
