"""What ``/v1/points`` is asked besides the requests of the flows themselves."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from canonical_model.common import MAX_MINOR, Code
from canonical_model.ledger import MAX_KEY, MAX_POINTS
from flows.points.requests import MAX_LINES, Amount, LineNo, Moment, Points, Units
from flows.rule_document import MAX_BYTES
from flows.runtime.revisions import MAX_REASON

Text = Annotated[str, Field(min_length=1, max_length=MAX_BYTES, description="A points rulebook: TOML.")]
Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON, description="Why; the audit log keeps it.")]
Number = Annotated[str, Field(min_length=1, max_length=MAX_KEY // 2, pattern=r"^[ -~]+$")]
Signed = Annotated[int, Field(strict=True, ge=-MAX_POINTS, le=MAX_POINTS)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RulesCheckOrder(_Asked):
    """A rulebook to look at."""

    text: Text


class RulesOrder(RulesCheckOrder):
    """A rulebook to put in force. ``against``: only while that version is in force, 0 for none."""

    note: Reason
    against: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class QuotedLine(_Asked):
    """What would be paid for so many of a SKU."""

    line_no: LineNo
    sku: Code
    quantity: Units
    amount_minor: Amount


class EarnQuoteOrder(_Asked):
    """A sale to be reckoned; without ``holder`` for nobody in particular."""

    programme: Code
    holder: Code | None = None
    channel: Code = "-"
    happened_at: Moment | None = None
    lines: Annotated[list[QuotedLine], Field(min_length=1, max_length=MAX_LINES)]


class SpendQuoteOrder(_Asked):
    """An amount to be paid in part by ``points``; without them, by as many as are best."""

    programme: Code
    holder: Code
    amount_minor: Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)]
    points: Points | None = None
    happened_at: Moment | None = None


class ExchangeQuoteOrder(_Asked):
    """Points to be exchanged."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Code = Field(alias="from")
    to: Code
    points: Points
    happened_at: Moment | None = None


class AdjustOrder(_Asked):
    """Points to give to a member, or to take if negative, once for each ``adjustment_no``."""

    adjustment_no: Number
    programme: Code
    holder: Code
    points: Signed
    reason: Reason


class MergeOrder(_Asked):
    """Two members who are one: ``merged`` spends from the wallet of ``kept`` from now on, and the other way round."""

    merge_no: Number
    kept: Code
    merged: Code
    reason: Reason
