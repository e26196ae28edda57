"""Products and locations of a message into the canonical tables and the crosswalk."""

from collections.abc import Mapping, Sequence
from typing import Any

from canonical_model.errors import ConfigurationError, Issue
from canonical_model.store import locations, products
from canonical_model.store.master import TakenName, Upserted
from flows.ingest.batch import Batch, Ignored, Outcome, Refusal, Values
from flows.ingest.intake import Intake
from flows.one_stock.geography import locate
from flows.runtime.database import UnitOfWork


def apply_products(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Create or update the SKUs; an older state than the one known is ignored."""
    indexes = list(values)
    upserted = products.upsert_products(uow.connection, list(values.values()))
    return _outcome(indexes, upserted, "product")


def apply_locations(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Create or update the places, each with the authority of its stock; without coordinates, its region's."""
    outcome = Outcome()
    estate = uow.services.estate
    kinds = locations.list_kinds(
        uow.connection, batch.head.owner, batch.head.brand, [v["code"] for v in values.values()]
    )
    for index, value in values.items():
        if (known := kinds.get(value["code"], value["kind"])) != value["kind"]:
            detail = f"{value['code']} is a {known}; a {value['kind']} needs a code of its own"
            outcome.refused[index] = Refusal((Issue("code", "location.kind", detail),))
            continue
        try:
            estate.authority(value["kind"], value["code"])
        except ConfigurationError as error:
            outcome.refused[index] = Refusal((Issue("code", error.code, error.detail),))
    indexes = [index for index in values if index not in outcome.refused]
    upserted = locations.upsert_locations(
        uow.connection, [_with_point(values[index]) for index in indexes], estate.authority
    )
    outcome.absorb(_outcome(indexes, upserted, "place"))
    return outcome


def _with_point(value: Mapping[str, Any]) -> Mapping[str, Any]:
    point = None if value.get("point") else locate(value)
    return {**value, "point": point.model_dump(mode="json")} if point else value


def _outcome(indexes: Sequence[int], upserted: Upserted, kind: str) -> Outcome:
    return Outcome(
        refused={indexes[name.position]: _taken(name, kind) for name in upserted.taken},
        ignored={indexes[position]: Ignored.STALE for position in upserted.stale},
        linked=bool(upserted.linked),
    )


def _taken(name: TakenName, kind: str) -> Refusal:
    detail = f"{name.scheme} {name.outside_id!r} already names another {kind}; correct one of the two at the source"
    return Refusal((Issue("", "crosswalk.taken", detail),))
