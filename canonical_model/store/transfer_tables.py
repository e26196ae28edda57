"""Tables of transfers between places."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _id, _json, _now, _time, _time_or_null, mirror_defaults


class TransferRow(SQLModel, table=True):
    """One transfer as ``system`` sees it; ``body`` is the whole canonical Transfer as JSON."""

    __tablename__ = "transfer"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "system", "number"),
        Index("ix_transfer_from", "from_location_id"),
        Index("ix_transfer_to", "to_location_id"),
    )
    id: int | None = _id()
    owner: str
    brand: str
    system: str
    number: str
    from_location_id: int = _big()
    to_location_id: int = _big()
    status: str
    shipped_at: datetime | None = _time_or_null()
    received_at: datetime | None = _time_or_null()
    body: dict[str, Any] = _json()
    source_id: str
    message_id: str
    occurred_at: datetime = _time()
    updated_at: datetime = _now()


class TransferLineRow(SQLModel, table=True):
    """One line, in base units of the SKU. ``sku_code`` is what the source calls it."""

    __tablename__ = "transfer_line"
    __table_args__ = (Index("ix_transfer_line_sku", "sku_id"),)
    transfer_id: int = Field(primary_key=True, sa_type=BigInteger)
    line_no: int = Field(primary_key=True)
    sku_id: int = _big()
    sku_code: str
    quantity: int = _big()
    shipped: int = Field(default=0, sa_type=BigInteger)
    received: int = Field(default=0, sa_type=BigInteger)


mirror_defaults(SQLModel.metadata)
