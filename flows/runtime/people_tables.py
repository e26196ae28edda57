"""Tables of people, their sessions, and the audit chain."""

from datetime import datetime
from typing import Any

from sqlalchemy import TEXT, BigInteger, CheckConstraint, Column, Index
from sqlalchemy.dialects.postgresql import BYTEA
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _now, _time, _time_or_null, mirror_defaults
from flows.runtime.tables import BUSY


def _bytes() -> Any:
    return Field(default=None, sa_column=Column(BYTEA, nullable=True))


def _text() -> Any:
    return Field(sa_column=Column(TEXT, nullable=False))


class PersonRow(SQLModel, table=True):
    """A person who signs in. ``version`` grows with every change, and ends the sessions begun before it.

    ``password_hash`` is argon2id; None for people who sign in through an OpenID provider, which knows them by
    ``oidc_subject`` (its issuer and their id there, hashed).
    ``totp_step`` is the last time step whose code was used: no code opens twice.
    """

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("state IN ('active','disabled')", name="ck_person_state"),
        CheckConstraint("totp_state IN ('none','pending','active')", name="ck_person_totp_state"),
    )
    owner: str = Field(primary_key=True)
    login: str = Field(primary_key=True)
    name: str
    state: str = "active"
    version: int = 1
    password_hash: str | None = None
    must_change_password: bool = False
    oidc_subject: str | None = None
    totp_state: str = "none"
    totp_key_id: int | None = Field(default=None, sa_type=BigInteger)
    totp_sealed: bytes | None = _bytes()
    totp_step: int = Field(default=0, sa_type=BigInteger)
    created_at: datetime = _now()
    signed_in_at: datetime | None = _time_or_null()


class PersonRoleRow(SQLModel, table=True):
    """What a person is in one brand; one row a role."""

    __tablename__ = "person_role"
    owner: str = Field(primary_key=True)
    login: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    role: str = Field(primary_key=True)


class RecoveryCodeRow(SQLModel, table=True):
    """A one-time code, by its hash, for whoever lost the device that shows the six digits."""

    __tablename__ = "recovery_code"
    owner: str = Field(primary_key=True)
    login: str = Field(primary_key=True)
    hash: str = Field(primary_key=True)
    used_at: datetime | None = _time_or_null()


class SignInRow(SQLModel, table=True):
    """A session of a signed-in person, by the SHA-256 of its token; in force while ``version`` is the person's."""

    __tablename__ = "sign_in"
    __table_args__ = (
        Index("ix_sign_in_person", "owner", "login"),
        Index("ix_sign_in_expires", "expires_at"),
        {"postgresql_with": BUSY},
    )
    hash: str = Field(primary_key=True)
    owner: str
    login: str
    brand: str
    version: int
    idle_s: int
    seen_at: datetime = _now()
    created_at: datetime = _now()
    expires_at: datetime = _time()


class SignInGuardRow(SQLModel, table=True):
    """Failed sign-ins of one login or one address, by a keyed token of it; the same for logins that do not exist."""

    __tablename__ = "sign_in_guard"
    __table_args__ = (Index("ix_sign_in_guard_failed", "failed_at"), {"postgresql_with": BUSY})
    subject: str = Field(primary_key=True)
    failures: int = 0
    failed_at: datetime = _now()
    blocked_until: datetime | None = _time_or_null()


class OidcStateRow(SQLModel, table=True):
    """A sign-in under way at the OpenID provider, by the hash of its ``state``; used once."""

    __tablename__ = "oidc_state"
    __table_args__ = (Index("ix_oidc_state_expires", "expires_at"),)
    hash: str = Field(primary_key=True)
    binding: str
    nonce: str
    verifier: str
    expires_at: datetime = _time()


class AuditRow(SQLModel, table=True):
    """One entry of the audit log. ``hash`` covers every column and the hash before; ``detail`` is canonical JSON.

    A trigger refuses UPDATE, DELETE and TRUNCATE.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_brand", "owner", "brand", "seq"),
        Index("ix_audit_subject", "owner", "brand", "subject", "seq"),
    )
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime = _time()
    owner: str
    brand: str
    actor: str
    action: str
    subject: str
    detail: str = _text()
    hash: str


class AuditHeadRow(SQLModel, table=True):
    """The end of the chain: how many entries there are and the last hash, signed with a key the database lacks."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="ck_audit_head_one"), {"postgresql_with": {"fillfactor": 50}})
    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    count: int = _big()
    hash: str
    signature: str


mirror_defaults(SQLModel.metadata)
