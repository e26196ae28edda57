"""Days and months as a programme's zone has them. A day begins at its midnight there, and ends before the next."""

from calendar import monthrange
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from canonical_model.common import EARLIEST_YEAR, LATEST_YEAR
from canonical_model.errors import RejectedError


def local_date(zone: ZoneInfo, at: datetime) -> date:
    """The date in ``zone`` at an instant. RejectedError: an instant without its offset, or not of our time."""
    if at.tzinfo is None:
        raise RejectedError(f"{at.isoformat()} has no offset; send the time with one", code="points.no_offset")
    if not EARLIEST_YEAR < at.year < LATEST_YEAR:
        raise RejectedError(f"the year {at.year} is not of our time; correct the clock", code="points.time")
    return at.astimezone(zone).date()


def midnight(zone: ZoneInfo, day: date) -> datetime:
    """The instant at which ``day`` begins."""
    return datetime.combine(day, time(), zone)


def day_bounds(zone: ZoneInfo, at: datetime) -> tuple[datetime, datetime]:
    """The day of an instant: its first instant, and that of the next day. RejectedError: as ``local_date``."""
    day = local_date(zone, at)
    return midnight(zone, day), midnight(zone, day + timedelta(days=1))


def month_bounds(zone: ZoneInfo, at: datetime) -> tuple[datetime, datetime]:
    """The month of an instant: its first instant, and that of the next month. RejectedError: as ``local_date``."""
    first = local_date(zone, at).replace(day=1)
    return midnight(zone, first), midnight(zone, add_months(first, 1))


def add_months(day: date, months: int) -> date:
    """The same day ``months`` later, negative ones earlier; the month's last where it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return on_day(year, month + 1, day.day)


def on_day(year: int, month: int, day: int) -> date:
    """A date; the month's last day where it has fewer."""
    return date(year, month, min(day, monthrange(year, month)[1]))
