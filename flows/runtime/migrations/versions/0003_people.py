"""People, their sessions, and the audit chain."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

BUSY = {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_cost_delay": 0}
NOW = sa.text("clock_timestamp()")

APPEND_ONLY = """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% on % is refused: the audit log is append-only', TG_OP, TG_TABLE_NAME;
    END $$;
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
    CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
"""


def upgrade() -> None:
    """Create every table, each by the function of its name."""
    _person()
    _person_role()
    _recovery_code()
    _sign_in()
    _sign_in_guard()
    _oidc_state()
    _audit()
    _audit_head()
    op.execute(APPEND_ONLY)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable, server_default=sa.text(default) if default else None)


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=NOW if now else None)


def _person() -> None:
    op.create_table(
        "person",
        _text("owner"),
        _text("login"),
        _text("name"),
        _text("state", default="'active'"),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _text("password_hash", nullable=True),
        sa.Column("must_change_password", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _text("oidc_subject", nullable=True),
        _text("totp_state", default="'none'"),
        sa.Column("totp_key_id", sa.BigInteger(), nullable=True),
        sa.Column("totp_sealed", postgresql.BYTEA(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _time("created_at", now=True),
        _time("signed_in_at", nullable=True),
        sa.CheckConstraint("state IN ('active','disabled')", name="ck_person_state"),
        sa.CheckConstraint("totp_state IN ('none','pending','active')", name="ck_person_totp_state"),
        sa.PrimaryKeyConstraint("owner", "login"),
    )


def _person_role() -> None:
    op.create_table(
        "person_role",
        _text("owner"),
        _text("login"),
        _text("brand"),
        _text("role"),
        sa.PrimaryKeyConstraint("owner", "login", "brand", "role"),
    )


def _recovery_code() -> None:
    op.create_table(
        "recovery_code",
        _text("owner"),
        _text("login"),
        _text("hash"),
        _time("used_at", nullable=True),
        sa.PrimaryKeyConstraint("owner", "login", "hash"),
    )


def _sign_in() -> None:
    op.create_table(
        "sign_in",
        _text("hash"),
        _text("owner"),
        _text("login"),
        _text("brand"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("idle_s", sa.Integer(), nullable=False),
        _time("seen_at", now=True),
        _time("created_at", now=True),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("hash"),
        postgresql_with=BUSY,
    )
    op.create_index("ix_sign_in_expires", "sign_in", ["expires_at"])
    op.create_index("ix_sign_in_person", "sign_in", ["owner", "login"])


def _sign_in_guard() -> None:
    op.create_table(
        "sign_in_guard",
        _text("subject"),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("failed_at", now=True),
        _time("blocked_until", nullable=True),
        sa.PrimaryKeyConstraint("subject"),
        postgresql_with=BUSY,
    )
    op.create_index("ix_sign_in_guard_failed", "sign_in_guard", ["failed_at"])


def _oidc_state() -> None:
    op.create_table(
        "oidc_state",
        _text("hash"),
        _text("binding"),
        _text("nonce"),
        _text("verifier"),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("ix_oidc_state_expires", "oidc_state", ["expires_at"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        _time("at"),
        _text("owner"),
        _text("brand"),
        _text("actor"),
        _text("action"),
        _text("subject"),
        sa.Column("detail", sa.TEXT(), nullable=False),
        _text("hash"),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_audit_brand", "audit", ["owner", "brand", "seq"])
    op.create_index("ix_audit_subject", "audit", ["owner", "brand", "subject", "seq"])


def _audit_head() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, server_default=sa.text("1"), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        _text("hash"),
        _text("signature"),
        sa.CheckConstraint("id = 1", name="ck_audit_head_one"),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with={"fillfactor": 50},
    )
