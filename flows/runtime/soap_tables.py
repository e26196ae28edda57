"""Tables of the SOAP door: accounts and used nonces."""

from datetime import datetime

from sqlalchemy import Column, Index
from sqlalchemy.dialects.postgresql import BYTEA
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _now, _strings, _time, _time_or_null, mirror_defaults
from flows.runtime.tables import BUSY


class SoapAccountRow(SQLModel, table=True):
    """Who may push by SOAP with a user name. A digest can only be checked with the password, so that is sealed."""

    __tablename__ = "soap_account"
    name: str = Field(primary_key=True)
    owner: str
    brand: str
    scopes: list[str] = _strings()
    password_key_id: int = _big()
    password: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    created_at: datetime = _now()
    revoked_at: datetime | None = _time_or_null()


class SoapNonceRow(SQLModel, table=True):
    """A nonce that an account has used, by its hash, until no message that bears it can be fresh any more."""

    __tablename__ = "soap_nonce"
    __table_args__ = (Index("ix_soap_nonce_expires", "expires_at"), {"postgresql_with": BUSY})
    account: str = Field(primary_key=True)
    hash: str = Field(primary_key=True)
    expires_at: datetime = _time()


mirror_defaults(SQLModel.metadata)
