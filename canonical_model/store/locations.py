"""Places, their outside names, and which system counts and ships there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.store import master
from canonical_model.store.master import Upserted

_UPSERT: Final = """
    INSERT INTO location AS known (
        owner, brand, code, name, kind, lat, lon, point_precision, region_code, retail_circles, services, capacity,
        active, authority, fulfilled_by, body, system, source_id, message_id, occurred_at)
    SELECT owner, brand, code, name, kind, lat, lon, point_precision, region_code, retail_circles, services, capacity,
        active, authority, fulfilled_by, body, system, source_id, message_id, occurred_at
    FROM jsonb_to_recordset(%s) AS asked (
        owner text, brand text, code text, name text, kind text, lat float8, lon float8, point_precision text,
        region_code text, retail_circles text[], services text[], capacity bigint, active boolean, authority text,
        fulfilled_by text, body jsonb, system text, source_id text, message_id text, occurred_at timestamptz)
    ORDER BY owner, brand, code
    ON CONFLICT (owner, brand, code) DO UPDATE SET
        name = excluded.name, kind = excluded.kind, lat = excluded.lat, lon = excluded.lon,
        point_precision = excluded.point_precision, region_code = excluded.region_code,
        retail_circles = excluded.retail_circles, services = excluded.services, capacity = excluded.capacity,
        active = excluded.active, authority = excluded.authority, fulfilled_by = excluded.fulfilled_by,
        body = excluded.body, system = excluded.system, source_id = excluded.source_id,
        message_id = excluded.message_id, occurred_at = excluded.occurred_at, updated_at = excluded.updated_at
    WHERE known.occurred_at <= excluded.occurred_at
    RETURNING owner, brand, code, id
"""


class Authority(Protocol):
    """``system``: whose stock figure counts at a place. ``fulfilled_by``: who ships from it, if anyone."""

    @property
    def system(self) -> str: ...

    @property
    def fulfilled_by(self) -> str | None: ...


def upsert_locations(
    connection: Connection[DictRow],
    locations: Sequence[Mapping[str, Any]],
    authorities: Callable[[str, str], Authority],
) -> Upserted:
    """Write canonical Locations (JSON) and link their names; as ``products.upsert_products``.

    ``authorities`` says for a kind and code who counts and who ships there; its errors pass through.
    """
    rows = [_row(location, authorities(location["kind"], location["code"])) for location in locations]
    return master.upsert(connection, locations, kind="location", statement=_UPSERT, rows=rows)


def _row(location: Mapping[str, Any], authority: Authority) -> dict[str, Any]:
    source = location["source"]
    point = location.get("point") or {}
    return {
        "owner": location["owner"],
        "brand": location["brand"],
        "code": location["code"],
        "name": location["name"],
        "kind": location["kind"],
        "lat": point.get("lat"),
        "lon": point.get("lon"),
        "point_precision": point.get("precision"),
        "region_code": location.get("region_code"),
        "retail_circles": list(location.get("retail_circles", ())),
        "services": sorted(location.get("services", ())),
        "capacity": location.get("capacity"),
        "active": location.get("active", True),
        "authority": authority.system,
        "fulfilled_by": authority.fulfilled_by,
        "body": location,
        "system": source["system"],
        "source_id": source["id"],
        "message_id": source["message_id"],
        "occurred_at": source["occurred_at"],
    }


def get_location(connection: Connection[DictRow], owner: str, brand: str, location_id: int) -> DictRow:
    """The place of that id; NotFoundError otherwise."""
    row = connection.execute(
        "SELECT * FROM location WHERE owner = %s AND brand = %s AND id = %s", [owner, brand, location_id]
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no place {location_id}; send the location first", code="location.unknown")
    return row


def list_kinds(connection: Connection[DictRow], owner: str, brand: str, codes: Sequence[str]) -> dict[str, str]:
    """The kind of each place there is, by code."""
    rows = connection.execute(
        "SELECT code, kind FROM location WHERE owner = %s AND brand = %s AND code = ANY (%s)",
        [owner, brand, list(codes)],
    )
    return {row["code"]: row["kind"] for row in rows}
