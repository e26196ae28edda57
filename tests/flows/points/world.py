"""A group with two brands, members, an airline, a finance company and two suppliers, each in a process of its own."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from canonical_model.ledger import Balance
from canonical_model.store import ledger
from connectors.airline.books import AirlineBooks
from connectors.finance.books import FinanceBooks
from connectors.giftco.books import GiftcoBooks
from connectors.kit.process import SimulatorProcess
from flows.points.rules import publish_rules
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork
from flows.runtime.runs import Started, get_run, list_effects
from tests.flows.desk import ESTATE

OWNER: Final = "yunshang"
BRAND: Final = "yunshang"
STARS: Final = "yunshang/stars"
LEAVES: Final = "linmu/leaves"
GROWTH: Final = "yunshang/growth"
MILES: Final = "skymiles"
GROUP: Final = "group"
PATIENCE_S: Final = 60.0
NOON: Final = "2026-03-02T12:00:00+08:00"
SECRET: Final = "keep-this-to-yourself"

RULES: Final = """
zone = "Asia/Shanghai"

[programmes."yunshang/stars"]
title = "Stars"
issuer = "yunshang"
cost_micro = 500_000
hold_s = 1800
refund_grace_days = 30
growth = "yunshang/growth"
expiry = { kind = "months", months = 12, end_of = "month" }
levels = [{ name = "gold", at_least = 1_000 }]
earn = [
    { name = "base", points = 1, per_minor = 100 },
    { name = "gold", multiply = "2", levels = ["gold"] },
    { name = "double 11", multiply = "2", campaign = "double11", from = 2026-11-11, until = 2026-11-12 },
]
caps = [{ per = "day", points = 5_000 }]
spend = { points_per_100_minor = 100 }

[programmes."yunshang/growth"]
title = "Growth"
issuer = "yunshang"

[programmes."linmu/leaves"]
title = "Leaves"
issuer = "linmu"
expiry = { kind = "date", month = 12, day = 31 }
earn = [{ name = "base", points = 1, per_minor = 100, rounding = "half_up" }]
spend = { points_per_100_minor = 60 }

[[exchange]]
from = "yunshang/stars"
to = "linmu/leaves"
give = 3
get = 2
spread = "0.02"
from_date = 2020-01-01
until = 2026-11-11

[[exchange]]
from = "linmu/leaves"
to = "yunshang/stars"
give = 2
get = 3
spread = "0.02"
until = 2026-11-11

[[exchange]]
from = "linmu/leaves"
to = "yunshang/stars"
give = 2
get = 4
from_date = 2026-11-11

[[exchange]]
from = "yunshang/stars"
to = "linmu/leaves"
give = 4
get = 2
from_date = 2026-11-11
until = 2027-01-01

[[exchange]]
from = "yunshang/stars"
to = "skymiles"
give = 2
get = 1
spread = "0.01"
provider = "airline"

[[exchange]]
from = "skymiles"
to = "yunshang/stars"
give = 1
get = 1
provider = "airline"

[[exchange]]
from = "yunshang/stars"
to = "group"
give = 1
get = 1
provider = "finance"
"""

SYSTEMS: Final = """
[systems.airline]
connector = "airline"
settings = { base_url = "AIRLINE", client_id = "yipan" }
secrets = { client_secret = "file:SECRET" }

[systems.finance]
connector = "finance"
settings = { base_url = "FINANCE", app_id = "yipan" }
secrets = { app_secret = "file:SECRET" }

[systems.giftco]
connector = "giftco"
settings = { base_url = "GIFTCO", app_key = "yipan" }
secrets = { app_secret = "file:SECRET" }

