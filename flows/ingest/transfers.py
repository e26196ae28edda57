"""Transfers of a message: places and lines in our own ids, quantities in base units."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from canonical_model.errors import Issue
from canonical_model.store import crosswalk
from canonical_model.store.transfers import NewTransfer, upsert_transfers
from flows.ingest import store
from flows.ingest.batch import Batch, Ignored, Outcome, Refusal, Values, unknown_reference
from flows.ingest.intake import Intake
from flows.ingest.units import Units, to_base_units
from flows.runtime.database import UnitOfWork
from flows.runtime.quarantine import Missing

PLACES: Final = ("from_location", "to_location")
QUANTITIES: Final = ("quantity", "shipped", "received")

Known = Mapping[str, int]
"""Our ids by the source's codes."""


def apply_transfers(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Create or update the transfers; an older state is ignored, an unknown SKU or place is waited for."""
    head, spec = batch.head, intake.spec
    sku_scheme, location_scheme = spec.sku_scheme or head.system, spec.location_scheme or head.system
    skus = _resolve(uow, batch, "sku", sku_scheme, {line["sku"] for v in values.values() for line in v["lines"]})
    places = _resolve(uow, batch, "location", location_scheme, {v[place] for v in values.values() for place in PLACES})
    units = store.list_units(uow.connection, sorted(set(skus.values())))
    outcome = Outcome()
    new: dict[int, NewTransfer] = {}
    for index, value in values.items():
        refusal = _unknown_place(value, places, location_scheme) or _unknown_sku(value, skus, sku_scheme)
        lines, issues = ([], ()) if refusal else _in_base_units(value["lines"], skus, units)
        if refusal or issues:
            outcome.refused[index] = refusal or Refusal(issues)
        else:
            new[index] = NewTransfer(value, places[value["from_location"]], places[value["to_location"]], lines)
    indexes = list(new)
    stale = upsert_transfers(uow.connection, list(new.values()))
    outcome.ignored = {indexes[position]: Ignored.STALE for position in stale}
    return outcome


def _resolve(uow: UnitOfWork, batch: Batch, kind: str, scheme: str, codes: set[str]) -> Known:
    return crosswalk.resolve(
        uow.connection,
        owner=batch.head.owner,
        brand=batch.head.brand,
        kind=kind,
        scheme=scheme,
        outside_ids=sorted(codes),
    )


def _unknown_place(value: Mapping[str, Any], known: Known, scheme: str) -> Refusal | None:
    unknown = [place for place in PLACES if value[place] not in known]
    return unknown_reference(Missing(scheme, "location", value[unknown[0]]), unknown[0]) if unknown else None


def _unknown_sku(value: Mapping[str, Any], known: Known, scheme: str) -> Refusal | None:
    for number, line in enumerate(value["lines"]):
        if line["sku"] not in known:
            return unknown_reference(Missing(scheme, "sku", line["sku"]), f"lines.{number}.sku")
    return None


def _in_base_units(
    lines: Sequence[Mapping[str, Any]], known: Known, units: Mapping[int, Units]
) -> tuple[list[dict[str, Any]], tuple[Issue, ...]]:
    rows, issues = [], []
    for number, line in enumerate(lines):
        sku_id = known[line["sku"]]
        row = {**line, "sku_id": sku_id}
        for name in QUANTITIES:
            quantity = to_base_units(line[name], line["unit"], units[sku_id])
            if isinstance(quantity, Issue):
                field = "unit" if quantity.field == "unit" else name
                issues.append(Issue(f"lines.{number}.{field}", quantity.code, quantity.detail))
                break
            row[name] = quantity
        rows.append(row)
    return rows, tuple(issues)
