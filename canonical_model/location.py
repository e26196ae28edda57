"""Location: a store, warehouse or supplier that holds or hands out goods."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from canonical_model.common import Code, Entity, Quantity, Sourced, Text
from canonical_model.product import Identifier

ClockTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


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


class Hours(Entity):
    """When a place works, by its own clock: on ``days`` (1 is Monday) from ``opens`` until ``closes``.

    A place that closes at or before the hour it opens works past midnight.
    """

    days: Annotated[frozenset[Annotated[int, Field(ge=1, le=7)]], Field(min_length=1)] = frozenset(range(1, 8))
    opens: ClockTime
    closes: ClockTime


class Location(Sourced):
    """One place. ``capacity`` is parcels a day; None means no stated limit.

    ``identifiers`` are its names in other systems, such as SAP's ``1010/0001``. It ships to buyers in
    ``service_regions`` (a GB/T 2260 code stands for everything in it) or within ``service_radius_km``; to all if it
    states neither. ``hours``: always open if it states none. ``brands``: whose goods it sends out, if not only its
    own brand's. ``rating``: how well it serves, 0 to 5.
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
    rating: Annotated[float, Field(ge=0, le=5)] | None = None
    service_regions: tuple[Code, ...] = ()
    service_radius_km: Annotated[float, Field(ge=0, le=20_100)] | None = None
    hours: tuple[Hours, ...] = ()
    brands: tuple[Code, ...] = ()
