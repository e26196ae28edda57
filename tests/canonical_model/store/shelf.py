"""A small shelf for stock tests: SKUs and places of one brand, and short words for what happens to them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.ports import StockMeaning
from canonical_model.store import locations, products, stock

OWNER: Final = "yunshang"
NOON: Final = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """ISO time of that many seconds after noon."""
    return (NOON + timedelta(seconds=seconds)).isoformat()


class _Authority:
    def __init__(self, system: str) -> None:
        self.system = system
        self.fulfilled_by = "wms"


class Shelf:
    """``skus`` at ``places`` whose stock figures ``authority`` gives; other systems know both by the same codes."""

    def __init__(
        self,
        connection: Connection[DictRow],
        *,
        brand: str = "yunshang",
        skus: Iterable[str] = ("A", "B", "C"),
        places: Iterable[str] = ("W1", "W2"),
        authority: str = "wms",
        meaning: StockMeaning | None = None,
    ) -> None:
        self.connection = connection
        self.brand = brand
        self.whose = {"owner": OWNER, "brand": brand}
        self.meaning = meaning or StockMeaning()
        self.messages = 0
        products.upsert_products(connection, [self.product(code) for code in skus])
        locations.upsert_locations(
            connection, [self.place(code) for code in places], lambda _kind, _code: _Authority(authority)
        )

    def _sourced(self, code: str) -> dict[str, Any]:
        source = {"system": "erp", "id": f"erp-{code}", "occurred_at": at(-1000), "message_id": "master"}
        names = [{"scheme": system, "value": code} for system in ("wms", "pos")]
        return {**self.whose, "source": source, "identifiers": names, "code": code}

    def product(self, code: str) -> dict[str, Any]:
        return {**self._sourced(code), "spu": code[0], "name": code}

    def place(self, code: str) -> dict[str, Any]:
        return {**self._sourced(code), "name": code, "kind": "warehouse", "services": ["ship"]}

    def apply(
        self,
        *facts: Mapping[str, Any],
        system: str = "wms",
        message: str | None = None,
        meaning: StockMeaning | None = None,
    ) -> stock.FactsApplied:
        """Bring ``facts`` as one message of ``system``."""
        self.messages += 1
        return stock.apply_facts(
            self.connection,
            facts,
            **self.whose,
            system=system,
            message_id=message or f"m-{self.messages}",
            sku_scheme=system,
            location_scheme=system,
            meaning=meaning or self.meaning,
        )

    def level(self, sku: str = "A", place: str = "W1", quality: str = "sellable") -> stock.StockView:
        [view] = stock.stock_view(
            self.connection, owner=OWNER, brand=self.brand, skus=[sku], locations=[place], quality=quality
        )
        return view

    def hold(
        self, reference: str, *lines: tuple[int, int], order_id: int = 1, **options: Any
    ) -> stock.Held | stock.Short | stock.Full:
        """Hold (level id, quantity) lines, numbered from 1."""
        numbered = [stock.HoldLine(number, *line) for number, line in enumerate(lines, 1)]
        return stock.hold(
            self.connection,
            owner=OWNER,
            brand=self.brand,
            order_id=order_id,
            reference=reference,
            lines=numbered,
            **options,
        )

    def accept(self, reference: str, **options: Any) -> stock.Ended:
        return stock.accept(self.connection, owner=OWNER, brand=self.brand, reference=reference, **options)

    def ship(
        self, reference: str, shipped: int, lacking: int = 0, *, seconds: float = 0, sequence: int | None = None
    ) -> stock.Ended:
        """Line 1 of the parcel left."""
        return stock.ship(
            self.connection,
            **self.whose,
            reference=reference,
            shipped_at=at(seconds),
            sequence=sequence,
            lines=[stock.ShippedLine(1, shipped, lacking)],
        )

    def release(self, reference: str) -> stock.Ended:
        return stock.release(self.connection, **self.whose, reference=reference, reason="test")

    def movements(self, level_id: int) -> list[tuple[int, int]]:
        """(delta, on hand after it), oldest first."""
        rows = self.connection.execute(
            "SELECT delta, on_hand FROM stock_movement WHERE level_id = %s ORDER BY id", [level_id]
        )
        return [(row["delta"], row["on_hand"]) for row in rows]


def _fact(kind: str, quantity: int, seconds: float, sku: str, place: str, more: dict[str, Any]) -> dict[str, Any]:
    source_id = more.pop("source_id", f"{kind}-{sku}-{place}-{seconds}-{quantity}")
    return {
        "source": {"system": "wms", "id": source_id, "occurred_at": at(seconds), "message_id": "m"},
        "sku": sku,
        "location": place,
        "kind": kind,
        "quantity": quantity,
        "quality": "sellable",
        "as_of": at(seconds),
        **more,
    }


def snapshot(quantity: int, seconds: float = 0, sku: str = "A", place: str = "W1", **more: Any) -> dict[str, Any]:
    """The authority counted ``quantity`` that many seconds after noon."""
    return _fact("snapshot", quantity, seconds, sku, place, more)


def delta(quantity: int, seconds: float = 0, sku: str = "A", place: str = "W1", **more: Any) -> dict[str, Any]:
    """``quantity`` came (or, negative, went) that many seconds after noon."""
    return _fact("delta", quantity, seconds, sku, place, more)
