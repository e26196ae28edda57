"""Tables of what people put right while the hub runs (mappings, records, who saw what), and the indexes of search."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BYTEA
from sqlmodel import Field, SQLModel

import flows.runtime.tables  # noqa: F401 - the tables that search indexes
from canonical_model.store.tables import _big, _id, _now, _time_or_null, mirror_defaults


class MappingRevisionRow(SQLModel, table=True):
    """A mapping table as a person corrected it, for one brand. At most one a mapping is ``active``; with none the
    packaged table is in force. ``digest`` is the SHA-256 of ``text``; ``based_on`` the packaged version its author saw.
    """

    __tablename__ = "mapping_revision"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "connector", "mapping", "number"),
        Index(
            "ux_mapping_revision_active",
            "owner",
            "brand",
            "connector",
            "mapping",
            unique=True,
            postgresql_where=text("active"),
        ),
    )
    id: int | None = _id()
    owner: str
    brand: str
    connector: str
    mapping: str
    number: int
    text: str
    digest: str
    version: str
    based_on: str
    author: str
    reason: str
    active: bool = False
    created_at: datetime = _now()
    activated_at: datetime | None = _time_or_null()


class RecordCorrectionRow(SQLModel, table=True):
    """What a person made of a quarantined record, beside what came; the latest counts. Sealed under the key of the
    original (``key_id``) when its stream is personal, else zlib-compressed."""

    __tablename__ = "record_correction"
    __table_args__ = (Index("ix_record_correction_row", "quarantine_id", "id"),)
    id: int | None = _id()
    owner: str
    brand: str
    quarantine_id: int = _big()
    raw: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    key_id: int | None = Field(default=None, sa_type=BigInteger)
    author: str
    created_at: datetime = _now()


class UnmaskingRow(SQLModel, table=True):
    """That someone saw personal values; counted to bound how often."""

    __tablename__ = "unmasking"
    __table_args__ = (Index("ix_unmasking_actor", "actor", "shown_at"),)
    id: int | None = _id()
    actor: str
    shown_at: datetime = _now()


PREFIX: Final = "text_pattern_ops"


def _index(name: str, table: str, *columns: str, by_prefix: str | None = None, only: str | None = None) -> None:
    """An index on someone else's table; ``by_prefix`` is the column searched by its beginning, too."""
    options: dict[str, Any] = {"postgresql_ops": {by_prefix: PREFIX}} if by_prefix else {}
    if only:
        options["postgresql_where"] = text(only)
    there: Table = SQLModel.metadata.tables[table]
    Index(name, *(there.c[column] for column in columns), **options)


_index("ix_sales_order_search", "sales_order", "owner", "brand", "order_no", by_prefix="order_no")
_index("ix_sales_order_person", "sales_order", "receiver_key_id", only="receiver_key_id IS NOT NULL")
_index("ix_parcel_search", "parcel", "owner", "brand", "parcel_no", by_prefix="parcel_no")
_index("ix_parcel_waybill", "parcel", "owner", "brand", "waybill", by_prefix="waybill", only="waybill IS NOT NULL")
_index("ix_sku_search", "sku", "owner", "brand", "code", by_prefix="code")
_index("ix_crosswalk_search", "crosswalk", "owner", "brand", "outside_id")
_index("ix_effect_document", "effect", "owner", "brand", "outside_id", only="outside_id IS NOT NULL")
# The latest messages of a stream are asked for by ``ORDER BY id USING ~>~``, which only this index serves: in the plain
# order the planner may walk the primary key through everybody's messages to find none of a silent stream.
_index("ix_message_stream", "message", "owner", "brand", "system", "stream", "id", by_prefix="id")
_index("ix_message_record_person", "message_record", "key_id")
_index("ix_quarantine_person", "quarantine", "key_id", only="key_id IS NOT NULL")
_index("ix_quarantine_open", "quarantine", "owner", "brand", "system", "stream", "id", only="state = 'open'")

mirror_defaults(SQLModel.metadata)
