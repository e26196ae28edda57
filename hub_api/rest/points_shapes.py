"""What ``/v1/points`` answers."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from hub_api.rest.document import FieldError
from hub_api.rest.routing_shapes import RulesHead
from hub_api.rest.shapes import Next

Json = dict[str, JsonValue]


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PointsRulesState(_Read):
    """A version with its text. ``latest``: the one in force. Version 0 was never published."""

    version: int
    latest: int
    text: str
    fingerprint: str
    note: str
    published_by: str
    published_at: datetime | None
    programmes: list[str]


class PointsRulesHead(RulesHead):
    """One published version of the points rules."""


class PointsRulesCheck(_Read):
    """What a text would change against the version ``against``; with ``issues`` it cannot be published."""

    against: int
    issues: list[FieldError]
    lines: list[str]


class EarnedRule(BaseModel):
    """Points by one rule, and who bears them."""

    rule: str
    points: int
    issuer: str


class EarnedLine(BaseModel):
    """Points of one line."""

    line_no: int
    points: int
    rules: list[EarnedRule]


class EarnQuote(BaseModel):
    """What a sale would earn."""

    programme: str
    points: int
    growth: int
    level: str | None
    expires_at: datetime | None
    rules_version: int
    lines: list[EarnedLine]


class SpendQuote(BaseModel):
    """``points`` pay ``worth_minor``; ``cash_minor`` is left to pay. ``available``: what the member can spend."""

    programme: str
    points: int
    worth_minor: int
    cash_minor: int
    available: int
    rules_version: int


class ExchangeQuote(BaseModel):
    """``give`` points, of which ``spread`` are kept, become ``get``."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    from_: str = Field(alias="from")
    to: str
    give: int
    spread: int
    get: int
    rate: str
    provider: str | None
    rules_version: int


class DeedError(BaseModel):
    """Why a run stopped."""

    code: str
    detail: str


class Deed(BaseModel):
    """What became of a request so far. ``state``: done; parked (a person looks at it); else it is under way.

    ``repeated``: the same was asked before. ``points``: earned or taken back; ``give`` and ``get`` of an exchange.
    """

    run_id: int
    state: Annotated[str, Field(json_schema_extra={"enum": ["ready", "running", "waiting", "parked", "done"]})]
    outcome: str | None
    repeated: bool
    points: int | None
    give: int | None
    get: int | None
    transfers: list[int]
    error: DeedError | None


class Programme(BaseModel):
    """A programme with the rules that are in force."""

    name: str
    title: str
    issuer: str
    cost_micro: int
    hold_s: int
    refund_grace_days: int
    growth: str | None
    window_months: int
    expiry: Json
    levels: list[Json]
    caps: list[Json]
    earn: list[Json]
    spend: list[Json]
    exchange: list[Json]
    rules_version: int


class Programmes(BaseModel):
    """Every programme of the group."""

    items: list[Programme]


class NextExpiry(BaseModel):
    """When the next points go."""

    due: datetime
    points: int


class NextLevel(BaseModel):
    """The level above, and the growth that is missing."""

    name: str
    missing: int


class ProgrammeBalance(BaseModel):
    """``available`` = posted - held - what is due already; ``arrears`` is owed."""

    programme: str
    title: str
    posted: int
    held: int
    available: int
    arrears: int
    level: str | None
    growth: int | None
    next_level: NextLevel | None
    next_expiry: NextExpiry | None


class MergeHead(BaseModel):
    """A merge of wallets, and when it was undone."""

    id: int
    kept: str
    merged: str
    merged_at: datetime
    undone_at: datetime | None


class MemberPoints(BaseModel):
    """What a member has. ``wallet``: whose accounts are spent from together. ``member``: who it is, masked, for
    those who may see that."""

    holder: str
    wallet: list[str]
    member: dict[str, Any] | None
    programmes: list[ProgrammeBalance]
    merges: list[MergeHead]


class Lot(BaseModel):
    """Points that came together. ``due``: when they go, null for never."""

    id: int
    holder: str
    transfer_id: int
    origin_key: str
    origin_reference: str
    issuer: str
    earned_at: datetime
    due: datetime | None
    amount: int
    remaining: int
    held: int


class Lots(BaseModel):
    """Lots in the order in which they are spent; ``cut``: there are more."""

    programme: str
    holder: str
    items: list[Lot]
    cut: bool


