"""Stock figures by OData V2, as SAP counts them now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from canonical_model.errors import LimitError, RejectedError
from canonical_model.ports import Manifest, Page, Reader, SystemConfig
from connectors.sap.client import MAX_PAGES, STOCK, Query, SapClient

READ_TIMEOUT_S: Final = 60.0
MAX_RECORDS: Final = 5_000
QUANTITY: Final = "MatlWrhsStkQtyInMatlBaseUnit"

# One figure of the hub for each of them: unrestricted, in transit, blocked. README.md says why no others.
_OWN_GOODS: Final = "InventorySpecialStockType eq ''"
_STOCK_TYPES: Final = " or ".join(f"InventoryStockType eq '{code}'" for code in ("01", "06", "07"))
_SHELF: Final = ("Material", "Plant", "StorageLocation", "InventoryStockType")
_QUERY: Final = {
    "$filter": f"{_OWN_GOODS} and ({_STOCK_TYPES})",
    "$orderby": ",".join((*_SHELF, "Batch")),
    "$select": ",".join((*_SHELF, "Batch", "MaterialBaseUnit", QUANTITY)),
}


def readers(config: SystemConfig, manifest: Manifest) -> dict[str, Reader]:
    """The pulled streams, by name."""
    return {"stock": StockReader(SapClient(config, timeout_s=READ_TIMEOUT_S))}


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a pull goes on: the query of its next page, and the shelf whose rows that page may continue."""

    query: Query
    open_shelf: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, cursor: str) -> "_Position":
        return cls(**orjson.loads(cursor))

    def cursor(self) -> str:
        return orjson.dumps({"query": self.query, "open_shelf": self.open_shelf}).decode()


class StockReader:
    """The whole list on every pull, one record a shelf.

    A record is SAP's row with the quantity summed over batches, and ``AsOf``: when we asked, in UTC, so never later
    than the count. The cursor only lives within a pull; one that SAP no longer knows starts the list again. What SAP
    sends in one piece comes in pages of MAX_RECORDS; a pull that stops between them reads the piece again.
    """

    def __init__(self, client: SapClient) -> None:
        self._client = client

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """Pages after ``cursor``; the last one's cursor is None. LimitError after MAX_PAGES."""
        position = _Position(_QUERY) if cursor is None else _Position.read(cursor)
        resumed = cursor is not None
        for _ in range(MAX_PAGES):
            as_of = datetime.now(UTC)
            try:
                rows, following = self._client.page(STOCK, position.query)
            except RejectedError:
                if not resumed:
                    raise
                position, resumed = _Position(_QUERY), False
                continue
            resumed = False
            shelves = _by_shelf(position.open_shelf, rows, as_of)
            open_shelf = shelves.pop() if following and shelves else None
            while len(shelves) > MAX_RECORDS:
                yield Page(shelves[:MAX_RECORDS], position.cursor())
                shelves = shelves[MAX_RECORDS:]
            position = _Position(following or {}, open_shelf)
            yield Page(shelves, position.cursor() if following else None)
            if following is None:
                return
        raise LimitError(f"SAP's stock list has more than {MAX_PAGES} pages; let it send larger ones", code="sap.pages")


def _by_shelf(
    open_shelf: Mapping[str, Any] | None, rows: list[dict[str, Any]], as_of: datetime
) -> list[Mapping[str, Any]]:
    """One record for each run of rows of the same shelf; the first may continue ``open_shelf``.

    Rows whose figure is no number stay apart, for the quarantine.
    """
    shelves: list[dict[str, Any]] = [dict(open_shelf)] if open_shelf else []
    for row in rows:
        same = shelves and all(shelves[-1].get(name) == row.get(name) for name in _SHELF)
        total = _sum(shelves[-1].get(QUANTITY), row.get(QUANTITY)) if same else None
        if total is not None:
            shelves[-1][QUANTITY] = total
        else:
            kept = {name: value for name, value in row.items() if name not in {"__metadata", "Batch"}}
            shelves.append({**kept, "AsOf": as_of.isoformat()})
    return list(shelves)


def _sum(one: Any, other: Any) -> str | None:
    try:
        return str(Decimal(one) + Decimal(other))
    except (InvalidOperation, TypeError, ValueError):
        return None
