"""What may be asked of points: each request is checked in full, then its run is started in the caller's transaction.

    earn, claw_back    a sale, and what came back of it
    spend, refund      goods of a supplier for points, and their points back
    exchange           into another programme, or into an outside unit and back
    expire             what was due by a business date

The same request again finds the run that it started; the same number with other content is refused. Every function
raises RecordError (every field that is wrong), NotFoundError (member, programme, supplier, sale) and ConflictError.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Self, TypeVar

from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from canonical_model.common import MAX_MINOR, Code, Instant
from canonical_model.errors import ConflictError, Issue, NotFoundError, RecordError, RejectedError
from canonical_model.ledger import MAX_POINTS
from canonical_model.store import ledger, members
from flows.points import store
from flows.points.dates import local_date, midnight
from flows.points.exchanging import quote_exchange
from flows.points.keys import key_of
from flows.points.rules import rules_of
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.runs import Started, find_run, get_run, start_runs

EARN: Final = "points.earn"
CLAW_BACK: Final = "points.claw_back"
SPEND: Final = "points.spend"
REFUND: Final = "points.refund"
EXCHANGE: Final = "points.exchange"
EXPIRE: Final = "points.expire"
TAKE_IN: Final = "points.take_in"
MAX_LINES: Final = 500
MAX_BIGINT_DIGITS: Final = 18
CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""How far ahead of ours a caller's clock may be."""


def _as_text(value: Any) -> Any:
    if isinstance(value, str | datetime):
        return value
    raise ValueError("write the time as text with its offset, such as 2026-11-11T00:00:00+08:00")


def _not_to_come(value: datetime) -> datetime:
    if value > datetime.now(UTC) + CLOCKS_DIFFER:
        raise PydanticCustomError("points.future", "is still to come; say when it happened, or ask again then")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError(
            "points.key", "has a control or invisible character; send it as it is printed, with visible characters only"
        )
    return value


