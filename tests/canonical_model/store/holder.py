"""A process that holds, ships, releases and recounts the last units of a few SKUs until it is killed."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection, connect
from psycopg.errors import DeadlockDetected
from psycopg.rows import DictRow, dict_row

from canonical_model.ports import StockMeaning
from canonical_model.store import stock

OWNER = "yunshang"
BRAND = "yunshang"


def _hold(connection: Connection[DictRow], dice: random.Random, levels: list[int]) -> None:
    order_id = dice.randrange(10**9)
    lines = [
        stock.HoldLine(number, level_id, dice.randint(1, 2))
        for number, level_id in enumerate(dice.sample(levels, dice.randint(1, 3)), 1)
    ]
    stock.hold(
        connection,
        owner=OWNER,
        brand=BRAND,
        order_id=order_id,
        reference=f"P{order_id}",
        lines=lines,
        expires_at=dice.choice([None, datetime.now(UTC) + timedelta(milliseconds=50)]),
    )


def _hold_many(connection: Connection[DictRow], dice: random.Random, levels: list[int]) -> None:
    """Several at once, some with two parcels, some in the stead of what is held."""
    known = [
        row["reference"]
        for row in connection.execute(
            "SELECT reference FROM stock_hold WHERE state = 'active' AND accepted_at IS NULL ORDER BY id DESC LIMIT 20"
        )
    ]
    asked = []
    for _ in range(dice.randint(1, 6)):
        order_id = dice.randrange(10**9)
        parcels = {
            f"P{order_id}-{parcel}": [
                stock.HoldLine(number, level_id, dice.randint(1, 2))
                for number, level_id in enumerate(dice.sample(levels, dice.randint(1, 3)), 1)
            ]
            for parcel in range(dice.choice([1, 1, 2]))
        }
        replaces = tuple(dice.sample(known, 1)) if known and dice.random() < 0.3 else ()
        day = datetime.now(UTC).date() + timedelta(days=dice.randrange(30))
        asked.append(stock.HoldAsked(OWNER, BRAND, order_id, parcels, replaces=replaces, day=day))
    stock.hold_many(connection, asked)


def _end(connection: Connection[DictRow], dice: random.Random) -> None:
    live = connection.execute(
        "SELECT * FROM stock_hold WHERE state = 'active' ORDER BY id OFFSET %s LIMIT 1", [dice.randrange(20)]
    ).fetchone()
    if live is None:
        return
    whose: dict[str, Any] = {"owner": OWNER, "brand": BRAND, "reference": live["reference"]}
    match dice.randrange(4):
        case 0:
            stock.release(connection, reason="test", **whose)
        case 1:
            stock.accept(connection, **whose)
        case 2:
            stock.expire_due(connection, datetime.now(UTC))
        case _:
            # Goods leave between two counts, never while the authority counts their level.
            connection.execute("SELECT lock_stock_reference(%(owner)s, %(brand)s, %(reference)s)", whose)
            still = connection.execute("SELECT state FROM stock_hold WHERE id = %s", [live["id"]]).fetchone()
            if still is None or still["state"] != "active":
                return  # given back meanwhile, and perhaps promised to another
            line = stock.ShippedLine(live["line_no"], live["quantity"])
            stock.ship(connection, shipped_at=datetime.now(UTC), lines=[line], **whose)


def _recount(connection: Connection[DictRow], dice: random.Random, levels: list[int], *, loses: bool) -> None:
    """New goods arrive at some levels, and the authority counts them: all that ever came less what shipped.

    With ``loses`` some goods cannot be found this time.
    """
    chosen = dice.sample(levels, 8)
    connection.execute("SELECT lock_stock_levels(%s)", [chosen])
    rows = connection.execute(
        """
        UPDATE delivered SET units = units + 1 FROM stock_level AS level JOIN sku ON sku.id = level.sku_id
        WHERE level.id = delivered.level_id AND level.id = ANY (%s)
        RETURNING sku.code, delivered.units - coalesce((
            SELECT sum(shipped) FROM stock_hold WHERE level_id = level.id AND state = 'shipped'), 0) AS there
        """,
        [chosen],
    ).fetchall()
    now = datetime.now(UTC).isoformat()
    facts = [
        {
            "source": {"id": row["code"]},
            "sku": row["code"],
            "location": "W1",
            "kind": "snapshot",
            "quantity": max(0, int(row["there"]) - (dice.randint(0, 2) if loses else 0)),
            "as_of": now,
        }
        for row in rows
    ]
    dice.shuffle(facts)
    stock.apply_facts(
        connection,
        facts,
        owner=OWNER,
        brand=BRAND,
        system="wms",
        message_id=f"m-{dice.randrange(10**9)}",
        sku_scheme="wms",
        location_scheme="wms",
        meaning=StockMeaning(clock_skew_s=0.0),
    )


def work(url: str, seed: int, *, loses: bool) -> None:
    """Do random things in transactions of one to three, pausing inside some, for ever."""
    dice = random.Random(seed)
    with connect(url, row_factory=dict_row, options="-c deadlock_timeout=20ms") as connection:
        levels = [row["id"] for row in connection.execute("SELECT id FROM stock_level ORDER BY id")]
        connection.commit()
        while True:
            try:
                if dice.random() < 0.1:
                    _recount(connection, dice, levels, loses=loses)
                else:
                    for _ in range(dice.choice([1, 1, 1, 3])):
                        luck = dice.random()
                        if luck < 0.25:
                            _hold(connection, dice, levels)
                        elif luck < 0.5:
                            _hold_many(connection, dice, levels)
                        else:
                            _end(connection, dice)
                time.sleep(dice.choice([0, 0, 0, 0.005]))
                connection.commit()
            except DeadlockDetected:
                connection.rollback()