[systems.cardco]
connector = "cardco"
settings = { base_url = "CARDCO", user = "yipan" }
secrets = { password = "file:SECRET" }
"""

SIMULATORS: Final = {
    "airline": {"client_secret": SECRET},
    "finance": {"app_secret": SECRET},
    "giftco": {"app_key": "yipan", "app_secret": SECRET},
    "cardco": {"user": "yipan", "password": SECRET},
}


@contextmanager
def running(folder: Path, *names: str) -> Iterator[dict[str, SimulatorProcess]]:
    """These simulators, each with books of its own in ``folder``."""
    started = {
        name: SimulatorProcess(name, folder / f"{name}.db", faults={}, settings=SIMULATORS[name]) for name in names
    }
    try:
        for process in started.values():
            process.start()
        yield started
    finally:
        for process in started.values():
            process.stop()


def estate_text(folder: Path, simulators: Mapping[str, SimulatorProcess]) -> str:
    """The estate file: the desk's own systems, and the providers and suppliers."""
    (folder / "provider").write_text(SECRET)
    text = SYSTEMS.replace("SECRET", str(folder / "provider"))
    for name in SIMULATORS:
        url = simulators[name].url if name in simulators else "http://127.0.0.1:9"
        text = text.replace(f'"{name.upper()}"', f'"{url}"')
    return ESTATE.replace("SECRET", str(folder / "secret")) + text


