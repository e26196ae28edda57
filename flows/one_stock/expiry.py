"""Which batches a parcel should take: the earliest to expire that live as long as the buyer was promised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import availability
from canonical_model.store.holds import HoldLine
from flows.one_stock.routing.problem import PlannedParcel


@dataclass(slots=True)
class _Left:
    """A batch and what no parcel is known to take of it."""

    batch: str
    expires_on: date | None
    units: int


def batches_of(
    connection: Connection[DictRow], held: Mapping[str, Sequence[HoldLine]]
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """For each parcel, whose lines are held now, its batches by line number; none where the place tells none apart.

    What was held before takes its earliest batches too, so the parcels take the next ones. It is advice.
    """
    known = availability.list_batches(connection, sorted({line.level_id for lines in held.values() for line in lines}))
    left = {level_id: [_Left(*batch) for batch in batches] for level_id, batches in known.items()}
    for level_id, min_expiry, units in availability.list_claims(connection, list(left), list(held)) if left else ():
        _drain(left[level_id], units, min_expiry)
    return {
        parcel_no: {line.line_no: _take(left[line.level_id], line) for line in lines if line.level_id in left}
        for parcel_no, lines in held.items()
    }


def parcel_lines(parcel: PlannedParcel, batches: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The lines of a planned parcel as it keeps them, with its ``batches`` by line number."""
    return [
        {
            "line_no": line.line_no,
            "sku_id": line.sku_id,
            "quantity": line.quantity,
            **({"batches": batches[line.line_no]} if batches.get(line.line_no) else {}),
        }
        for line in parcel.lines
    ]


def _take(left: Sequence[_Left], line: HoldLine) -> list[dict[str, Any]]:
    return [{"batch": batch, "quantity": units} for batch, units in _drain(left, line.quantity, line.min_expiry)]


def _drain(left: Sequence[_Left], units: int, min_expiry: date | None) -> list[tuple[str, int]]:
    taken = []
    for lot in left:
        lives = min_expiry is None or (lot.expires_on is not None and lot.expires_on >= min_expiry)
        if lives and units > 0 and lot.units > 0:
            some = min(units, lot.units)
            lot.units -= some
            units -= some
            taken.append((lot.batch, some))
    return taken
