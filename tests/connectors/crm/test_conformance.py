"""The CRM connector against its simulator, by the suite that every connector inherits."""

from typing import Any, ClassVar

import pytest

from canonical_model.common import Sourced
from connectors.crm.books import CrmBooks
from connectors.hub import contract
from connectors.kit.manifest import connector_folder
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestCrm(ConnectorConformance):
    connector = "crm"
    settings: ClassVar = {"user": "YIPAN"}
    secrets: ClassVar = {"password": "keep-this-to-yourself"}
    simulator_settings: ClassVar = {"page_rows": "3"}

    def prepare(self, live: LiveSystem) -> None:
        entered = live.control("POST", "/_members", [member(number) for number in range(10)])
        flows = [{"cardNo": row["cardNo"], "points": 100, "billNo": "S001-1"} for row in entered]
        live.control("POST", "/_points", flows)

    def test_its_books_hold_what_was_entered(self, live: LiveSystem) -> None:
        books = CrmBooks(live.config)
        assert [row["memberName"] for row in books.members()] == [f"会员 {number}" for number in range(10)]
        assert sum(row["points"] for row in books.points()) == 1000


def member(number: int, **changes: Any) -> dict[str, Any]:
    return {"memberName": f"会员 {number}", "mobilePhone": f"+86 1380000{number:04}", "gradeCode": "03", **changes}


@pytest.mark.parametrize("stream", ["members", "points"])
def test_what_it_pushes_is_in_the_hubs_own_words(stream: str) -> None:
    """When an entity changed: copy the files that ``python -m connectors.hub.contract`` wrote."""
    entity: type[Sourced] = contract.ENTITIES[stream]
    assert (connector_folder("crm") / "schemas" / f"{stream}.json").read_bytes() == contract.render(entity)
