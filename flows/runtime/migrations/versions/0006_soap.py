"""Accounts and nonces of the SOAP door."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

BUSY = {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_cost_delay": 0}


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "soap_account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("password_key_id", sa.BigInteger(), nullable=False),
        sa.Column("password", postgresql.BYTEA(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "soap_nonce",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "hash"),
        postgresql_with=BUSY,
    )
    op.create_index("ix_soap_nonce_expires", "soap_nonce", ["expires_at"])
