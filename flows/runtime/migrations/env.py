"""Run by alembic, on the connection that ``migrated`` hands over, or on ``-x url=…`` of its command line."""

from alembic import context
from sqlmodel import SQLModel

import canonical_model.store.member_tables
import canonical_model.store.transfer_tables
import flows.runtime.people_tables
import flows.runtime.revision_tables
import flows.runtime.soap_tables
import flows.runtime.tables  # noqa: F401
from flows.runtime.migrations import engine

connection = context.config.attributes.get("connection")
if connection is None:
    connection = engine(context.get_x_argument(as_dictionary=True)["url"]).connect()

context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_server_default=True)
with context.begin_transaction():
    context.run_migrations()
