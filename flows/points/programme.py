"""One programme's rules, as the rulebook's tables say them."""

import re
from datetime import date
from fractions import Fraction
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from canonical_model.common import EARLIEST_YEAR, LATEST_YEAR, MAX_MINOR, MAX_QUANTITY, Code

MAX_RULES: Final = 200
MAX_LEVELS: Final = 50
MAX_CAPS: Final = 50
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_WHEN_ALWAYS: Final = (date.min, date.max)


def _exact(value: Any) -> Fraction:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6:
        return Fraction(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Fraction(value)
    raise ValueError('write a decimal number in quotes, such as "1.5", with at most six digits after the point')


def _above_one(value: Fraction) -> Fraction:
    if value <= 1:
        raise ValueError('this makes nothing more; write a number above 1, such as "1.5"')
    return value


def _a_share(value: Fraction) -> Fraction:
    if value > 1:
        raise ValueError('a share is at most 1; write "0.5" for a half')
    return value


def _below_all(value: Fraction) -> Fraction:
    if value >= 1:
        raise ValueError('nothing would be left; write a share below 1, such as "0.02"')
    return value


def _of_our_time(value: date) -> date:
    if not EARLIEST_YEAR < value.year < LATEST_YEAR:
        raise ValueError(f"the year {value.year} is not of our time; correct the date")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name has printable characters only; remove the others")
    return value


Name = Annotated[Code, AfterValidator(_printable)]
Names = Annotated[frozenset[Name], Field(max_length=10_000)]
Day = Annotated[date, Field(strict=True), AfterValidator(_of_our_time)]
Points = Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY)]
Ratio = Annotated[int, Field(strict=True, ge=1, le=10**6)]
Multiplier = Annotated[Fraction, BeforeValidator(_exact), AfterValidator(_above_one)]
Share = Annotated[Fraction, BeforeValidator(_exact), AfterValidator(_a_share)]
Spread = Annotated[Fraction, BeforeValidator(_exact), AfterValidator(_below_all)]
Rounding = Literal["down", "half_up", "half_even", "up"]


