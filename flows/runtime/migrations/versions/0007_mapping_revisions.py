"""Mapping tables and records corrected while running; the indexes of search."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Three tables, and an index for every name that search knows."""
    _mapping_revision()
    _record_correction()
    _unmasking()
    for name, table, columns, prefix, only in (
        ("ix_sales_order_search", "sales_order", ["owner", "brand", "order_no"], "order_no", None),
        ("ix_sales_order_person", "sales_order", ["receiver_key_id"], None, "receiver_key_id IS NOT NULL"),
        ("ix_parcel_search", "parcel", ["owner", "brand", "parcel_no"], "parcel_no", None),
        ("ix_parcel_waybill", "parcel", ["owner", "brand", "waybill"], "waybill", "waybill IS NOT NULL"),
        ("ix_sku_search", "sku", ["owner", "brand", "code"], "code", None),
        ("ix_crosswalk_search", "crosswalk", ["owner", "brand", "outside_id"], None, None),
        ("ix_effect_document", "effect", ["owner", "brand", "outside_id"], None, "outside_id IS NOT NULL"),
        ("ix_message_stream", "message", ["owner", "brand", "system", "stream", "id"], "id", None),
        ("ix_message_record_person", "message_record", ["key_id"], None, None),
        ("ix_quarantine_person", "quarantine", ["key_id"], None, "key_id IS NOT NULL"),
        ("ix_quarantine_open", "quarantine", ["owner", "brand", "system", "stream", "id"], None, "state = 'open'"),
    ):
        op.create_index(
            name,
            table,
            columns,
            postgresql_ops={prefix: "text_pattern_ops"} if prefix else {},
            postgresql_where=sa.text(only) if only else None,
        )


def _mapping_revision() -> None:
    op.create_table(
        "mapping_revision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("mapping", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("based_on", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "brand", "connector", "mapping", "number"),
    )
    op.create_index(
        "ux_mapping_revision_active",
        "mapping_revision",
        ["owner", "brand", "connector", "mapping"],
        unique=True,
        postgresql_where=sa.text("active"),
    )


def _record_correction() -> None:
    op.create_table(
        "record_correction",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("quarantine_id", sa.BigInteger(), nullable=False),
        sa.Column("raw", postgresql.BYTEA(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_record_correction_row", "record_correction", ["quarantine_id", "id"])


def _unmasking() -> None:
    op.create_table(
        "unmasking",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_unmasking_actor", "unmasking", ["actor", "shown_at"])
