"""A brand of its own with places, stock and orders, for tests of planning: straight into the tables, no messages."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from canonical_model.store import stock
from flows.one_stock.decisions import Ask, Planned, plan_orders
from flows.one_stock.reservation import give_back
from flows.one_stock.routing.record import Record, unpack
from flows.one_stock.rulebooks import publish_rulebook
from flows.runtime.database import Database, UnitOfWork

OWNER: Final = "yunshang"
NOW: Final = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)  # a Monday, noon in China
RULES: Final = 'parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 4\non_short = "partial"\n'

_numbers = itertools.count(1)


class Town:
    """Places W0, W1 …, a degree apart from west to east, and SKUs S0, S1 …; buyers live where W0 is."""

    def __init__(self, database: Database, places: int, skus: int, rules: str | None = RULES) -> None:
        self.database = database
        self.brand = f"town-{next(_numbers)}"
        self.places = [self._place(n) for n in range(places)]
        self.skus = [self._sku(n) for n in range(skus)]
        if rules is not None:
            self.publish(rules)

    def publish(self, rules: str) -> None:
        with self.database.unit() as uow:
            publish_rulebook(uow, OWNER, self.brand, rules, "test", "test")
            uow.commit()

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self.database.run(query, parameters)]

    def _one(self, query: str, *parameters: Any) -> int:
        return int(self.rows(query, *parameters)[0]["id"])

    def _place(self, n: int) -> int:
        return self._one(
            "INSERT INTO location (owner, brand, code, name, kind, lat, lon, services, authority, fulfilled_by, system,"
            " source_id, message_id, occurred_at) VALUES (%s, %s, %s, %s, 'warehouse', 30, %s, '{ship}', 'wms', 'wms',"
            " 'wms', 'x', 'm', %s) RETURNING id",
            OWNER, self.brand, f"W{n}", f"Place {n}", 110.0 + n, NOW,
        )  # fmt: skip

    def _sku(self, n: int) -> int:
        return self._one(
            "INSERT INTO sku (owner, brand, code, spu, name, status, system, source_id, message_id, occurred_at)"
            " VALUES (%s, %s, %s, 'spu', 'name', 'active', 'erp', 'x', 'm', %s) RETURNING id",
            OWNER, self.brand, f"S{n}", NOW,
        )  # fmt: skip

    def change_place(self, place: int, **columns: Any) -> None:
        for name, value in columns.items():
            if name == "body":
                self.rows("UPDATE location SET body = %s WHERE id = %s RETURNING id", Jsonb(value), self.places[place])
            else:
                self.rows(f"UPDATE location SET {name} = %s WHERE id = %s RETURNING id", value, self.places[place])

    def put(self, place: int, sku: int, units: int, safety: int = 0) -> int:
        """Units of a SKU at a place, as a counted figure; the level."""
        level = self._one(
            "INSERT INTO stock_level (owner, brand, sku_id, location_id, quality, on_hand, safety, system, message_id)"
            " VALUES (%s, %s, %s, %s, 'sellable', %s, %s, 'wms', 'm') RETURNING id",
            OWNER, self.brand, self.skus[sku], self.places[place], units, safety,
        )  # fmt: skip
        self.rows(
            "INSERT INTO stock_movement"
            " (level_id, owner, brand, delta, on_hand, reason, system, message_id, occurred_at)"
            " VALUES (%s, %s, %s, %s, %s, 'snapshot', 'wms', 'm', %s) RETURNING id",
            level, OWNER, self.brand, units, units, NOW,
        )  # fmt: skip
        return level

    def order(self, *lines: tuple[int, int], channel: str = "shop", lat: float | None = 30.0, **more: Any) -> int:
        """An order of (SKU, units) lines; ``bundle`` and ``group`` say of which line numbers they are."""
        order_id = self._one(
            "INSERT INTO sales_order (owner, brand, channel, order_no, kind, status, currency, total_minor, placed_at,"
            " lat, lon, body, system, source_id, message_id, occurred_at, created_at, member_code)"
            " VALUES (%s, %s, %s, %s, 'delivery', 'received', 'CNY', 0, %s, %s, %s, %s, 'shop', 'x', 'm', %s, %s, %s)"
            " RETURNING id",
            OWNER, self.brand, channel, f"N{next(_numbers)}", NOW, lat, None if lat is None else 110.0,
            Jsonb({"receiver": {"region_code": more.get("region")}}), NOW, NOW, more.get("member"),
        )  # fmt: skip
        for number, (sku, units) in enumerate(lines, 1):
            self.rows(
                "INSERT INTO sales_order_line (order_id, line_no, sku_id, sku_code, quantity, amount_minor,"
                " bundle_line_no, per_bundle, ship_group)"
                " VALUES (%s, %s, %s, %s, %s, 1000, %s, %s, %s) RETURNING order_id",
                order_id, number, self.skus[sku], f"S{sku}", units, more.get("bundle", {}).get(number),
                more.get("per_bundle", {}).get(number, 1), more.get("group", {}).get(number),
            )  # fmt: skip
        return order_id

    def plan(self, *order_ids: int, now: datetime = NOW, **options: Any) -> dict[int, Planned | None]:
        """Plan the orders as one batch and commit."""
        return self.ask(*(Ask(order_id, **options) for order_id in order_ids), now=now)

    def ask(self, *asks: Ask, now: datetime = NOW) -> dict[int, Planned | None]:
        with self.database.unit() as uow:
            planned = plan_orders(uow.connection, asks, now=now, member_schemes=("crm",))
            uow.commit()
        return planned

    def only(self, order_id: int, **options: Any) -> Planned:
        """The plan of one order."""
        planned = self.plan(order_id, **options)[order_id]
        assert planned is not None
        return planned

    def parcels(self, order_id: int) -> list[tuple[int, dict[int, int]]]:
        """The live parcels of an order: place, and units by line number."""
        rows = self.rows(
            "SELECT location_id, lines FROM parcel WHERE order_id = %s AND status = 'planned' ORDER BY id", order_id
        )
        return [
            (self.places.index(row["location_id"]), {each["line_no"]: each["quantity"] for each in row["lines"]})
            for row in rows
        ]

    def refuse(self, uow: UnitOfWork, parcel_no: str) -> int:
        """The place will not ship the parcel; the place's id."""
        give_back(uow.connection, OWNER, self.brand, parcel_no, reason="refused")
        row = uow.execute("SELECT location_id FROM parcel WHERE parcel_no = %s", (parcel_no,)).fetchone()
        assert row is not None
        return int(row["location_id"])

    def records(self, order_id: int) -> list[Record]:
        rows = self.rows("SELECT record FROM order_decision WHERE order_id = %s ORDER BY round", order_id)
        return [unpack(row["record"]) for row in rows]

    def oversold(self) -> list[dict[str, Any]]:
        """Levels that promise more than they have."""
        return self.rows(
            "SELECT * FROM stock_level WHERE brand = %s AND held > greatest(0, on_hand - safety)", self.brand
        )

    def wrong(self) -> Sequence[stock.Difference]:
        """Levels whose figures are not the fold of their movements and holds."""
        with self.database.unit() as uow:
            return stock.verify(uow.connection)

    def astray(self) -> list[dict[str, Any]]:
        """Lines of planned parcels that are not held as planned, at their place; and holds of no planned parcel."""
        return self.rows(
            "SELECT * FROM ("
            " SELECT parcel_no, location_id, (line ->> 'line_no')::int AS line_no,"
            " (line ->> 'sku_id')::bigint AS sku_id, (line ->> 'quantity')::bigint AS quantity"
            " FROM parcel CROSS JOIN jsonb_array_elements(lines) AS line"
            " WHERE brand = %(brand)s AND status = 'planned') AS planned"
            " FULL JOIN ("
            " SELECT hold.reference AS parcel_no, level.location_id, hold.line_no, level.sku_id, hold.quantity"
            " FROM stock_hold AS hold JOIN stock_level AS level ON level.id = hold.level_id"
            " WHERE hold.brand = %(brand)s AND hold.state = 'active') AS held"
            " USING (parcel_no, location_id, line_no, sku_id, quantity)"
            " WHERE planned IS NULL OR held IS NULL".replace("%(brand)s", f"'{self.brand}'")
        )
