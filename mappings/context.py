"""What a converter sees beside the value: whose record it is, and the zone of its naive times."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from canonical_model.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class MapContext:
    """The circumstances of one message.

    zone: IANA name, such as ``Asia/Shanghai``; ``tz`` is the same, ready to use. received_at: aware.
    Raises ConfigurationError when the zone is unknown.
    """

    owner: str
    brand: str
    system: str
    zone: str
    message_id: str
    received_at: datetime
    tz: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "tz", ZoneInfo(self.zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"unknown zone {self.zone!r} of system {self.system}; use an IANA name such as Asia/Shanghai",
                code="configuration.zone",
            ) from error


class ConvertError(ValueError):
    """A converter's refusal with a code of its own, such as ``quantity.negative``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def moment_there(value: Any, context: MapContext) -> datetime:
    """A point in time, ISO 8601 with an offset, by the system's own clock: for converters that write it as it likes."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConvertError("time.format", "is not a time; write it like 2026-11-03T09:30:00+08:00") from error
    if moment.tzinfo is None:
        raise ConvertError("time.offset", "has no offset; write it like 2026-11-03T09:30:00+08:00")
    return moment.astimezone(context.tz)


Converter = Callable[[Any, MapContext], Any]
"""Turns one present value into another; ``None`` means absent. Raises ValueError or ConvertError to refuse it."""


def is_present(value: Any) -> bool:
    """Whether a source value counts: null, ``""``, ``[]`` and ``{}`` are absent; 0 and false are present."""
    return bool(value) or value == 0
