"""A process whose threads keep, extend, give back and order the last units of a town until it is killed."""

import random
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from canonical_model.errors import HubError, TransientError
from canonical_model.store import checkouts as store
from canonical_model.store import stock
from canonical_model.store.checkouts import Checkout, Key
from canonical_model.store.stock import Held, HoldAsked, HoldLine
from flows.one_stock import checkouts
from flows.one_stock.checkouts import AskedLine, CheckoutAsked
from flows.one_stock.hold_desk import HoldDesk
from flows.runtime.database import Database, UnitOfWork

OWNER: Final = "yunshang"
SHOPPERS: Final = 4
NUMBERS: Final = 60


def work(url: str, seed: int, *, brand: str, skus: int) -> None:
    """Four shoppers at one desk, and one who sweeps, for ever."""
    database = Database(url, pool_size=SHOPPERS + 2).open()

    def decide(uow: UnitOfWork, asked: Sequence[CheckoutAsked]) -> Sequence[Checkout | HubError]:
        return checkouts.open_checkouts(uow, asked)

    desk: HoldDesk[CheckoutAsked, Checkout] = HoldDesk(database, decide)
    shoppers = [
        threading.Thread(target=_shop, args=(database, desk, random.Random(f"{seed}-{n}"), brand, skus), daemon=True)
        for n in range(SHOPPERS)
    ]
    for each in shoppers:
        each.start()
    for each in shoppers:
        each.join()


def _shop(database: Database, desk: HoldDesk[Any, Checkout], dice: random.Random, brand: str, skus: int) -> None:
    while True:
        key = (OWNER, brand, "shop", f"{dice.randrange(10**6) if dice.random() < 0.5 else dice.randrange(NUMBERS)}")
        try:
            match dice.randrange(6):
                case 0 | 1 | 2:
                    desk.ask(_asked(key, dice, skus))
                case 3:
                    _give_back_or_extend(database, _some_active(database, dice) or key, dice)
                case 4:
                    _order(database, _some_active(database, dice) or key, dice)
                case _:
                    with database.unit() as uow:
                        store.expire_due(uow.connection, datetime.now(UTC))
                        uow.commit()
        except TransientError:
            continue  # a deadlock, or contested: ask again
        except HubError:
            continue  # short, ended, unknown: an answer


def _asked(key: Key, dice: random.Random, skus: int) -> CheckoutAsked:
    own = random.Random(key[3])  # the same number asks the same question
    lines = tuple(AskedLine(n, f"S{sku}", own.randint(1, 2)) for n, sku in enumerate(own.sample(range(skus), 2), 1))
    return CheckoutAsked(*key, lines, "hub", dice.choice([1, 30]), 30.0, 110.0)


def _give_back_or_extend(database: Database, key: Key, dice: random.Random) -> None:
    with database.unit() as uow:
        if dice.random() < 0.5:
            checkouts.release(uow, key)
        else:
            checkouts.extend(uow, key, 30)
        uow.commit()


def _some_active(database: Database, dice: random.Random) -> Key | None:
    rows = database.run("SELECT owner, brand, channel, order_no FROM checkout WHERE state = 'active' LIMIT 20")
    return tuple(dice.choice(rows).values()) if rows else None


def _order(database: Database, key: Key, dice: random.Random) -> None:
    """The order comes: its holds take the checkout's place, unit by unit, in one transaction. Most are cancelled."""
    with database.unit() as uow:
        found = store.find_for_orders(uow.connection, [key]).get(key)
        if found is None:
            return
        lines = [HoldLine(n, kept.level_id, kept.units) for n, kept in enumerate(found.kept, 1)]
        request = HoldAsked(key[0], key[1], found.id, {f"P{found.id}": lines}, replaces=found.references)
        [answer] = stock.hold_many(uow.connection, [request])
        assert answer == Held(), "an order's own checkout blocked it"
        store.confirm(uow.connection, [found.id])
        uow.commit()
    if dice.random() < 0.9:
        with database.unit() as uow:
            stock.release(uow.connection, owner=key[0], brand=key[1], reference=f"P{found.id}", reason="test")
            uow.commit()
