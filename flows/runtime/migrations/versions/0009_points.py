"""Points: the ledger, its journal, lots, holds, wallets; rulebooks of more than one kind."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Tell rulebooks apart, then create each table by the function of its name."""
    _rulebook_kinds()
    _accounts()
    _journal()
    _lots()
    _holds()
    _wallets()
    _runs_of_a_sale()


def _now(name: str) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False)


def _at(name: str, *, nullable: bool = False) -> "sa.Column[datetime]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _count(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _id() -> "sa.Column[int]":
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _words(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.String(), server_default=sa.text("''"), nullable=False)


def _rulebook_kinds() -> None:
    op.create_table(
        "new_rulebook",
        *_words("owner", "brand", "kind"),
        sa.Column("version", sa.Integer(), nullable=False),
        *_words("body", "fingerprint"),
        _text("note"),
        *_words("published_by"),
        _now("published_at"),
    )
    op.execute(
        "INSERT INTO new_rulebook (owner, brand, kind, version, body, fingerprint, note, published_by, published_at)"
        " SELECT owner, brand, 'routing', version, body, fingerprint, note, published_by, published_at FROM rulebook"
    )
    op.drop_table("rulebook")
    op.rename_table("new_rulebook", "rulebook")
    op.create_primary_key("rulebook_pkey", "rulebook", ["owner", "brand", "kind", "version"])


def _accounts() -> None:
    op.create_table(
        "ledger_asset",
        _id(),
        *_words("owner", "brand", "code", "kind"),
        _text("title"),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "brand", "code"),
    )
    op.create_table(
        "ledger_account",
        _id(),
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        *_words("kind", "holder", "wallet"),
        _count("balance"),
        _count("held"),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("asset_id", "kind", "holder"),
        sa.CheckConstraint("id > 0", name="ck_ledger_account_id"),
        sa.CheckConstraint(
            "CASE kind WHEN 'member' THEN held >= 0 AND held <= balance"
            " WHEN 'arrears' THEN held = 0 AND balance <= 0 ELSE held = 0 END",
            name="ck_ledger_account_bounds",
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_ledger_account_wallet",
        "ledger_account",
        ["asset_id", "wallet"],
        postgresql_where=sa.text("kind IN ('member', 'arrears')"),
    )


def _journal() -> None:
    op.create_table(
        "ledger_transfer",
        _id(),
        *_words("owner", "brand", "key"),
        sa.Column("fingerprint", postgresql.BYTEA(), nullable=False),
        *_words("kind"),
        _text("reference"),
        sa.Column("reverses", sa.BigInteger(), nullable=True),
        sa.Column("rules_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _at("happened_at"),
        _at("recorded_at"),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        _now("written_at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", "brand", "owner"),
        sa.CheckConstraint("id > 0", name="ck_ledger_transfer_id"),
    )
    op.create_index(
        "ix_ledger_transfer_reference",
        "ledger_transfer",
        ["reference", "brand", "owner"],
        postgresql_where=sa.text("reference <> ''"),
    )
    op.create_index(
        "ix_ledger_transfer_reverses",
        "ledger_transfer",
        ["reverses"],
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    op.create_table(
        "ledger_posting",
        sa.Column("transfer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transfer_id", "line"),
        sa.CheckConstraint(
            "amount <> 0 AND abs(amount) <= CASE WHEN lot_id IS NULL THEN 1000000000000000000 ELSE 1000000000000 END",
            name="ck_ledger_posting_amount",
        ),
        sa.CheckConstraint("transfer_id > 0", name="ck_ledger_posting_transfer"),
    )
    op.create_index("ix_ledger_posting_account", "ledger_posting", ["account_id", "transfer_id"])
    op.create_table(
        "ledger_seal",
        *_words("owner"),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("transfer_id", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("hash", postgresql.BYTEA(), nullable=False),
        sa.Column("digests", postgresql.BYTEA(), nullable=False),
        _text("signature"),
        _at("sealed_at"),
        sa.PrimaryKeyConstraint("owner", "seq"),
    )


def _lots() -> None:
    op.create_table(
        "points_lot",
        _id(),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("transfer_id", sa.BigInteger(), nullable=False),
        *_words("issuer"),
        sa.Column("cost_micro", sa.BigInteger(), nullable=False),
        _at("earned_at"),
        _at("expires_at", nullable=True),
        _at("grace_until", nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        _count("remaining"),
        _count("held"),
        sa.Column("is_open", sa.Boolean(), sa.Computed("remaining > 0", persisted=True), nullable=True),
        sa.Column(
            "due",
            sa.DateTime(timezone=True),
            sa.Computed("COALESCE(grace_until, expires_at, 'infinity'::timestamp with time zone)", persisted=True),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("held >= 0 AND held <= remaining AND remaining <= amount", name="ck_points_lot_bounds"),
        sa.CheckConstraint("id > 0", name="ck_points_lot_id"),
        postgresql_with={"fillfactor": 80},
    )
    is_open = sa.text("is_open")
    op.create_index("ix_points_lot_account", "points_lot", ["account_id", "due", "id"], postgresql_where=is_open)
    op.create_index("ix_points_lot_due", "points_lot", ["due"], postgresql_where=is_open)


def _holds() -> None:
    op.create_table(
        "ledger_hold",
        _id(),
        *_words("owner", "brand", "key"),
        sa.Column("fingerprint", postgresql.BYTEA(), nullable=False),
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        *_words("wallet"),
        _text("reference"),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), server_default=sa.text("'active'"), nullable=False),
        _count("posted"),
        sa.Column("transfer_id", sa.BigInteger(), nullable=True),
        _at("happened_at"),
        _at("expires_at"),
        _at("created_at"),
        _at("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "brand", "key"),
    )
    active = sa.text("state = 'active'")
    op.create_index("ix_ledger_hold_expiry", "ledger_hold", ["expires_at"], postgresql_where=active)
    op.create_index("ix_ledger_hold_wallet", "ledger_hold", ["asset_id", "wallet"], postgresql_where=active)
    op.create_table(
        "ledger_hold_lot",
        sa.Column("hold_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lot_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hold_id", "lot_id"),
    )


def _wallets() -> None:
    op.create_table("ledger_wallet", *_words("owner", "holder", "wallet"), sa.PrimaryKeyConstraint("owner", "holder"))
    op.create_table(
        "ledger_wallet_change",
        _id(),
        *_words("owner", "holder", "wallet"),
        _now("changed_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_ledger_wallet_change_holder", "ledger_wallet_change", ["owner", "holder", "id"])
    op.create_table(
        "ledger_merge",
        _id(),
        *_words("owner", "brand", "key", "kept", "merged"),
        sa.Column("holders", postgresql.ARRAY(sa.TEXT()), server_default=sa.text("'{}'"), nullable=False),
        _at("merged_at"),
        _at("undone_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "brand", "key"),
    )
    op.create_table(
        "ledger_issuer_sum",
        sa.Column("asset_id", sa.BigInteger(), nullable=False),
        *_words("issuer", "kind"),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("cost_micro", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "issuer", "kind"),
    )
    op.create_table(
        "points_intake",
        *_words("owner", "brand"),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "brand"),
    )


def _runs_of_a_sale() -> None:
    """What a sale earned and its returns took back, also when it is long over."""
    op.create_index(
        "ix_flow_run_points",
        "flow_run",
        ["owner", "brand", "order_key", "id"],
        postgresql_where=sa.text("order_key IS NOT NULL AND flow IN ('points.earn','points.claw_back')"),
    )
