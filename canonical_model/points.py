"""Points: an integer amount of one programme's unit, moved by a dated entry."""

from typing import Self

from pydantic import model_validator

from canonical_model.common import Code, Delta, Instant, Sourced


class PointsEntry(Sourced):
    """One earn (positive) or spend (negative) of ``programme`` points by ``member``, the source's code of a member."""

    member: Code
    programme: Code
    points: Delta
    happened_at: Instant
    expires_at: Instant | None = None
    order_no: Code | None = None

    @model_validator(mode="after")
    def _moves_something(self) -> Self:
        if self.points == 0:
            raise ValueError("points is 0; an entry earns or spends something")
        if self.expires_at is not None and self.expires_at <= self.happened_at:
            raise ValueError("expires_at is not after happened_at; leave it out if the points never expire")
        return self
