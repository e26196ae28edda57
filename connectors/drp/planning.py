"""What the simulated DRP does: keeps stores, warehouses and store stock, books till sales, moves goods by transfers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from connectors.drp.database import DrpDatabase, first
from connectors.kit import odbc
from connectors.kit.faults import Fault, Faults

if TYPE_CHECKING:
    from connectors.kit.odbc import Connection

SELLABLE: Final = "01"
PIECE: Final = "件"
APPROVED, SHIPPED, RECEIVED, CANCELLED = "20", "30", "50", "90"
NOT_YET: Final = "0000-00-00 00:00:00"

# What may be given of each table, and what names a row.
STORE: Final = ("STORE_CODE", "STORE_NAME", "AREA_CODE", "LNG", "LAT", "TRADE_AREA", "SHIP_FLAG", "STATUS")
WAREHOUSE: Final = ("WH_CODE", "WH_NAME", "AREA_CODE", "LNG", "LAT", "DAY_CAPACITY", "STATUS")
STOCK: Final = ("STORE_CODE", "SKU_CODE", "STOCK_TYPE", "QTY", "UNIT")
LINE: Final = ("LINE_NO", "SKU_CODE", "UNIT", "QTY", "SHIP_QTY", "RECV_QTY")
TIME: Final = "MODIFY_TIME"

_BAD_ROWS: Final = ({"QTY": "-1.000"}, {"UNIT": "托"}, {"QTY": "十二"}, {"STOCK_TYPE": "77"})


class RefusedError(Exception):
    """The DRP says no: an HTTP status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Planning:
    """All books of one DRP. Quantities are text with three decimals, times are the zone's wall clock in seconds."""

    def __init__(self, database: DrpDatabase, zone: ZoneInfo, faults: Faults) -> None:
        self._database = database
        self._zone = zone
        self._faults = faults
        self._random: Random = faults.random

    def seed(self, given: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
        """Set ``stores``, ``warehouses`` and ``stock`` rows, in the tables' own column names; how many of each.

        A row that is there is changed. MODIFY_TIME is now, unless it is given.
        """
        if unknown := given.keys() - {"stores", "warehouses", "stock"}:
            raise RefusedError(422, f"没有 {min(unknown)}")
        with self._database.transaction() as db:
            for row in given.get("stores", ()):
                self._set(db, "T_STORE", {"STATUS": "1", **_columns(row, STORE)}, key=STORE[:1])
            for row in given.get("warehouses", ()):
                self._set(db, "T_WAREHOUSE", {"STATUS": "1", **_columns(row, WAREHOUSE)}, key=WAREHOUSE[:1])
            for row in given.get("stock", ()):
                values = {"STOCK_TYPE": SELLABLE, "UNIT": PIECE, **_columns(row, STOCK)}
                self._set(db, "T_STORE_STOCK", {**values, "QTY": _quantity(values["QTY"])}, key=STOCK[:3])
        return {what: len(rows) for what, rows in given.items()}

    def sell(self, bills: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Till bills lower store stock: ``billNo, storeCode, lines [{skuCode, qty}]``; a negative qty came back.

        A bill that was booked before changes nothing. RefusedError 422 for goods that the store never had.
        """
        booked = 0
        with self._database.transaction() as db:
            for bill in bills:
                if first(db, "SELECT BILL_NO FROM T_POS_BILL WHERE BILL_NO = ?", bill["billNo"]):
                    continue
                odbc.execute(db, "INSERT INTO T_POS_BILL VALUES (?, ?)", (bill["billNo"], self._now()))
                for line in bill["lines"]:
                    self._move(db, bill["storeCode"], line["skuCode"], -Decimal(line["qty"]))
                booked += 1
        return {"booked": booked, "known": len(bills) - booked}

    def plan(self, transfers: Sequence[Mapping[str, Any]]) -> list[str]:
        """Write transfers ``FROM_CODE, TO_CODE, LINES [{SKU_CODE, QTY, UNIT}]`` (approved unless STATUS says else);
        their bill numbers."""
        with self._database.transaction() as db:
            return [self._plan(db, wish) for wish in transfers]

    def advance(self, bill: str, status: str) -> dict[str, Any]:
        """Ship (30), receive (50) or cancel (90) a whole transfer; stores' stock moves with it. The same twice is once.

        RefusedError 404 or 409.
        """
        with self._database.transaction() as db:
            head = first(db, "SELECT * FROM T_TRANSFER WHERE BILL_NO = ?", bill)
            if head is None:
                raise RefusedError(404, f"调拨单 {bill} 不存在")
            came_from = {SHIPPED: APPROVED, RECEIVED: SHIPPED, CANCELLED: APPROVED}
            if head["STATUS"] != status:
                if head["STATUS"] != came_from.get(status):
                    raise RefusedError(409, f"调拨单 {bill} 状态为 {head['STATUS']}")
                self._advance(db, head, status)
        return {"BILL_NO": bill, "STATUS": status}

    def _plan(self, db: "Connection", wish: Mapping[str, Any]) -> str:
        now = self._now()
        bill = wish.get("BILL_NO")
        if not bill:
            count = first(db, "SELECT count(*) AS N FROM T_TRANSFER")
            bill = f"DB{now:%Y%m%d}-{(count or {'N': 0})['N'] + 1:05d}"
        head = {
            "BILL_NO": bill,
            "FROM_CODE": wish["FROM_CODE"],
            "TO_CODE": wish["TO_CODE"],
            "STATUS": wish.get("STATUS", APPROVED),
            "SHIP_TIME": wish.get("SHIP_TIME", NOT_YET),
            "RECV_TIME": wish.get("RECV_TIME", NOT_YET),
            "REMARK": wish.get("REMARK"),
            TIME: wish.get(TIME),
        }
        self._set(db, "T_TRANSFER", head, key=("BILL_NO",))
        row = first(db, "SELECT TRANSFER_ID FROM T_TRANSFER WHERE BILL_NO = ?", bill)
        assert row is not None
        odbc.execute(db, "DELETE FROM T_TRANSFER_DTL WHERE TRANSFER_ID = ?", [row["TRANSFER_ID"]])
        for number, line in enumerate(wish["LINES"], start=1):
            values = {"LINE_NO": number, "UNIT": PIECE, **_columns(line, LINE)}
            _insert(
                db, "T_TRANSFER_DTL", {**values, "TRANSFER_ID": row["TRANSFER_ID"], "QTY": _quantity(values["QTY"])}
            )
        return str(bill)

    def _advance(self, db: "Connection", head: Mapping[str, Any], status: str) -> None:
        now = self._now()
        changes: dict[str, Any] = {"STATUS": status}
        lines = odbc.plain_rows(db, "SELECT * FROM T_TRANSFER_DTL WHERE TRANSFER_ID = ?", [head["TRANSFER_ID"]])
        if status in (SHIPPED, RECEIVED):
            source, target, clock, place, sign = (
                ("QTY", "SHIP_QTY", "SHIP_TIME", "FROM_CODE", -1)
                if status == SHIPPED
                else ("SHIP_QTY", "RECV_QTY", "RECV_TIME", "TO_CODE", 1)
            )
            changes[clock] = str(now)
            odbc.execute(
                db,
                f"UPDATE T_TRANSFER_DTL SET {target} = {source} WHERE TRANSFER_ID = ?",  # noqa: S608 - our names
                [head["TRANSFER_ID"]],
            )
            if first(db, "SELECT STORE_CODE FROM T_STORE WHERE STORE_CODE = ?", head[place]):
                for line in lines:
                    self._move(db, head[place], line["SKU_CODE"], sign * Decimal(line[source] or "0"), open_shelf=True)
        self._set(db, "T_TRANSFER", {"BILL_NO": head["BILL_NO"], **changes}, key=("BILL_NO",))

    def _move(self, db: "Connection", store: str, sku: str, change: Decimal, *, open_shelf: bool = False) -> None:
        shelf = {"STORE_CODE": store, "SKU_CODE": sku, "STOCK_TYPE": SELLABLE}
        row = first(
            db,
            "SELECT QTY FROM T_STORE_STOCK WHERE STORE_CODE = ? AND SKU_CODE = ? AND STOCK_TYPE = ?",
            *shelf.values(),
        )
        if row is None and not open_shelf:
            raise RefusedError(422, f"门店 {store} 没有商品 {sku}")
        quantity = Decimal(row["QTY"] if row else "0") + change
        unit = {} if row else {"UNIT": PIECE}
        self._set(db, "T_STORE_STOCK", {**shelf, **unit, "QTY": _quantity(quantity)}, key=STOCK[:3])

    def _set(self, db: "Connection", table: str, values: Mapping[str, Any], key: Sequence[str]) -> None:
        """Change the row that ``key`` names, or insert it; sometimes a malformed one, if that fault is on."""
        row = {**values, TIME: values.get(TIME) or self._now()}
        if table == "T_STORE_STOCK" and self._faults.strikes(Fault.MALFORMED):
            row |= self._random.choice(_BAD_ROWS)
        changed = [name for name in row if name not in key]
        named = " AND ".join(f"{name} = ?" for name in key)
        done = odbc.execute(
            db,
            f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in changed)} WHERE {named}",  # noqa: S608
            [row[name] for name in (*changed, *key)],
        )
        if done.rowcount == 0:
            _insert(db, table, row)

    def _now(self) -> datetime:
        return datetime.now(self._zone).replace(microsecond=0, tzinfo=None)


def _insert(db: "Connection", table: str, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    odbc.execute(db, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608


def _columns(row: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    if unknown := row.keys() - {*known, TIME}:
        raise RefusedError(422, f"没有字段 {min(unknown)}")
    return dict(row)


def _quantity(value: Any) -> str:
    """Numbers as the DRP writes them, "37.000"; text stays as it is given, so that a test may write nonsense."""
    return value if isinstance(value, str) else f"{Decimal(value):.3f}"
