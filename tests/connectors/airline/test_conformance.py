"""The airline's connector against its simulator, by the suite that every connector inherits."""

from typing import Any, ClassVar

from canonical_model.ports import Record
from connectors.airline.books import AirlineBooks
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestAirline(ConnectorConformance):
    connector = "airline"
    settings: ClassVar = {"client_id": "yunshang"}
    secrets: ClassVar = {"client_secret": "keep-this-to-yourself"}
    simulator_settings: ClassVar = {"client_id": "yunshang"}

    def prepare(self, live: LiveSystem) -> None:
        live.control("POST", "/_accounts", [{"account": f"8600{n}", "balance": 10_000} for n in range(3)])

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        return movement(f"X-{writer}-{number}", "86001")

    def refused(self, live: LiveSystem, writer: str) -> Record:
        return movement("X-nobody", "86999")

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        rows = AirlineBooks(live.config).transactions()
        return sum((row["documentNumber"], row["type"]) == (document["reference"], writer.upper()) for row in rows)


def movement(reference: str, account: str) -> dict[str, Any]:
    return {
        "reference": reference,
        "account": account,
        "points": 25,
        "happened_at": "2026-11-03T09:30:00+08:00",
        "programme": "skymiles",
    }
