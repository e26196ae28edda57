"""A simulated CRM in a process of its own, and the connector that speaks to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from canonical_model.ports import SystemConfig
from connectors.kit.process import SimulatorProcess

PASSWORD = "yipan-demo"


class Crm:
    """One simulated CRM with clean books and pages of three rows."""

    def __init__(self, process: SimulatorProcess) -> None:
        self.url = process.url
        self._http = httpx.Client(base_url=process.url, timeout=10, trust_env=False)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self._http.request(method, path, json=body)
        response.raise_for_status()
        return response.json()

    def enter(self, *members: dict[str, Any]) -> list[dict[str, Any]]:
        entered: list[dict[str, Any]] = self.control("POST", "/_members?push=0", list(members))
        return entered

    def post(self, path: str, body: Any) -> httpx.Response:
        return self._http.post(path, json=body)

    def soap(self, content: bytes) -> httpx.Response:
        return self._http.post("/services/MemberService", content=content, headers={"Content-Type": "text/xml"})

    def config(self, password: str = PASSWORD) -> SystemConfig:
        return SystemConfig(
            name="crm",
            connector="crm",
            owner="yunshang",
            brand="yunshang",
            settings={"base_url": self.url, "user": "YIPAN"},
            secrets={"password": password},
        )

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    with SimulatorProcess("crm", tmp_path / "crm.db", settings={"page_rows": "3"}) as process:
        system = Crm(process)
        yield system
        system.close()
