"""The crosswalk: outside names of our rows, unique per (owner, brand, scheme, kind, outside id)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError
from canonical_model.product import GTIN_SCHEMES

Kind = Literal["sku", "location", "member"]

HUB: Final = "hub"
GTIN: Final = "gtin"


@dataclass(frozen=True, slots=True)
class CrosswalkEntry:
    """``outside_id`` of ``scheme`` names our row ``inner_id`` of ``kind``."""

    owner: str
    brand: str
    kind: Kind
    scheme: str
    outside_id: str
    inner_id: int
    message_id: str


def scheme_of(identifier_scheme: str) -> str:
    """The crosswalk scheme of a product identifier: EAN and UPC are GTINs."""
    return GTIN if identifier_scheme in GTIN_SCHEMES else identifier_scheme


def resolve(
    connection: Connection[DictRow], *, owner: str, brand: str, kind: str, scheme: str, outside_ids: Sequence[str]
) -> dict[str, int]:
    """Our ids by outside id; unknown ones are absent."""
    rows = connection.execute(
        "SELECT outside_id, inner_id FROM crosswalk"
        " WHERE owner = %s AND brand = %s AND scheme = %s AND kind = %s AND outside_id = ANY(%s)",
        (owner, brand, scheme, kind, list(outside_ids)),
    )
    return {row["outside_id"]: row["inner_id"] for row in rows}


def outside_ids(
    connection: Connection[DictRow], *, owner: str, brand: str, kind: str, scheme: str, inner_ids: Sequence[int]
) -> dict[int, str]:
    """The outside id of each of our ids; the first one linked where a row has several. Unnamed ones are absent."""
    rows = connection.execute(
        "SELECT DISTINCT ON (inner_id) inner_id, outside_id FROM crosswalk"
        " WHERE owner = %s AND brand = %s AND scheme = %s AND kind = %s AND inner_id = ANY(%s)"
        " ORDER BY inner_id, recorded_at, outside_id",
        (owner, brand, scheme, kind, list(inner_ids)),
    )
    return {row["inner_id"]: row["outside_id"] for row in rows}


def link(connection: Connection[DictRow], entries: Sequence[CrosswalkEntry]) -> list[CrosswalkEntry]:
    """Link every entry; those that are new. Linking the same again changes nothing.

    Raises ConflictError when an outside id already names another of our rows.
    """
    wanted = {(e.owner, e.brand, e.kind, e.scheme, e.outside_id): e for e in entries}
    ordered = [wanted[key] for key in sorted(wanted)]
    if not ordered:
        return []
    columns = [list(column) for column in zip(*map(_row, ordered), strict=True)]
    made = connection.execute(
        "INSERT INTO crosswalk (owner, brand, kind, scheme, outside_id, inner_id, message_id)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])"
        " ON CONFLICT DO NOTHING RETURNING owner, brand, kind, scheme, outside_id",
        columns,
    ).fetchall()
    clash = connection.execute(
        "SELECT known.* FROM crosswalk AS known"
        " JOIN unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])"
        " AS wanted (owner, brand, kind, scheme, outside_id, inner_id)"
        " USING (owner, brand, scheme, kind, outside_id) WHERE known.inner_id <> wanted.inner_id LIMIT 1",
        columns[:6],
    ).fetchone()
    if clash is not None:
        raise ConflictError(
            f"{clash['scheme']} {clash['kind']} {clash['outside_id']!r} already names another {clash['kind']}; "
            "correct one of the two at the source",
            code="crosswalk.taken",
            scheme=clash["scheme"],
            kind=clash["kind"],
            outside_id=clash["outside_id"],
        )
    new = {(row["owner"], row["brand"], row["kind"], row["scheme"], row["outside_id"]) for row in made}
    return [entry for entry in ordered if (entry.owner, entry.brand, entry.kind, entry.scheme, entry.outside_id) in new]


def _row(entry: CrosswalkEntry) -> tuple[str, str, str, str, str, int, str]:
    return (entry.owner, entry.brand, entry.kind, entry.scheme, entry.outside_id, entry.inner_id, entry.message_id)
