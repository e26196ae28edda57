"""Levels of members, by the growth of the last months."""

from dataclasses import dataclass
from datetime import datetime

from canonical_model.common import MAX_QUANTITY
from flows.points.dates import add_months, local_date, midnight
from flows.points.programme import Programme
from flows.points.whole import check_whole


@dataclass(frozen=True, slots=True)
class NextLevel:
    """The next level up, and the growth that is missing."""

    name: str
    missing: int


def level_of(programme: Programme, growth: int) -> str | None:
    """The highest level that ``growth`` reaches; None below the first. RejectedError: no whole number."""
    check_whole("growth", growth, MAX_QUANTITY)
    return next((level.name for level in reversed(programme.levels) if growth >= level.at_least), None)


def next_level(programme: Programme, growth: int) -> NextLevel | None:
    """The level above; None at the top. RejectedError: no whole number."""
    check_whole("growth", growth, MAX_QUANTITY)
    above = next((level for level in programme.levels if growth < level.at_least), None)
    return NextLevel(above.name, above.at_least - growth) if above else None


def growth_since(programme: Programme, at: datetime) -> datetime:
    """The instant from which growth counts towards the level at ``at``: midnight, ``window_months`` ago.

    RejectedError: an instant without an offset.
    """
    return midnight(programme.zone, add_months(local_date(programme.zone, at), -programme.window_months))
