"""zeep, suds, node-soap and PHP 8 push 2,000 items with Chinese text and emoji, unchanged, and read our faults."""

from typing import Any, Final

import pytest

from tests.real import clients
from tests.real.clients import Client
from tests.real.conftest import Served

ITEMS: Final = 2_000
NODE: Final = pytest.mark.skipif(clients.lacks_node_soap(), reason="node-soap is absent: run tests/real/install.sh")
PHP: Final = pytest.mark.skipif(clients.lacks_php_soap(), reason="PHP's SOAP is absent: run tests/real/install.sh")
SPEAKERS: Final = [
    pytest.param(clients.by_zeep, "1.1", id="zeep 1.1"),
    pytest.param(clients.by_zeep, "1.2", id="zeep 1.2"),
    pytest.param(clients.by_suds, "1.1", id="suds 1.1"),
    pytest.param(clients.by_node, "1.1", id="node-soap 1.1", marks=NODE),
    pytest.param(clients.by_node, "1.2", id="node-soap 1.2", marks=NODE),
    pytest.param(clients.by_php, "1.1", id="PHP 1.1", marks=PHP),
    pytest.param(clients.by_php, "1.2", id="PHP 1.2", marks=PHP),
]


def product(code: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "spu": "羊绒", "name": f"羊绒衫 <{code}> & 手套😀🧤", **more}


@pytest.mark.parametrize(("push", "version"), SPEAKERS)
def test_a_client_pushes_2000_items_twice_and_reads_every_fault(
    hub: Served, request: pytest.FixtureRequest, push: Client, version: str
) -> None:
    name = request.node.callspec.id.replace(" ", "-")
    good = {"messageId": f"{name}-1", "item": [product(f"{name}-{number}") for number in range(ITEMS)]}
    lacking = product(f"{name}-b")
    del lacking["spu"]
    wrong = {
        "availableFrom": product(f"{name}-a", availableFrom="three weeks ago"),
        "spu": lacking,
        "code": product("长" * 121),
    }
    bad = [{"messageId": f"{name}-{field}", "item": [product(f"{name}-0"), item]} for field, item in wrong.items()]

    first, again, *faults = push(hub, version, [good, good, *bad])

    assert first.answer is not None, first.fault
    assert (int(first.answer["accepted"]), first.answer["state"]) == (ITEMS, "applied")
    results = first.answer["result"]
    assert [result["sourceId"] for result in results] == [f"{name}-{number}" for number in range(ITEMS)]
    assert again.answer == first.answer
    for field, fault in zip(wrong, faults, strict=True):
        assert fault.fault is not None
        assert f"item[2].{field}" in fault.fault
        assert any("一" <= letter <= "鿿" for letter in fault.fault)
    stored = hub.database.run("SELECT name FROM sku WHERE code = %s", (f"{name}-{ITEMS - 1}",))
    assert [row["name"] for row in stored] == [f"羊绒衫 <{name}-{ITEMS - 1}> & 手套😀🧤"]
