"""Values shared by every entity: source, money, codes, the strict base model."""

from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

EARLIEST_YEAR: Final = 1900
LATEST_YEAR: Final = 2200
MAX_QUANTITY: Final = 10**12
MAX_MINOR: Final = 10**15

# ISO 4217 minor units of the currencies the hub accepts.
MINOR_UNITS: Final = {"CNY": 2, "HKD": 2, "USD": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KRW": 0, "TWD": 2}

_EXACT: Final = Context(prec=18, traps=[Inexact, InvalidOperation])


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("contains a NUL character; remove it at the source")
    return value


def _known_currency(value: str) -> str:
    if value not in MINOR_UNITS:
        raise ValueError(f"unknown currency {value!r}; use one of {', '.join(sorted(MINOR_UNITS))}")
    return value


def _in_our_time(value: datetime) -> datetime:
    if not EARLIEST_YEAR < value.year < LATEST_YEAR:
        raise ValueError(f"the year {value.year} is not of our time; correct the clock or the format")
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_in_our_time)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True), AfterValidator(_no_nul)]
Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_no_nul)]
Currency = Annotated[str, AfterValidator(_known_currency)]
Quantity = Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY)]
Delta = Annotated[int, Field(strict=True, ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
Minor = Annotated[int, Field(strict=True, ge=-MAX_MINOR, le=MAX_MINOR)]


class Entity(BaseModel):
    """Base of every canonical entity: unknown fields are refused, values are frozen.

    ``SCHEMA_VERSION`` is raised whenever the exported JSON Schema changes in a way that breaks a reader.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
    SCHEMA_VERSION: ClassVar[int] = 1


class Source(Entity):
    """Where a record comes from. ``id`` is the source's own name for it; ``occurred_at`` has an offset."""

    system: Code
    id: Code
    occurred_at: Instant
    message_id: Code


class Sourced(Entity):
    """What every stored record carries: whose it is, where it came from, and all that has no field yet."""

    owner: Code
    brand: Code
    source: Source
    extensions: dict[str, Any] = Field(default_factory=dict)


def to_minor(amount: Decimal, currency: str) -> int:
    """Exact minor units of a decimal amount.

    ValueError when the amount has finer digits than the currency, is not a number, or has over 18 digits.
    """
    digits = MINOR_UNITS[_known_currency(currency)]
    try:
        return int(amount.quantize(Decimal(1).scaleb(-digits), context=_EXACT).scaleb(digits))
    except Inexact as error:
        raise ValueError(f"{amount} has more than {digits} decimals for {currency}") from error
    except (InvalidOperation, ValueError) as error:
        raise ValueError(f"{amount} is not an amount of {currency}; send a number of at most 18 digits") from error


def from_minor(minor: int, currency: str) -> Decimal:
    """Decimal amount of ``minor`` units, with the currency's own number of decimals."""
    return Decimal(minor).scaleb(-MINOR_UNITS[_known_currency(currency)])
