"""Location: a store, warehouse or supplier that holds or hands out goods."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from canonical_model.common import Code, Entity, Quantity, Sourced, Text
from canonical_model.product import Identifier


class LocationKind(StrEnum):
    """What kind of place."""

    STORE = "store"
    WAREHOUSE = "warehouse"
    SUPPLIER = "supplier"


class Precision(StrEnum):
    """How exact a coordinate is: measured, or the centroid of an administrative division (GB/T 2260)."""

    EXACT = "exact"
    DISTRICT = "district"
    CITY = "city"
    PROVINCE = "province"


class Service(StrEnum):
    """What a place does."""

    SELL = "sell"
    SHIP = "ship"
    PICKUP = "pickup"
    RETURN = "return"


class Point(Entity):
    """WGS-84 degrees and how exact they are."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    precision: Precision = Precision.EXACT


class Location(Sourced):
    """One place. ``capacity`` is parcels a day; None means no stated limit.

    ``identifiers`` are its names in other systems, such as SAP's ``1010/0001``.
    """

    code: Code
    name: Text
    kind: LocationKind
    identifiers: tuple[Identifier, ...] = ()
    point: Point | None = None
    region_code: Code | None = None
    retail_circles: tuple[Code, ...] = ()
    capacity: Quantity | None = None
    services: frozenset[Service] = frozenset()
    active: bool = True
