"""The finance company's connector against its simulator, by the suite that every connector inherits."""

from typing import Any, ClassVar

from canonical_model.ports import Record
from connectors.finance.books import FinanceBooks
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestFinance(ConnectorConformance):
    connector = "finance"
    settings: ClassVar = {"app_id": "yunshang"}
    secrets: ClassVar = {"app_secret": "keep-this-to-yourself"}
    simulator_settings: ClassVar = {"app_id": "yunshang"}

    def prepare(self, live: LiveSystem) -> None:
        live.control("POST", "/_accounts", [{"account": f"62258{n}", "balance": 10_000} for n in range(3)])

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        return movement(f"X-{writer}-{number}", "622581")

    def refused(self, live: LiveSystem, writer: str) -> Record:
        return movement("X-nobody", "629999")

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        rows = FinanceBooks(live.config).movements()
        direction = {"credit": "IN", "debit": "OUT"}[writer]
        return sum((row["bizNo"], row["direction"]) == (document["reference"], direction) for row in rows)


def movement(reference: str, account: str) -> dict[str, Any]:
    return {
        "reference": reference,
        "account": account,
        "points": 25,
        "happened_at": "2026-11-03T09:30:00+08:00",
        "programme": "group",
    }
