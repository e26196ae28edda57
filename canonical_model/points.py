"""Points: an integer amount of one programme's unit, moved by a dated entry."""

from canonical_model.common import Code, Delta, Instant, Sourced


class PointsEntry(Sourced):
    """One earn (positive) or spend (negative) of ``programme`` points by ``member``."""

    member: Code
    programme: Code
    points: Delta
    happened_at: Instant
    expires_at: Instant | None = None
    order_no: Code | None = None
