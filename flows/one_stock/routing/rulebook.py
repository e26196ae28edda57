"""The rulebook: routing rules as data. One document a brand, with a base that every channel inherits.

    parcel_cost = 8.0             # what a parcel costs, in money
    per_km = 0.006                # and every kilometre of its way
    max_parcels = 4

    [[tiers]]                     # plans are compared on the first tier, those within its tolerance on the next …
    by = "parcels"
    [[tiers]]
    by = "cost"
    tolerance = 0.05

    [channels.live]               # says only what differs
    max_parcels = 2
    [channels.flash]
    inherits = "live"

Tables of a channel are merged into what it inherits, key by key; a list, such as ``tiers``, takes the old one's place.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from canonical_model.errors import Issue, RecordError
from canonical_model.stock import Quality
from flows.rule_document import read_document

MAX_CHANNELS: Final = 500
MAX_NAME: Final = 120
BASE: Final = "base"

Money = Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1e6, allow_inf_nan=False)]
Codes = Annotated[frozenset[str], Field(max_length=10_000)]


class TierName(StrEnum):
    """What plans may be compared on; what each parcel adds is said in docs/routing.md."""

    COST = "cost"
    DISTANCE = "distance"
    PARCELS = "parcels"
    DEPTH = "depth"
    MEMBER = "member"
    RATING = "rating"
    ACCEPTANCE = "acceptance"
    VELOCITY = "velocity"
    PROMISE = "promise"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tier(_Table):
    """Plans up to ``best * (1 + tolerance) + slack`` on this tier go on to the next."""

    by: TierName
    tolerance: Share = 0.0
    slack: Share = 0.0


class Filters(_Table):
    """Which places are asked at all. An empty list restricts nothing.

    ``kinds``, ``places``: only these; ``not_places``: not these. ``brands``: of which brands besides the order's own.
    ``max_km``, ``min_rating``, ``min_acceptance``: limits for places where the figure is known.
    ``service_area``, ``hours``, ``capacity``: whether the place's own limits count.
    """

    kinds: Codes = frozenset()
    places: Codes = frozenset()
    not_places: Codes = frozenset()
    brands: Codes = frozenset()
    max_km: Money | None = None
    min_rating: Money | None = None
    min_acceptance: Money | None = None
    service_area: StrictBool = True
    hours: StrictBool = False
    capacity: StrictBool = True


class Budget(_Table):
    """What a search may use. ``emergency_ms`` is no plan but a fuse: a search that it ends says so."""

    nodes: Annotated[int, Field(strict=True, ge=1, le=10**7)] = 500
    iterations: Annotated[int, Field(strict=True, ge=0, le=10**6)] = 200
    emergency_ms: Annotated[int, Field(strict=True, ge=10, le=60_000)] = 5_000


class Rules(_Table):
    """The rules of one channel, everything inherited. Times in seconds; 0 means not at all.

    ``unknown_km`` stands in where a distance is not known. Goods arrive after ``handling_days`` and a day for each
    ``km_per_day``, where the place does not say otherwise. ``min_parcel_value_minor``: no parcel of a split order is
    worth less. ``split_lines``: whether one line may come from several places. ``keep_order_together``: the order is
    one group. ``on_short``: what happens when not everything can be had. ``queue_for_s``: how long to wait for goods
    then, ``queue_retry_s``: how often to look. ``release_after_s``: how long a plan may still be bettered before the
    places are asked. ``ship_within_s``: a place that has not shipped by then is asked to give the parcel back.
    ``minimum_remaining_days``: shelf life the buyer must have left. ``published_safety``: units of each SKU in the
    pool that the channel is not shown. ``hold_ttl_s``: how long a checkout may keep goods.
    """

    parcel_cost: Money
    per_km: Money
    max_parcels: Annotated[int, Field(strict=True, ge=1, le=100)]
    unknown_km: Money = 1_000.0
    handling_days: Money = 1.0
    km_per_day: Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False)] = 500.0
    min_parcel_value_minor: Annotated[int, Field(strict=True, ge=0, le=10**12)] = 0
    split_lines: StrictBool = True
    keep_order_together: StrictBool = False
    on_short: Literal["partial", "cancel", "queue"] = "partial"
    queue_for_s: Annotated[int, Field(strict=True, ge=0, le=90 * 86_400)] = 0
    queue_retry_s: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 60
    release_after_s: Annotated[int, Field(strict=True, ge=0, le=30 * 86_400)] = 0
    ship_within_s: Annotated[int, Field(strict=True, ge=0, le=30 * 86_400)] = 0
    quality: Quality = Quality.SELLABLE
    minimum_remaining_days: Annotated[int, Field(strict=True, ge=0, le=36_500)] = 0
    published_safety: Annotated[int, Field(strict=True, ge=0, le=10**9)] = 0
    hold_ttl_s: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 900
    filters: Filters = Filters()
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=len(TierName))] = (Tier(by=TierName.COST),)
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _each_tier_once(self) -> Self:
        names = [tier.by for tier in self.tiers]
        if len(set(names)) != len(names):
            raise ValueError(f"tiers repeat: {', '.join(names)}; name each once")
        return self


class Rulebook:
    """A parsed document. ``text`` as it was written; ``fingerprint`` tells it from others; ``version`` 0 until
    published."""

    def __init__(self, text: str, version: int = 0) -> None:
        document = read_document(text)
        self.text: Final = text
        self.version: Final = version
        self.fingerprint: Final = sha256(text.encode()).hexdigest()
        channels = document.pop("channels", {})
        if wrong := _wrong_with(channels):
            raise RecordError([Issue("channels", "rules.channels", wrong)])
        self._base = _parse(document, BASE)
        self._channels = _parse_each(document, channels)

    def rules(self, channel: str = "") -> Rules:
        """The rules of a channel; the base for one that the document does not name."""
        return self._channels.get(channel, self._base)

    @property
    def channels(self) -> list[str]:
        """The channels that have rules of their own, by name."""
        return sorted(self._channels)


def _wrong_with(channels: Any) -> str | None:
    if not isinstance(channels, dict) or not all(isinstance(table, dict) for table in channels.values()):
        return "write [channels.NAME] tables"
    if len(channels) > MAX_CHANNELS:
        return f"at most {MAX_CHANNELS} channels"
    if unfit := [name for name in channels if not _is_code(name)]:
        return f"{unfit[0][:MAX_NAME]!r} is no channel's name; write 1 to {MAX_NAME} printable characters"
    return f"no channel may be called {BASE!r}; write its rules above the tables" if BASE in channels else None


def _is_code(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip()


def _parse_each(base: Mapping[str, Any], channels: Mapping[str, Mapping[str, Any]]) -> dict[str, Rules]:
    """The rules of each channel. RecordError: what is wrong with any of them."""
    parsed: dict[str, Rules] = {}
    issues: list[Issue] = []
    for name in channels:
        try:
            parsed[name] = _parse(_inherited(name, base, channels), name)
        except RecordError as error:
            issues += error.issues
    if issues:
        raise RecordError(issues)
    return parsed


def _inherited(name: str, base: Mapping[str, Any], channels: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tables from the base down to the channel, merged. RecordError: an unknown parent, or a circle."""
    line: list[str] = []
    while name != BASE:
        if name not in channels or name in line:
            what = "a circle" if name in line else "no channel"
            where = f"channels.{line[-1] if line else name}.inherits"
            raise RecordError([Issue(where, "rules.inherits", f"{name!r} is {what} here; inherit another one")])
        line.append(name)
        name = str(channels[name].get("inherits", BASE))
    merged = dict(base)
    for each in reversed(line):
        merged = _merged(merged, {key: value for key, value in channels[each].items() if key != "inherits"})
    return merged


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        known = result.get(key)
        result[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def _parse(table: Mapping[str, Any], channel: str) -> Rules:
    try:
        return Rules.model_validate(table)
    except ValidationError as error:
        prefix = () if channel == BASE else ("channels", channel)
        raise RecordError(
            [
                Issue(".".join(map(str, (*prefix, *each["loc"]))), "rules.invalid", each["msg"])
                for each in error.errors(include_url=False, include_input=False)
            ]
        ) from error


DEFAULT: Final = Rulebook('parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 4\non_short = "cancel"\n')
"""The rules of a brand that has published none."""