class Change(BaseModel):
    """Points of a programme that a wallet got, or gave if negative."""

    programme: str
    points: int


class JournalPosting(BaseModel):
    """One line: which lot it filled or emptied, and by which transfer that lot had come."""

    programme: str
    account: str
    holder: str
    points: int
    lot_id: int | None
    issuer: str | None
    due: datetime | None
    origin_id: int | None
    origin_reference: str | None


class TransferHead(BaseModel):
    """An entry of the ledger. ``happened_at``: in the world; ``recorded_at``: here."""

    id: int
    brand: str
    key: str
    kind: str
    reference: str
    reverses: int | None
    rules_version: int
    happened_at: datetime
    recorded_at: datetime
    detail: Json


class JournalEntry(TransferHead):
    """An entry with what it changed for the wallet."""

    changes: list[Change]
    postings: list[JournalPosting]


class Posting(BaseModel):
    """One line of a transfer: ``amount`` into (negative: out of) an account."""

    line: int
    asset: str
    account_kind: str
    holder: str
    amount: int
    lot_id: int | None
    lot_key: str | None
    issuer: str | None
    due: datetime | None


class Transfer(TransferHead):
    """An entry whole."""

    postings: list[Posting]
    reversed_by: list[int]


class HolderPoints(BaseModel):
    """What one member of a wallet had."""

    holder: str
    points: int


class AsOf(BaseModel):
    """A balance as it was: of what had happened by ``happened``, as far as it was recorded by ``recorded``."""

    programme: str
    holder: str
    happened: datetime | None
    recorded: datetime | None
    points: int
    arrears: int
    holders: list[HolderPoints]


class Moved(BaseModel):
    """A transfer that moved points of a lot or wallet."""

    transfer_id: int
    kind: str
    reference: str
    happened_at: datetime
    points: int


class MovedSince(Moved):
    """The same, with when it was recorded."""

    recorded_at: datetime


class ProvedLot(Lot):
    """A lot, and where its points went."""

    went: list[Moved]


class KindSum(BaseModel):
    """What transfers of one kind brought in all."""

    kind: str
    points: int
    transfers: int


class Since(BaseModel):
    """What a balance was, is, and what was recorded in between, newest first."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    at: datetime
    was: int
    is_: int = Field(alias="is")
    changes: list[MovedSince]


class Why(BaseModel):
    """Why a balance is as it is: ``posted`` is the sum of what the lots have left, and of all kinds of transfers."""

    programme: str
    holder: str
    at: datetime
    posted: int
    held: int
    due: int
    available: int
    arrears: int
    adds_up: bool
    lots: list[ProvedLot]
    by_kind: list[KindSum]
    since: Since
    cut: bool


class Issuer(BaseModel):
    """issued = spent + expired + exchanged_out + clawed_back + outstanding, which costs ``liability_minor``."""

    programme: str
    issuer: str
    issued: int
    spent: int
    expired: int
    exchanged_out: int
    clawed_back: int
    outstanding: int
    liability_minor: int


class Issuers(BaseModel):
    """Who bears the points of the brand's programmes."""

    items: list[Issuer]


class DueMonth(BaseModel):
    """Points that go in a month, null for those that never do; the last month holds what goes later too."""

    programme: str
    month: date | None
    points: int


class Due(BaseModel):
    """Points by the month in which they go."""

    items: list[DueMonth]


class Seal(BaseModel):
    """How far the journal is sealed."""

    seq: int
    entries: int
    hash: str
    sealed_at: datetime


class VerifiedBooks(BaseModel):
    """When the books were last verified, by whom, and how many things were wrong."""

    at: datetime
    by: str
    entries: int
    head: str
    broken: int


class Proofs(BaseModel):
    """What proves the books; null: not yet."""

    seal: Seal | None
    verified: VerifiedBooks | None


class Adjusted(BaseModel):
    """The transfer that stands for an adjustment."""

    transfer_id: int
    repeated: bool


class Merged(BaseModel):
    """A merge of wallets."""

    merge_id: int
    kept: str
    merged: str


class Unmerged(BaseModel):
    """Who has a wallet of their own again; nobody if that was so before."""

    merge_id: int
    holders: list[str]


class TransferPage(BaseModel):
    """One page of transfers."""

    items: list[TransferHead]
    next: Next


class JournalPage(BaseModel):
    """One page of a member's journal."""

    items: list[JournalEntry]
    next: Next
