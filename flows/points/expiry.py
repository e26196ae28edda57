"""When points end: as instants at midnight in the programme's zone, at which they are no longer there."""

from datetime import date, datetime, timedelta

from flows.points.dates import add_months, local_date, midnight, on_day
from flows.points.programme import Expiry, Programme


def expires_at(programme: Programme, happened_at: datetime) -> datetime | None:
    """The first instant at which points earned at ``happened_at`` are gone; None if they never are.

    RejectedError: an instant without an offset.
    """
    earned_on = local_date(programme.zone, happened_at)
    last = _last_day(programme.expiry, earned_on)
    return midnight(programme.zone, last + timedelta(days=1)) if last else None


def grace_until(programme: Programme, at: datetime) -> datetime | None:
    """The end of the days of grace of points that have ended and are given back at ``at``; None if there are none."""
    if not programme.refund_grace_days:
        return None
    days = timedelta(days=programme.refund_grace_days + 1)
    return midnight(programme.zone, local_date(programme.zone, at) + days)


def _last_day(rule: Expiry, earned_on: date) -> date | None:
    if rule.kind == "months" and rule.months:
        last = add_months(earned_on, rule.months)
        return on_day(last.year, last.month, 31) if rule.end_of == "month" else last
    if rule.kind == "date" and rule.month and rule.day:
        last = on_day(earned_on.year + rule.years, rule.month, rule.day)
        return last if last >= earned_on else on_day(earned_on.year + rule.years + 1, rule.month, rule.day)
    return None
