"""Tables of the points ledger: assets, accounts, the journal with its seals, lots, holds, wallets.

The journal (``ledger_transfer``, ``ledger_posting``, ``ledger_seal``) is only ever added to. Every posting of a
member's account names the lot that it fills or empties, so lots add up to balances by construction, and the guards in
``sql/ledger_10_guard.sql`` refuse what does not sum to zero. A wallet is the set of accounts that one person may spend
from.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Index,
    Integer,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA
from sqlmodel import Field, SQLModel

from canonical_model.store.tables import _big, _id, _json, _now, _strings, _time, _time_or_null, mirror_defaults

UPDATED_IN_PLACE = {"fillfactor": "80"}


class LedgerAssetRow(SQLModel, table=True):
    """What is counted: a programme's points (of a brand), money, or an outside unit (of the group: brand is empty)."""

    __tablename__ = "ledger_asset"
    __table_args__ = (UniqueConstraint("owner", "brand", "code"),)
    id: int | None = _id()
    owner: str
    brand: str
    code: str
    kind: str
    title: str = ""
    created_at: datetime = _now()


class LedgerAccountRow(SQLModel, table=True):
    """One holder's units of an asset. A member's can be kept (``held``) and never falls below that; arrears are what a
    member owes. Balances of these two move with every posting; those of the others when the journal is sealed."""

    __tablename__ = "ledger_account"
    __table_args__ = (
        UniqueConstraint("asset_id", "kind", "holder"),
        CheckConstraint("id > 0", name="ck_ledger_account_id"),
        CheckConstraint(
            "CASE kind WHEN 'member' THEN held >= 0 AND held <= balance"
            " WHEN 'arrears' THEN held = 0 AND balance <= 0 ELSE held = 0 END",
            name="ck_ledger_account_bounds",
        ),
        Index("ix_ledger_account_wallet", "asset_id", "wallet", postgresql_where=text("kind IN ('member', 'arrears')")),
        {"postgresql_with": UPDATED_IN_PLACE},
    )
    id: int | None = _id()
    asset_id: int = _big()
    kind: str
    holder: str
    wallet: str
    balance: int = Field(default=0, sa_type=BigInteger)
    held: int = Field(default=0, sa_type=BigInteger)
    created_at: datetime = _now()


