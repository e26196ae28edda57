"""Tables of members and points entries, as their sources tell them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import BYTEA
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _id, _json, _now, _time, _time_or_null, mirror_defaults


class MemberRow(SQLModel, table=True):
    """One person as one source knows them. ``sealed`` is the JSON of what is personal, under the data key ``key_id``.

    ``mobile_token`` is the keyed token of the mobile number: equal numbers are found by it, none is read from it.
    """

    __tablename__ = "member"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "system", "source_id"),
        # Not led by owner and brand: without statistics the planner would take it for the unique key.
        Index("ix_member_mobile", "mobile_token"),
    )
    id: int | None = _id()
    owner: str
    brand: str
    system: str
    source_id: str
    code: str
    level: str | None = None
    home_store: str | None = None
    active: bool = True
    sealed: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    key_id: int = _big()
    mobile_token: str | None = None
    message_id: str
    occurred_at: datetime = _time()
    created_at: datetime = _now()
    updated_at: datetime = _now()


class MemberKeyRow(SQLModel, table=True):
    """Every data key under which a record about a member was sealed; erasing the member destroys them all."""

    __tablename__ = "member_key"
    __table_args__ = (Index("ix_member_key_member", "member_id"),)
    key_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    member_id: int = _big()


class PointsEntryRow(SQLModel, table=True):
    """One earn or spend as its source told it; rows are only ever added. ``member_code``: as the source names them."""

    __tablename__ = "points_entry"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "system", "source_id"),
        Index("ix_points_entry_member", "member_id", "id"),
    )
    id: int | None = _id()
    owner: str
    brand: str
    system: str
    source_id: str
    member_id: int = _big()
    member_code: str
    programme: str
    points: int = _big()
    happened_at: datetime = _time()
    expires_at: datetime | None = _time_or_null()
    order_no: str | None = None
    extensions: dict[str, Any] = _json()
    message_id: str
    recorded_at: datetime = _now()


mirror_defaults(SQLModel.metadata)
