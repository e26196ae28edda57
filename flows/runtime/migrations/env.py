"""Run by alembic, on the connection that ``migrated`` hands over, or on ``-x url=…`` of its command line."""

from importlib import import_module

from alembic import context
from sqlmodel import SQLModel

from flows.runtime.migrations import engine

for tables in (
    "canonical_model.store.ledger_tables",
    "canonical_model.store.member_tables",
    "canonical_model.store.one_stock_tables",
    "canonical_model.store.transfer_tables",
    "flows.runtime.people_tables",
    "flows.runtime.revision_tables",
    "flows.runtime.soap_tables",
    "flows.runtime.tables",
):
    import_module(tables)

connection = context.config.attributes.get("connection")
if connection is None:
    connection = engine(context.get_x_argument(as_dictionary=True)["url"]).connect()

context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_server_default=True)
with context.begin_transaction():
    context.run_migrations()