class LedgerTransferRow(SQLModel, table=True):
    """One entry of the journal: once for each (owner, brand, key). ``detail`` says why, without personal data.

    ``happened_at``: in the world; ``recorded_at``: here. ``reverses``: the transfer that it takes back, or part of it.
    ``written_at``: by the database's clock, read when the id was drawn already, so that the sealer can tell up to which
    id nothing can appear any more; no part of the entry.
    """

    __tablename__ = "ledger_transfer"
    __table_args__ = (
        UniqueConstraint("key", "brand", "owner"),
        CheckConstraint("id > 0", name="ck_ledger_transfer_id"),
        Index("ix_ledger_transfer_reference", "reference", "brand", "owner", postgresql_where=text("reference <> ''")),
        Index("ix_ledger_transfer_reverses", "reverses", postgresql_where=text("reverses IS NOT NULL")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    key: str
    fingerprint: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    kind: str
    reference: str = ""
    reverses: int | None = Field(default=None, sa_type=BigInteger)
    rules_version: int = 0
    happened_at: datetime = _time()
    recorded_at: datetime = _time()
    detail: dict[str, Any] = _json()
    written_at: datetime = _now()


class LedgerPostingRow(SQLModel, table=True):
    """One line of a transfer: ``amount`` units into (or, negative, out of) an account, and which lot of it.

    What many lots lose may be one line of the account that takes it all: hence its larger bound.
    """

    __tablename__ = "ledger_posting"
    __table_args__ = (
        CheckConstraint(
            "amount <> 0 AND abs(amount) <= CASE WHEN lot_id IS NULL THEN 1000000000000000000 ELSE 1000000000000 END",
            name="ck_ledger_posting_amount",
        ),
        CheckConstraint("transfer_id > 0", name="ck_ledger_posting_transfer"),
        Index("ix_ledger_posting_account", "account_id", "transfer_id"),
    )
    transfer_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    line: int = Field(primary_key=True, sa_type=Integer, sa_column_kwargs={"autoincrement": False})
    account_id: int = _big()
    lot_id: int | None = Field(default=None, sa_type=BigInteger)
    amount: int = _big()


class PointsLotRow(SQLModel, table=True):
    """Points that came together: who issued them, what one cost (millionths of a minor unit), when they expire.

    ``due``: when they go; later than ``expires_at`` where points given back after it got a ``grace_until``.
    """

    __tablename__ = "points_lot"
    __table_args__ = (
        CheckConstraint("held >= 0 AND held <= remaining AND remaining <= amount", name="ck_points_lot_bounds"),
        CheckConstraint("id > 0", name="ck_points_lot_id"),
        Index("ix_points_lot_account", "account_id", "due", "id", postgresql_where=text("is_open")),
        Index("ix_points_lot_due", "due", postgresql_where=text("is_open")),
        {"postgresql_with": UPDATED_IN_PLACE},
    )
    id: int | None = _id()
    account_id: int = _big()
    transfer_id: int = _big()
    issuer: str
    cost_micro: int = _big()
    earned_at: datetime = _time()
    expires_at: datetime | None = _time_or_null()
    grace_until: datetime | None = _time_or_null()
    amount: int = _big()
    remaining: int = Field(default=0, sa_type=BigInteger)
    held: int = Field(default=0, sa_type=BigInteger)
    is_open: bool = Field(sa_column=Column(Boolean, Computed("remaining > 0", persisted=True)))
    due: datetime = Field(
        sa_column=Column(
            DateTime(timezone=True),
            Computed("COALESCE(grace_until, expires_at, 'infinity'::timestamp with time zone)", persisted=True),
        )
    )


class LedgerHoldRow(SQLModel, table=True):
    """Points kept for a spend or an exchange that is not certain yet: active, then posted, voided or expired, once."""

    __tablename__ = "ledger_hold"
    __table_args__ = (
        UniqueConstraint("owner", "brand", "key"),
        Index("ix_ledger_hold_expiry", "expires_at", postgresql_where=text("state = 'active'")),
        Index("ix_ledger_hold_wallet", "asset_id", "wallet", postgresql_where=text("state = 'active'")),
    )
    id: int | None = _id()
    owner: str
    brand: str
    key: str
    fingerprint: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    asset_id: int = _big()
    wallet: str
    reference: str = ""
    amount: int = _big()
    state: str = "active"
    posted: int = Field(default=0, sa_type=BigInteger)
    transfer_id: int | None = Field(default=None, sa_type=BigInteger)
    happened_at: datetime = _time()
    expires_at: datetime = _time()
    created_at: datetime = _time()
    ended_at: datetime | None = _time_or_null()


class LedgerHoldLotRow(SQLModel, table=True):
    """Which units a hold keeps: a lot whose turn came is not taken, nor does it expire, until the hold has ended."""

    __tablename__ = "ledger_hold_lot"
    hold_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    lot_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    amount: int = _big()


class LedgerSealRow(SQLModel, table=True):
    """The journal's hash chain of an owner, up to a transfer: ``hash`` folds every entry's own hash, in their order.

    ``entries`` counts them all. ``digests``: the first eight bytes of each sealed entry's own hash, to find the one
    that was altered. ``signature``: of the head, under the master key, which the database does not hold.
    """

    __tablename__ = "ledger_seal"
    owner: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    transfer_id: int = _big()
    entries: int = _big()
    hash: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    digests: bytes = Field(sa_column=Column(BYTEA, nullable=False))
    signature: str = ""
    sealed_at: datetime = _time()


class LedgerIssuerSumRow(SQLModel, table=True):
    """What became of an issuer's lots of an asset, as far as the journal is sealed: ``amount`` units in or (negative)
    out by what they were (issued, spent, expired, exchanged_out, clawed_back), ``cost_micro`` is what they cost."""

    __tablename__ = "ledger_issuer_sum"
    asset_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    issuer: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    amount: Decimal = Field(sa_column=Column(Numeric, nullable=False))
    cost_micro: Decimal = Field(sa_column=Column(Numeric, nullable=False))


class LedgerWalletRow(SQLModel, table=True):
    """Whose wallet a merged holder's accounts are in; a holder without a row has their own."""

    __tablename__ = "ledger_wallet"
    owner: str = Field(primary_key=True)
    holder: str = Field(primary_key=True)
    wallet: str


class LedgerWalletChangeRow(SQLModel, table=True):
    """Every time a holder was put into a wallet, merges, un-merges and extracts alike: the last one says where they
    are. Only ever added to, so that ``ledger_wallet`` can be computed anew."""

    __tablename__ = "ledger_wallet_change"
    __table_args__ = (Index("ix_ledger_wallet_change_holder", "owner", "holder", "id"),)
    id: int | None = _id()
    owner: str
    holder: str
    wallet: str
    changed_at: datetime = _now()


class LedgerMergeRow(SQLModel, table=True):
    """One merge of wallets, and whether it was undone: ``holders`` went from ``merged`` to ``kept``."""

    __tablename__ = "ledger_merge"
    __table_args__ = (UniqueConstraint("owner", "brand", "key"),)
    id: int | None = _id()
    owner: str
    brand: str
    key: str
    kept: str
    merged: str
    holders: list[str] = _strings()
    merged_at: datetime = _time()
    undone_at: datetime | None = _time_or_null()


class PointsIntakeRow(SQLModel, table=True):
    """How far a brand's points entries, as their sources told them, are in the ledger."""

    __tablename__ = "points_intake"
    owner: str = Field(primary_key=True)
    brand: str = Field(primary_key=True)
    entry_id: int = _big()


mirror_defaults(SQLModel.metadata)
