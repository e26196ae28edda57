"""A small pool for tests of what desks see: three warehouses, two SKUs, orders routed by the live code."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.store import stock
from canonical_model.store.stock import HoldLine
from flows.runtime.bootstrap import Hub
from hub_api.auth import Access
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import order, place, product

TEE: Final = "TEE-RED-M"
CAP: Final = "CAP-1"
PLACES: Final = {
    "W-SH": ("上海总仓", 31.23, 121.47),
    "W-WH": ("武汉华中仓", 30.59, 114.3),
    "W-GZ": ("广州华南仓", 23.13, 113.26),
}
STOCK: Final = {("W-SH", TEE): 2, ("W-WH", TEE): 9, ("W-GZ", TEE): 5, ("W-GZ", CAP): 4}
DESK: Final = Access("desk", "desk", OWNER, BRAND, frozenset({"*"}), "user")


class Pool:
    """The pool of the hub's brand."""

    def __init__(self, hub: Hub, client: Client) -> None:
        self.hub = hub
        self.http = client("*", "channel:shop")
        goods = [
            product(TEE, identifiers=[{"scheme": "gtin", "value": "6901234567892"}]),
            product(CAP, spu="CAP", name="遮阳帽 100%_棉"),
        ]
        places = [
            place(code, name=name, kind="warehouse", point={"lat": lat, "lon": lon}, services=["ship"])
            for code, (name, lat, lon) in PLACES.items()
        ]
        for stream, records in (("products", goods), ("locations", places)):
            answer = self.http.post(f"/v1/ingest/hub/{stream}?wait=true", json=records).json()
            assert answer["accepted"] == len(records), answer
        self.levels = {key: self._level(*key, units) for key, units in STOCK.items()}

    def _level(self, location: str, sku: str, units: int) -> int:
        (row,) = self.hub.database.run(
            "INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, system, message_id, as_of)"
            " SELECT s.owner, s.brand, s.id, l.id, 'sellable', %s, 'wms', 'm', now() FROM sku s, location l"
            " WHERE s.code = %s AND l.code = %s RETURNING id",
            (units, sku, location),
        )
        self.hub.database.run(
            "INSERT INTO stock_movement (level_id, owner, brand, delta, on_hand, reason, system, message_id,"
            " occurred_at) VALUES (%s, %s, %s, %s, %s, 'snapshot', 'wms', 'm', %s)",
            (row["id"], OWNER, BRAND, units, units, datetime(2026, 3, 1, tzinfo=UTC)),
        )
        return int(row["id"])

    def buy(self, order_no: str, sku: str = TEE, quantity: int = 1, **changes: Any) -> int:
        """An order, routed; its id."""
        line = {"quantity": quantity, "amount_minor": 9900 * quantity}
        body = order(order_no, sku=sku, line=line, **changes)
        answer = self.http.post("/v1/orders?wait=true", json=body, headers={"Idempotency-Key": order_no})
        assert answer.status_code == 200, answer.text
        self.hub.runner.drain()
        (row,) = self.hub.database.run("SELECT id FROM sales_order WHERE order_no = %s", (order_no,))
        return int(row["id"])

    def keep(self, reference: str, *lines: tuple[str, str, int]) -> None:
        """What a checkout holds: (place, SKU, units)."""
        asked: Sequence[HoldLine] = [
            HoldLine(number, self.levels[location, sku], units)
            for number, (location, sku, units) in enumerate(lines, 1)
        ]
        with self.hub.database.unit() as uow:
            wanted = stock.HoldAsked(
                OWNER, BRAND, None, {reference: asked}, expires_at=datetime(2099, 1, 1, tzinfo=UTC)
            )
            (held,) = stock.hold_many(uow.connection, [wanted])
            assert isinstance(held, stock.Held)
            uow.commit()
