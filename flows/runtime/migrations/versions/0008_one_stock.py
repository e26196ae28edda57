"""One stock: checkouts, loads of places, rules, decisions, velocity, the change feed."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Widen orders and holds, then create each table by the function of its name."""
    _orders_and_holds()
    _checkout()
    _places()
    _rules_and_decisions()
    _velocity()
    _changes()


def _now(name: str) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False)


def _orders_and_holds() -> None:
    op.alter_column("stock_hold", "order_id", nullable=True)
    op.add_column("stock_hold", sa.Column("min_expiry", sa.Date(), nullable=True))
    op.add_column("sales_order", sa.Column("member_code", sa.String(), nullable=True))
    op.add_column("sales_order", sa.Column("released_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE sales_order SET released_at = updated_at WHERE status <> 'received'")
    op.add_column("sales_order_line", sa.Column("bundle_line_no", sa.Integer(), nullable=True))
    op.add_column(
        "sales_order_line", sa.Column("per_bundle", sa.BigInteger(), server_default=sa.text("1"), nullable=False)
    )
    op.add_column("sales_order_line", sa.Column("ship_group", sa.String(), nullable=True))


def _checkout() -> None:
    op.create_table(
        "checkout",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("order_no", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("lines", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("parcels", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        _now("created_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "brand", "channel", "order_no"),
    )
    op.create_index("ix_checkout_expiry", "checkout", ["expires_at"], postgresql_where=sa.text("state = 'active'"))


def _places() -> None:
    op.create_table(
        "place_day",
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("parcels", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("location_id", "day"),
    )
    op.create_table(
        "place_slot",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "brand", "reference"),
    )
    op.create_table(
        "place_figures",
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("location_id"),
    )


def _rules_and_decisions() -> None:
    op.create_table(
        "rulebook",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("note", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("published_by", sa.String(), nullable=False),
        _now("published_at"),
        sa.PrimaryKeyConstraint("owner", "brand", "version"),
    )
    op.create_table(
        "order_decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("rules_version", sa.Integer(), nullable=False),
        sa.Column("rules_fingerprint", sa.String(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("gap", sa.Float(), nullable=False),
        sa.Column("stopped", sa.String(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        _now("decided_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_order_decision_order", "order_decision", ["order_id", "round"])
    op.create_index(
        "ix_order_decision_decided_at",
        "order_decision",
        ["decided_at"],
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )


def _velocity() -> None:
    op.create_table(
        "channel_safety",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sku_id", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("owner", "brand", "channel", "sku_id"),
    )
    op.create_table(
        "stock_velocity",
        sa.Column("sku_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("weekly", sa.Float(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sku_id", "location_id"),
    )
    op.create_index("ix_stock_velocity_brand", "stock_velocity", ["owner", "brand"])


def _changes() -> None:
    op.create_table(
        "stock_change",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("level_id", sa.BigInteger(), nullable=False),
        _now("recorded_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_stock_movement_id",
        "stock_movement",
        ["id"],
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    bundles = sa.text("body ->> 'kind' = 'bundle'")
    op.create_index("ix_sku_bundle", "sku", ["owner", "brand"], postgresql_where=bundles)