class Table(BaseModel):
    """A table of the document: frozen, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dated(Table):
    """In force from a day on, until the day before another; a date left out is no limit."""

    from_date: Day | None = Field(None, alias="from")
    until: Day | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError(f"it ends on {self.ends}, before it begins; `until` is the first day without it")
        return self

    @property
    def starts(self) -> date:
        """Its first day; date.min where none is given."""
        return self.from_date or _WHEN_ALWAYS[0]

    @property
    def ends(self) -> date:
        """The first day without it; date.max where none is given."""
        return self.until or _WHEN_ALWAYS[1]

    def covers(self, day: date) -> bool:
        """Whether it is in force on ``day``."""
        return self.starts <= day < self.ends


class Expiry(Table):
    """When earned points end. ``months``: so many months later, at the end of that day or month. ``date``: at the end
    of ``month``/``day`` in the year ``years`` later. ``never``.
    """

    kind: Literal["months", "date", "never"] = "never"
    months: Annotated[int, Field(strict=True, ge=1, le=600)] | None = None
    end_of: Literal["day", "month"] = "day"
    month: Annotated[int, Field(strict=True, ge=1, le=12)] | None = None
    day: Annotated[int, Field(strict=True, ge=1, le=31)] | None = None
    years: Annotated[int, Field(strict=True, ge=0, le=50)] = 0

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> Self:
        if self.kind == "months" and self.months is None:
            raise ValueError('kind "months" needs `months`; write how many')
        if self.kind == "date" and (self.month is None or self.day is None):
            raise ValueError('kind "date" needs `month` and `day`; write both')
        foreign = {"months": {"month", "day", "years"}, "date": {"months", "end_of"}}.get(
            self.kind, {"months", "end_of", "month", "day", "years"}
        )
        if said := sorted(foreign & self.model_fields_set):
            raise ValueError(f'kind "{self.kind}" does not use {", ".join(said)}; remove it')
        return self


class Level(Table):
    """A level of members: held with at least so much growth."""

    name: Name
    at_least: Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY)]


class EarnRule(Dated):
    """What one rule adds to an order: ``points`` for each ``per_minor`` of what was paid, or what ``multiply`` makes
    of the points that rules without a campaign give, or ``add`` once an order.

    ``levels``, ``skus``, ``channels``: only for these. ``campaign``: which campaign it belongs to; ``stack``: campaigns
    that "add" all count, of those that say "best" only the one that gives most. ``issuer``: who bears the points,
    where not the programme's own.
    """

    name: Name
    points: Annotated[int, Field(strict=True, ge=1, le=10**6)] | None = None
    per_minor: Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR)] | None = None
    multiply: Multiplier | None = None
    add: Points | None = None
    rounding: Rounding = "down"
    by: Literal["line", "order"] = "line"
    levels: Names = frozenset()
    skus: Names = frozenset()
    channels: Names = frozenset()
    campaign: Name | None = None
    stack: Literal["add", "best"] = "add"
    issuer: Name | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        said = [key for key in ("points", "multiply", "add") if getattr(self, key) is not None]
        if len(said) != 1:
            raise ValueError(f"it says {' and '.join(said) or 'nothing'}; write one of `points`, `multiply`, `add`")
        if (self.points is None) != (self.per_minor is None):
            raise ValueError("`points` and `per_minor` belong together; write both or neither")
        if self.stack == "best" and self.campaign is None:
            raise ValueError("`stack` compares campaigns; name the `campaign`, or leave `stack` out")
        return self


class Cap(Table):
    """The most points that one member earns ``per`` order, day or month; with ``campaign`` from that campaign."""

    per: Literal["order", "day", "month"]
    points: Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY)]
    campaign: Name | None = None


class SpendRule(Dated):
    """What points are worth: ``points_per_100_minor`` pay 100 minor units (1 yuan). ``max_share`` of an amount may be
    paid with points; at least ``min_points`` at once, in multiples of ``multiple_of``.
    """

    points_per_100_minor: Ratio
    max_share: Share = Fraction(1)
    min_points: Points = 1
    multiple_of: Ratio = 1


class ExchangeRule(Dated):
    """``give`` points of ``from_`` become ``get`` of ``to``, after ``spread`` of what is given is kept.

    ``min_points``, ``max_points``, ``multiple_of`` limit what is given at once. ``provider``: the system that keeps
    the side which is no programme of the group.
    """

    from_: Name = Field(alias="from")
    from_date: Day | None = None
    to: Name
    give: Ratio
    get: Ratio
    spread: Spread = Fraction(0)
    min_points: Points = 1
    max_points: Points = MAX_QUANTITY
    multiple_of: Ratio = 1
    provider: Name | None = None

    @model_validator(mode="after")
    def _limits_leave_something(self) -> Self:
        if self.min_points > self.max_points // self.multiple_of * self.multiple_of:
            raise ValueError("no number of points is within these limits; raise `max_points` or lower `min_points`")
        if self.from_ == self.to:
            raise ValueError("points are not exchanged into themselves; name two")
        return self


class Programme(Table):
    """A brand's points. ``name`` is ``brand/code``, ``zone`` the rulebook's.

    ``issuer`` bears new points unless an earn rule says otherwise, each costs it ``cost_micro`` millionths of a fen.
    A spend may keep points for ``hold_s`` seconds. Points given back after they expired live ``refund_grace_days``
    more. ``growth``: the programme in which the same number is earned beside; what it holds of the last
    ``window_months`` decides the level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: str
    zone: ZoneInfo
    title: Name
    issuer: Name
    cost_micro: Annotated[int, Field(strict=True, ge=0, le=10**12)] = 0
    hold_s: Annotated[int, Field(strict=True, ge=1, le=30 * 86_400)] = 1_800
    refund_grace_days: Annotated[int, Field(strict=True, ge=0, le=3_650)] = 0
    growth: Name | None = None
    window_months: Annotated[int, Field(strict=True, ge=1, le=120)] = 12
    expiry: Expiry = Expiry()
    levels: Annotated[tuple[Level, ...], Field(max_length=MAX_LEVELS)] = ()
    earn: Annotated[tuple[EarnRule, ...], Field(max_length=MAX_RULES)] = ()
    caps: Annotated[tuple[Cap, ...], Field(max_length=MAX_CAPS)] = ()
    spend: Annotated[
        tuple[SpendRule, ...],
        BeforeValidator(lambda value: [value] if isinstance(value, dict) else value),
        Field(max_length=MAX_RULES),
    ] = ()

    @property
    def brand(self) -> str:
        """The brand whose programme it is."""
        return self.name.partition("/")[0]