Moment = Annotated[Instant, BeforeValidator(_as_text)]
Happened = Annotated[Moment, AfterValidator(_not_to_come)]
Number = Annotated[Code, AfterValidator(_printable)]
Points = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS)]
NoPoints = Annotated[int, Field(strict=True, ge=0, le=MAX_POINTS)]
Units = Annotated[int, Field(strict=True, ge=1, le=10**6)]
Amount = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)]
LineNo = Annotated[int, Field(strict=True, ge=1, le=10**6)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_B = TypeVar("_B", bound=_Body)


class SoldLine(_Body):
    """What was paid for so many of a SKU."""

    line_no: LineNo
    sku: Code
    quantity: Units
    amount_minor: Amount


class _Lined(_Body):
    lines: Annotated[tuple[Any, ...], Field(min_length=1, max_length=MAX_LINES)]

    @model_validator(mode="after")
    def _numbers_lines_once(self) -> Self:
        numbers = [line.line_no for line in self.lines]
        if len(set(numbers)) != len(numbers):
            raise ValueError("line numbers repeat; give every line its own line_no")
        return self


class Earn(_Lined):
    """A sale that earns, or a part of it that was delivered (``part``: the parcel's number)."""

    programme: Code
    holder: Code
    order_no: Number
    channel: Number = "-"
    part: Number | None = None
    happened_at: Happened
    lines: Annotated[tuple[SoldLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class _ReturnedLine(_Body):
    line_no: LineNo
    quantity: Units


class ClawBack(_Lined):
    """What came back of a sale."""

    programme: Code
    order_no: Number
    channel: Number = "-"
    return_no: Number
    happened_at: Happened
    lines: Annotated[tuple[_ReturnedLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class _GoodsLine(_Body):
    line_no: LineNo
    sku: Code
    quantity: Units
    points: NoPoints
    cash_minor: Amount = 0


class Spend(_Lined):
    """Goods of ``supplier`` (a system of the estate) for points and cash; a line's are those of all its pieces."""

    programme: Code
    holder: Code
    order_no: Number
    channel: Number = "-"
    happened_at: Happened
    region_code: Code
    supplier: Code
    lines: Annotated[tuple[_GoodsLine, ...], Field(min_length=1, max_length=MAX_LINES)]
    points: Points

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(line.points for line in self.lines)
        if total != self.points:
            raise ValueError(f"the lines add up to {total} points, `points` says {self.points}; correct one of them")
        return self


class Refund(_Body):
    """Points of a spend given back: all that are left, with the supplier's order cancelled; or ``points`` of them, and
    the goods stay with the member."""

    order_no: Number
    refund_no: Number
    happened_at: Happened
    points: Points | None = None


class Exchange(_Body):
    """``points`` of ``from`` into ``to``. ``account``: the member's at the provider, where one side is an outside
    unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    exchange_no: Number
    from_: Code = Field(alias="from")
    to: Code
    holder: Code
    points: Points
    happened_at: Happened
    account: Number | None = None


class Expire(_Body):
    """The first day on which the points are gone: those whose last day was before it."""

    as_of: date


def start_earn(uow: UnitOfWork, owner: str, brand: str, body: Mapping[str, Any]) -> Started:
    """Start ``points.earn`` for an ``Earn``."""
    asked = _read(Earn, body)
    _check_member(uow.connection, owner, brand, asked.holder)
    rules_of(uow.connection, owner).programme(asked.programme)
    ledger.get_asset(uow.connection, owner, asked.programme)
    return _start(uow, earn_start(owner, brand, asked.model_dump(mode="json")))


def start_claw_back(uow: UnitOfWork, owner: str, brand: str, body: Mapping[str, Any]) -> Started:
    """Start ``points.claw_back`` for a ``ClawBack``; it waits for the sale if that is not known yet."""
    asked = _read(ClawBack, body)
    rules_of(uow.connection, owner).programme(asked.programme)
    return _start(uow, claw_back_start(owner, brand, asked.model_dump(mode="json")))


def start_spend(uow: UnitOfWork, owner: str, brand: str, body: Mapping[str, Any]) -> Started:
    """Start ``points.spend`` for a ``Spend``."""
    asked = _read(Spend, body)
    _check_member(uow.connection, owner, brand, asked.holder)
    programme = rules_of(uow.connection, owner).programme(asked.programme)
    ledger.get_asset(uow.connection, owner, asked.programme)
    day = local_date(programme.zone, asked.happened_at)
    if not any(rule.covers(day) for rule in programme.spend):
        raise RejectedError(
            f"happened_at: {programme.name} cannot be spent on {day}; add a spend rule for that day",
            code="spend.no_rule",
        )
    for deed in ("reserve", "confirm", "cancel"):
        _check_writer(uow, "supplier", asked.supplier, deed)
    return _start(uow, Start(SPEND, owner, brand, spend_key(brand, asked.order_no), asked.model_dump(mode="json")))


def start_refund(uow: UnitOfWork, owner: str, brand: str, body: Mapping[str, Any]) -> Started:
    """Start ``points.refund`` for a ``Refund``; NotFoundError if nothing was spent under that number."""
    asked = _read(Refund, body)
    if find_run(uow, owner, brand, SPEND, spend_key(brand, asked.order_no)) is None:
        raise NotFoundError(
            f"order_no: nothing was spent under {asked.order_no!r}; correct the number", code="points.spend_unknown"
        )
    key = key_of(asked.order_no, asked.refund_no)
    return _start(uow, Start(REFUND, owner, brand, key, asked.model_dump(mode="json"), order_key=asked.order_no))


def start_exchange(uow: UnitOfWork, owner: str, brand: str, body: Mapping[str, Any]) -> Started:
    """Start ``points.exchange`` for an ``Exchange``. RejectedError: no rate on that day, or outside its limits."""
    asked = _read(Exchange, body)
    _check_member(uow.connection, owner, brand, asked.holder)
    rules = rules_of(uow.connection, owner)
    for side in (asked.from_, asked.to):
        if side not in rules.outside:
            rules.programme(side)
    rule = rules.exchange(asked.from_, asked.to, asked.happened_at)
    quote_exchange(rule, asked.points)
    if rule.provider:
        _check_writer(uow, "provider", rule.provider, "credit" if asked.to in rules.outside else "debit")
    if (rule.provider is None) != (asked.account is None):
        detail = f"is the member's number at {rule.provider}; send it" if rule.provider else "is not used; leave it out"
        raise RecordError([Issue("account", "exchange.account", detail)])
    body = asked.model_dump(mode="json", exclude={"account"})
    account = _sealed_account(uow, asked) if asked.account else None
    key = exchange_key(brand, asked.exchange_no)
    wallet = store.wallets_of(uow.connection, owner, [asked.holder])[asked.holder]
    return _start(uow, Start(EXCHANGE, owner, brand, key, {**body, "account": account}, order_key=wallet))


def open_account(uow: UnitOfWork, account: Mapping[str, Any]) -> str:
    """The member's number at the provider. NotFoundError: it was erased with the member."""
    content = b64decode(account["sealed"])
    return uow.services.vault.open(uow.connection, account["key_id"], content).decode()


def _sealed_account(uow: UnitOfWork, asked: Exchange) -> dict[str, Any]:
    """The member's number at the provider names a person: it is erased with the member."""
    number = str(asked.account)
    sealed = uow.services.vault.seal(uow.connection, number.encode())
    members.keep_key(uow.connection, int(asked.holder), sealed.key_id)
    content = b64encode(sealed.content).decode()
    return {"token": uow.services.vault.token(number), "key_id": sealed.key_id, "sealed": content}


def start_expire(uow: UnitOfWork, owner: str, brand: str, body: Mapping[str, Any]) -> Started:
    """Start ``points.expire`` for an ``Expire``: the day begins at midnight in the rulebook's zone."""
    asked = _read(Expire, body)
    at = midnight(rules_of(uow.connection, owner).zone, asked.as_of)
    if at > datetime.now(UTC):
        raise RecordError([Issue("as_of", "points.future", "is still to come; points expire when their day is over")])
    return _start(uow, Start(EXPIRE, owner, brand, asked.as_of.isoformat(), {"as_of": at.isoformat()}))


def spend_key(brand: str, order_no: str) -> str:
    """The key of a spend's run, and the order's number at the supplier: brands may number alike."""
    return key_of(brand, order_no)


def exchange_key(brand: str, exchange_no: str) -> str:
    """The key of an exchange's run, and its reference at the provider: brands may number alike."""
    return key_of(brand, exchange_no)


def earn_start(owner: str, brand: str, body: Mapping[str, Any], traceparent: str | None = None) -> Start:
    """The run of a checked ``Earn`` (JSON): one for each programme, channel, order and part, one after another."""
    sale = sale_key(body)
    key = key_of(body["part"]) if body.get("part") else ""
    return Start(EARN, owner, brand, f"{sale}:{key}" if key else sale, body, sale, traceparent)


def claw_back_start(owner: str, brand: str, body: Mapping[str, Any], traceparent: str | None = None) -> Start:
    """The run of a checked ``ClawBack`` (JSON)."""
    sale = sale_key(body)
    return Start(CLAW_BACK, owner, brand, f"{sale}:{key_of(body['return_no'])}", body, sale, traceparent)


def sale_key(body: Mapping[str, Any]) -> str:
    """What the earns and claw-backs of one sale in one programme have in common."""
    return key_of(body["programme"], body["channel"], body["order_no"])


def _read(model: type[_B], body: Mapping[str, Any]) -> _B:
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        raise RecordError(
            [
                Issue(".".join(map(str, each["loc"])), _code(each["type"]), each["msg"].removeprefix("Value error, "))
                for each in error.errors(include_url=False, include_input=False)
            ]
        ) from error


def _code(kind: str) -> str:
    return kind if kind.startswith("points.") else "points.invalid"


def _check_member(connection: Connection[DictRow], owner: str, brand: str, holder: str) -> None:
    if not (holder.isascii() and holder.isdecimal() and len(holder) <= MAX_BIGINT_DIGITS and holder[0] != "0"):
        raise RecordError([Issue("holder", "member.unknown", "a holder is the id of a member of ours; look it up")])
    members.get_member(connection, owner, brand, int(holder))


def _check_writer(uow: UnitOfWork, field: str, system: str, writer: str) -> None:
    if uow.services.estate.find_writer(system, writer) is None:
        raise NotFoundError(
            f"{field}: no system {system!r} of the estate takes {writer}; connect it, or name another",
            code=f"points.{field}_unknown",
        )


def _start(uow: UnitOfWork, start: Start) -> Started:
    [started] = start_runs(uow, [start])
    if not started.new and _plain(get_run(uow, started.run_id)["input"]) != _plain(start.input):
        raise ConflictError(
            f"{start.flow} {start.key!r} was asked before with other content; take a number of its own",
            code="points.key_conflict",
        )
    return started


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, the same each time: what is sealed goes by its token."""
    account = body.get("account")
    return {**body, "account": account["token"]} if account else dict(body)