@dataclass
class Club:
    """Asks for things as the doors do, and tells what became of them."""

    hub: Hub
    simulators: Mapping[str, SimulatorProcess] = field(default_factory=dict)
    brand: str = BRAND
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def number(self, prefix: str = "N") -> str:
        """A number that nobody used."""
        return f"{prefix}{next(self._numbers)}"

    def do(self, ask: Callable[[UnitOfWork], Any]) -> Any:
        """In a transaction of its own."""
        with self.hub.database.unit() as uow:
            answer = ask(uow)
            uow.commit()
        return answer

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self.hub.database.run(query, parameters)]

    def one(self, query: str, *parameters: Any) -> Any:
        (row,) = self.rows(query, *parameters)
        (value,) = row.values()
        return value

    def publish(self, rules: str = RULES) -> None:
        self.do(lambda uow: publish_rules(uow, OWNER, rules, "test", "test"))

    def member(self, code: str | None = None, system: str = "shop") -> str:
        """A member of the brand, known under ``code``; the holder."""
        code = code or self.number("M")
        member_id = self.one(
            "INSERT INTO member (owner, brand, system, source_id, code, sealed, key_id, message_id, occurred_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, 0, 'm', %s) RETURNING id",
            OWNER, self.brand, system, code, code, b"", datetime.now(UTC),
        )  # fmt: skip
        self.rows(
            "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
            " VALUES (%s, %s, %s, 'member', %s, %s, 'm') RETURNING inner_id",
            OWNER, self.brand, system, code, member_id,
        )  # fmt: skip
        return str(member_id)

    def start(self, ask: Callable[..., Started], **body: Any) -> int:
        """Ask, without working on it; the run."""
        started: Started = self.do(lambda uow: ask(uow, OWNER, self.brand, body))
        return started.run_id

    def ask(self, ask: Callable[..., Started], **body: Any) -> dict[str, Any]:
        """Ask, and work until the run has ended or a person is asked; the run."""
        return self.ended(self.start(ask, **body))

    def ended(self, run_id: int) -> dict[str, Any]:
        """Work until that run has ended or is parked."""
        return self.until(run_id, lambda run: run["state"] in ("done", "undone", "parked"))

    def until(self, run_id: int, accept: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
        """Work until the run is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.hub.runner.drain()
            run = self.run(run_id)
            if accept(run):
                return run
            assert time.monotonic() < deadline, {name: run[name] for name in ("state", "results", "error", "position")}
            time.sleep(0.05)

    def run(self, run_id: int) -> dict[str, Any]:
        return dict(self.do(lambda uow: get_run(uow, run_id)))

    def effects(self, run_id: int) -> list[tuple[str, str]]:
        """Step and state of what the run wrote outside."""
        rows = self.do(lambda uow: list_effects(uow, run_id))
        return [(row["step"], row["state"]) for row in rows]

    def balance(self, holder: str, asset: str = STARS, at: datetime | None = None) -> Balance:
        def look(uow: UnitOfWork) -> Balance:
            asset_id = ledger.get_asset(uow.connection, OWNER, asset)["id"]
            return ledger.balance(uow.connection, asset_id, holder, at=at or datetime.now(UTC))

        answer: Balance = self.do(look)
        return answer

    def has(self, holder: str, asset: str = STARS) -> int:
        """What the holder can spend now."""
        return self.balance(holder, asset).available

    def total(self, kind: str, holder: str, asset: str = STARS) -> int:
        """The postings of an account, as the journal has them."""
        return int(
            self.one(
                "SELECT coalesce(sum(posting.amount), 0) AS units FROM ledger_posting AS posting"
                " JOIN ledger_account AS account ON account.id = posting.account_id"
                " JOIN ledger_asset AS asset ON asset.id = account.asset_id"
                " WHERE account.kind = %s AND account.holder = %s AND asset.owner = %s"
                " AND concat_ws('/', nullif(asset.brand, ''), asset.code) = %s",
                kind,
                holder,
                OWNER,
                asset,
            )
        )

    def tell(self, system: str, path: str, body: Any = None, method: str = "POST") -> None:
        """One of a simulator's controls."""
        url = f"{self.simulators[system].url}{path}"
        httpx.request(method, url, json=body, timeout=30, trust_env=False).raise_for_status()

    def faults(self, system: str, **rates: float) -> None:
        self.tell(system, "/_faults", rates, "PUT")

    def account(self, system: str = "airline", balance: int = 0) -> str:
        """A member's own account at a provider."""
        number = self.number("86")
        self.tell(system, "/_accounts", [{"account": number, "balance": balance}])
        return number

    def goods(self, system: str = "giftco", points: int = 300, stock: int = 10) -> str:
        """Goods of a supplier, in Zhejiang."""
        sku = self.number("SKU")
        self.tell(
            system, "/_goods", [{"sku": sku, "title": sku, "points": points, "cash_minor": 0, "stock": {"33": stock}}]
        )
        return sku

    def config(self, system: str) -> Any:
        return self.hub.estate.connector(system).config

    def at_airline(self, account: str) -> list[tuple[str, int]]:
        """What we moved in an account, by the airline's own books."""
        rows = AirlineBooks(self.config("airline")).transactions()
        return [
            (row["type"], row["miles"])
            for row in rows
            if row["accountNumber"] == account and row["origin"] == "PARTNER"
        ]

    def at_finance(self, account: str) -> list[tuple[str, int]]:
        rows = FinanceBooks(self.config("finance")).movements()
        return [
            (row["direction"], row["points"])
            for row in rows
            if row["accountNo"] == account and row["source"] == "PARTNER"
        ]

    def at_giftco(self, order_no: str) -> list[str]:
        """The states of the supplier's orders of that number of ours."""
        rows = GiftcoBooks(self.config("giftco")).orders()
        return [row["state"] for row in rows if row["order_no"] == f"{self.brand}:{order_no}"]

    def sound(self) -> None:
        """Every asset sums to zero, every balance and lot is the sum of its postings, nothing is kept for nobody."""
        assert not self.rows(
            "SELECT transfer_id, asset_id, sum(amount) FROM ledger_posting AS posting"
            " JOIN ledger_account AS account ON account.id = posting.account_id"
            " GROUP BY transfer_id, asset_id HAVING sum(amount) <> 0"
        )
        assert not self.rows(
            "SELECT account.id FROM ledger_account AS account"
            " LEFT JOIN ledger_posting AS posting ON posting.account_id = account.id"
            " WHERE account.kind IN ('member', 'arrears')"
            " GROUP BY account.id HAVING account.balance <> coalesce(sum(posting.amount), 0)"
        )
        assert not self.rows(
            "SELECT lot.id FROM points_lot AS lot JOIN ledger_posting AS posting ON posting.lot_id = lot.id"
            " GROUP BY lot.id HAVING lot.remaining <> sum(posting.amount)"
        )


def sale(*amounts: int, quantity: int = 1) -> list[dict[str, Any]]:
    """Lines of a sale at these amounts."""
    return [
        {"line_no": n, "sku": f"SKU-{n}", "quantity": quantity, "amount_minor": amount}
        for n, amount in enumerate(amounts, 1)
    ]


def back(**units: int) -> list[dict[str, Any]]:
    """Returned units: ``back(l1=2)`` is two of line 1."""
    return [{"line_no": int(name.removeprefix("l")), "quantity": count} for name, count in units.items()]


def figures(rows: Sequence[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]
