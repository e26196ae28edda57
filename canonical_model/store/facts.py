"""Stock facts become levels: what a message of one system says, applied as one set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from psycopg import Connection, Cursor
from psycopg.rows import DictRow

from canonical_model.ports import StockMeaning
from canonical_model.store.shortfalls import Shortfall, list_shortfalls

_STAGE: Final = """
    CREATE TEMPORARY TABLE IF NOT EXISTS stock_fact (
        position integer, sku text, location text, quality text COLLATE "C", quantity bigint, as_of timestamptz,
        sequence bigint, kind text DEFAULT 'snapshot', source_id text, reason text, batch text COLLATE "C",
        produced_on date, expires_on date, order_refs text[], summed boolean DEFAULT false
    ) ON COMMIT DELETE ROWS;
    DELETE FROM stock_fact;
"""

_COPY_PLAIN: Final = """
    COPY stock_fact (position, sku, location, quality, quantity, as_of, sequence) FROM STDIN WITH (NULL '')
"""
_COPY: Final = """
    COPY stock_fact (
        position, sku, location, quality, quantity, as_of, sequence, kind, source_id, reason, batch, produced_on,
        expires_on, order_refs) FROM STDIN
"""

_APPLY: Final = """
    SELECT applied, observed, unresolved, shortfalls FROM apply_stock_facts(
        %(owner)s, %(brand)s, %(system)s, %(message)s, %(sku_scheme)s, %(location_scheme)s,
        %(figure)s, %(proof)s, make_interval(secs => %(skew_s)s), %(total)s, %(lots)s, %(deltas)s, %(names)s)
"""

_IGNORED: Final = """
    SELECT ignored_stock_facts AS position FROM ignored_stock_facts(
        %(owner)s, %(brand)s, %(system)s, %(message)s, %(sku_scheme)s, %(location_scheme)s)
"""

_UNRESOLVED: Final = """
    SELECT position, missing.kind, missing.scheme, missing.outside_id
    FROM resolved_stock_facts(%(owner)s, %(brand)s, %(system)s, %(sku_scheme)s, %(location_scheme)s) AS fact
    CROSS JOIN LATERAL (VALUES
        ('sku', %(sku_scheme)s, sku, sku_id), ('location', %(location_scheme)s, location, location_id)
    ) AS missing (kind, scheme, outside_id, inner_id)
    WHERE missing.inner_id IS NULL ORDER BY position, missing.kind DESC
"""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The fact at ``position`` names a SKU or place that the crosswalk does not know; it changed nothing.

    A fact that names two unknowns appears twice.
    """

    position: int
    kind: Literal["sku", "location"]
    scheme: str
    outside_id: str


@dataclass(frozen=True, slots=True)
class FactsApplied:
    """``applied`` facts moved or confirmed a level, ``observed`` ones were kept for comparison.

    ``ignored``: positions of facts that were older than what is known, or overtaken in the same message.
    ``shortfalls`` are those open now on the levels of this message.
    """

    applied: int
    observed: int
    ignored: list[int] = field(default_factory=list)
    unresolved: list[Unresolved] = field(default_factory=list)
    shortfalls: list[Shortfall] = field(default_factory=list)


def apply_facts(
    connection: Connection[DictRow],
    facts: Sequence[Mapping[str, Any]],
    *,
    owner: str,
    brand: str,
    system: str,
    message_id: str,
    sku_scheme: str,
    location_scheme: str,
    meaning: StockMeaning,
) -> FactsApplied:
    """Apply canonical StockFacts (JSON) of one message of ``system``.

    Facts of places that ``system`` is the authority of move levels; the others become observations.
    A few statements whatever the number of facts; facts of one system about one place go one transaction after another.
    """
    said = {
        "owner": owner,
        "brand": brand,
        "system": system,
        "message": message_id,
        "sku_scheme": sku_scheme,
        "location_scheme": location_scheme,
        "figure": meaning.figure,
        "proof": meaning.proof,
        "skew_s": meaning.clock_skew_s,
        "total": len(facts),
        "lots": any(fact.get("batch") for fact in facts),
        "deltas": any(fact["kind"] == "delta" for fact in facts),
        "names": any(fact.get("order_refs") for fact in facts),
    }
    with connection.cursor() as cursor:
        _stage(cursor, facts, plain=not (said["lots"] or said["deltas"] or said["names"]))
        done = cursor.execute(_APPLY, said).fetchone()
        assert done is not None
        missing = cursor.execute(_UNRESOLVED, said).fetchall() if done["unresolved"] else []
        quiet = len(facts) - done["applied"] - done["observed"] - done["unresolved"]
        ignored = [row["position"] for row in cursor.execute(_IGNORED, said)] if quiet else []
    return FactsApplied(
        applied=len(facts) - done["observed"] - done["unresolved"] - len(ignored),
        observed=done["observed"],
        ignored=ignored,
        unresolved=[Unresolved(**row) for row in missing],
        shortfalls=list_shortfalls(connection, done["shortfalls"]) if done["shortfalls"] else [],
    )


def _stage(cursor: Cursor[DictRow], facts: Sequence[Mapping[str, Any]], *, plain: bool) -> None:
    cursor.execute(_STAGE)
    block = _block(facts) if plain else None
    if block is not None:
        with cursor.copy(_COPY_PLAIN) as copy:
            copy.write(block)
        return
    with cursor.copy(_COPY) as copy:
        for position, fact in enumerate(facts):
            copy.write_row((position, *_details(fact)))


def _block(facts: Sequence[Mapping[str, Any]]) -> str | None:
    """Plain facts as one text for COPY, a third cheaper than row by row; None if a value would need escapes there."""
    block = "".join(
        [
            f"{position}\t{fact['sku']}\t{fact['location']}\t{fact.get('quality', 'sellable')}\t{fact['quantity']}"
            f"\t{fact['as_of']}\t{'' if fact.get('sequence') is None else fact['sequence']}\n"
            for position, fact in enumerate(facts)
        ]
    )
    if block.count("\n") != len(facts) or block.count("\t") != 6 * len(facts) or "\\" in block or "\r" in block:
        return None
    return block


def _details(fact: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        fact["sku"],
        fact["location"],
        fact.get("quality", "sellable"),
        fact["quantity"],
        fact["as_of"],
        fact.get("sequence"),
        fact["kind"],
        fact["source"]["id"],
        fact.get("reason"),
        fact.get("batch"),
        fact.get("produced_on"),
        fact.get("expires_on"),
        list(fact.get("order_refs") or ()),
    )
